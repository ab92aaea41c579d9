"""Which rules run on a notebook: what the command line says, else the configuration; ruff's codes beside ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rasen.errors import InvalidInput
from rasen.suggestion import nearest, suggest
from rasen_lint.configuration import Configuration
from rasen_lint.finding import Finding, Severity
from rasen_lint.ruff_rules import ruff_codes
from rasen_lint.rule import Rule

OURS = "NB"
_RUFF_LIKE = re.compile(r"[A-Z]{1,7}\d{0,4}|ALL")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What runs on a notebook.

    Args:
        rules: Ours.
        ruff: Codes to ask ruff for; empty for those of the project's own ruff configuration; `None` for no ruff.
        ignored: Codes, or their beginnings, whose findings are left out, ruff's among them.
        severity: Severities that the project changed, by code or its beginning.
    """

    rules: tuple[Rule, ...]
    ruff: tuple[str, ...] | None
    ignored: tuple[str, ...] = ()
    severity: Mapping[str, Severity]

    def keeps(self, code: str) -> bool:
        """Return whether findings with that code are wanted."""
        return not code.startswith(self.ignored) if self.ignored else True

    def severity_of(self, finding: Finding) -> Severity:
        """Return a finding's severity: the one of the longest beginning that the project names, else its own."""
        named = [code for code in self.severity if finding.code.startswith(code)]
        return self.severity[max(named, key=len)] if named else finding.severity


def choose(
    rules: Mapping[str, Rule],
    path: Path,
    configuration: Configuration,
    *,
    select: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
) -> Choice:
    """Return what runs on the notebook at `path`; a `select` of the command line puts the configuration's aside."""
    selected, ignored = select, ignore
    if not select:
        here = tuple(configuration.folder_rules(path))
        selected = next((each.select for each in reversed(here) if each.select), configuration.select)
        ignored = (*configuration.ignore, *(code for each in here for code in each.ignore), *ignore)
    selected, ignored = _upper(selected), _upper(ignored)
    ours = [code for code in selected if code.startswith(OURS)]
    ruff = tuple(code for code in selected if not code.startswith(OURS))
    chosen = set(_expand(rules, ours)) if selected else set(rules)
    chosen -= set(_expand(rules, [code for code in ignored if code.startswith(OURS)]))
    return Choice(
        rules=tuple(rules[code] for code in sorted(chosen)),
        ruff=None if not configuration.ruff or (selected and not ruff) else ruff,
        ignored=ignored,
        severity={code.upper(): severity for code, severity in configuration.severity.items()},
    )


def select_rules(
    rules: Mapping[str, Rule], *, select: Iterable[str], ignore: Iterable[str]
) -> tuple[Rule, ...]:
    """Return the rules to run: all or the selected, without the ignored; `NB1` stands for all of NB100 to NB199.

    Raises:
        InvalidInput: A code that no rule has.
    """
    selected = set(_expand(rules, select)) or set(rules)
    remaining = selected - set(_expand(rules, ignore))
    if not remaining:
        raise InvalidInput("no rule is left to run; --select and --ignore name the same ones")
    return tuple(rules[code] for code in sorted(remaining))


def find_rule(rules: Mapping[str, Rule], code: str) -> Rule:
    """Return the rule with that code, whatever its case.

    Raises:
        InvalidInput: No rule has it.
    """
    rule = rules.get(code.upper())
    if rule is None:
        raise InvalidInput(f"there is no rule {code!r}; {suggest(code, rules)}")
    return rule


def check_code(rules: Mapping[str, Rule], code: str) -> None:
    """Refuse what is neither a code of ours or of ruff nor the beginning of one.

    Raises:
        InvalidInput: No rule has it.
    """
    upper = code.upper()
    if upper.startswith(OURS):
        list(_expand(rules, [code]))
        return
    known = ruff_codes()
    fits = _RUFF_LIKE.fullmatch(upper) is not None
    if upper == "ALL" and known != ():
        return
    if fits and (known is None or any(each.startswith(upper) for each in known)):
        return
    near = nearest(code, (*rules, *(known or ())))
    hint = f"did you mean {near!r}?" if near is not None else suggest(code, rules)
    raise InvalidInput(f"there is no rule {code!r}, neither here nor in ruff; {hint}")


def _upper(codes: Iterable[str]) -> tuple[str, ...]:
    return tuple(code.upper() for code in codes)


def _expand(rules: Mapping[str, Rule], codes: Iterable[str]) -> Iterator[str]:
    for code in codes:
        matching = [known for known in rules if known.startswith(code.upper())] if code else []
        yield from matching or [find_rule(rules, code).code]
