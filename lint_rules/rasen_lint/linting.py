"""A whole lint: configuration, context, our rules and ruff's, `# noqa`, severities; over files or one open notebook.

ruff starts first and works beside our own walk. Many notebooks are shared out among processes, because reading Python
is arithmetic that threads cannot share.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from rasen.errors import NotebookError
from rasen.linter import Stage
from rasen_lint.checking import Checked, in_order, run_rules
from rasen_lint.configuration import Configuration, Configurations
from rasen_lint.document import Document, read_document
from rasen_lint.finding import Finding
from rasen_lint.query_costs import QUERY_COST
from rasen_lint.roles import Contexts
from rasen_lint.ruff import RuffAnswer, RuffConfigurations, RuffRun, ruff_findings, start_ruff, start_ruff_on
from rasen_lint.rule import Rule
from rasen_lint.rules import RULES
from rasen_lint.selection import Choice, check_code, choose
from rasen_lint.sharing_out import share_out
from rasen_lint.suppression import UNUSED_NOQA, suppress

ALL_RULES: Mapping[str, Rule] = dict(
    sorted({**RULES, UNUSED_NOQA.code: UNUSED_NOQA, QUERY_COST.code: QUERY_COST}.items())
)
"""Every rule of ours, with the two that are no files of `rules/`: one looks at findings, the other asks BigQuery."""

NO_RUFF = "ruff is not installed, so only Rasen's own rules ran; `rasen[lint]` brings it"
_WORTH_PROCESSES = 24

Question: TypeAlias = tuple[tuple[str, ...], bool]
"""What ruff is asked: for which codes, and whether there is no configuration of it."""

_NOTHING: Question = (("",), False)


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What whoever asks wants, above the configuration.

    Args:
        select: Codes, or their beginnings, of the only rules to run.
        ignore: Codes, or their beginnings, of rules to leave out.
        stage: Where the notebooks are looked at.
        ruff: Whether ruff may be asked.
        processes: How many processes check many notebooks; as many as there are processors if absent.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    stage: Stage = "editor"
    ruff: bool = True
    processes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Linted:
    """What came of a lint. `notices` is told beside the answer: ruff is missing, a notebook was left out.

    `incomplete` says that ruff did not work, so that the answer is less than what was asked for.
    """

    results: tuple[Checked, ...]
    notices: tuple[str, ...] = ()
    incomplete: bool = False


class Linting:
    """Lints; keeps what it read of configurations, pipelines and lock files. May be asked by several threads.

    Raises:
        InvalidInput: The wishes name a rule that does not exist.
    """

    def __init__(self, wishes: Wishes | None = None, *, rules: Mapping[str, Rule] = ALL_RULES) -> None:
        self._wishes = wishes or Wishes()
        self._rules = rules
        for code in (*self._wishes.select, *self._wishes.ignore):
            check_code(rules, code)
        self._configurations = Configurations(partial(check_code, rules))
        self._contexts = Contexts()
        self._ruff_configurations = RuffConfigurations()

    def configuration(self, path: Path) -> Configuration:
        """Return the configuration of a notebook.

        Raises:
            InvalidInput: It is wrong.
        """
        return self._configurations.of(path)

    def check_files(
        self, paths: Sequence[Path], *, progress: Callable[[int, int], None] | None = None
    ) -> Linted:
        """Check notebooks on disk, in the order of `paths`.

        Args:
            paths: The notebooks.
            progress: Told how many are done, of how many.

        Raises:
            InvalidInput: A configuration is wrong.
        """
        excluded = {path: None for path in paths if self.configuration(path).excludes(path)}
        wanted = [path for path in paths if path not in excluded]
        choices = {path: self._choose(path) for path in wanted}
        asked = {
            path: (choice.ruff, not self._ruff_configurations.exist_for(path))
            for path, choice in choices.items()
            if choice.ruff is not None
        }
        runs = _start_ruff(asked)
        results = self._walk(wanted, progress)
        answers = {question: run.join() for question, run in runs.items() if run is not None}
        notices = [f"{path}: left out by `exclude` of {self.configuration(path).file}" for path in excluded]
        if any(run is None for run in runs.values()):
            notices.append(NO_RUFF)
        problems = dict.fromkeys(answer.problem for answer in answers.values() if answer.problem)
        return Linted(
            results=tuple(
                _with_ruff(checked, path, choices[path], answers.get(asked.get(path, _NOTHING)))
                for checked, path in zip(results, wanted, strict=True)
            ),
            notices=(*notices, *(problem for problem in problems if problem)),
            incomplete=bool(problems),
        )

    def check_bytes(self, data: bytes, *, path: Path, name: str | None = None) -> Linted:
        """Check the bytes of one notebook, as if they lay at `path`; `name` stands for it in messages.

        Raises:
            InvalidInput: A configuration is wrong.
        """
        choice = self._choose(path)
        run = None
        if choice.ruff is not None:
            isolated = not self._ruff_configurations.exist_for(path)
            run = start_ruff_on(data, path, select=choice.ruff, isolated=isolated)
        checked = self._check(data, path, choice, name=name or str(path))
        if choice.ruff is None:
            return Linted(results=(checked,))
        if run is None:
            return Linted(results=(checked,), notices=(NO_RUFF,))
        answer = run.join()
        return Linted(
            results=(_with_ruff(checked, path, choice, answer),),
            notices=(answer.problem,) if answer.problem else (),
            incomplete=answer.problem is not None,
        )

    def _choose(self, path: Path) -> Choice:
        choice = choose(
            self._rules,
            path,
            self.configuration(path),
            select=self._wishes.select,
            ignore=self._wishes.ignore,
        )
        return choice if self._wishes.ruff else replace(choice, ruff=None)

    def _walk(self, paths: Sequence[Path], progress: Callable[[int, int], None] | None) -> Sequence[Checked]:
        """Check the notebooks with our rules; many of them are shared out."""
        processes = self._wishes.processes or len(os.sched_getaffinity(0))
        return share_out(
            len(paths),
            lambda index: self.check_file(paths[index]),
            processes=processes if len(paths) >= _WORTH_PROCESSES else 1,
            done=lambda done: progress(done, len(paths)) if progress is not None else None,
        )

    def check_file(self, path: Path) -> Checked:
        """Check one notebook on disk with our rules alone; what is wrong with the file becomes its `problem`."""
        try:
            data = path.read_bytes()
        except OSError as error:
            problem = f"{path}: cannot be read: {error.strerror or error}"
            return Checked(path=str(path), document=None, problem=problem)
        checked = self._check(data, path, self._choose(path), name=str(path))
        if checked.document is None:
            return checked
        # Without trees and outputs, which nobody needs any more and which would be kept until the end.
        light = Document(checked.document.notebook, {}, context=checked.document.context)
        return replace(checked, document=light)

    def _check(self, data: bytes, path: Path, choice: Choice, *, name: str) -> Checked:
        context, problem = self._contexts.of(path, self.configuration(path), stage=self._wishes.stage)
        try:
            document = read_document(data, name=name, context=context)
        except NotebookError as error:
            return Checked(path=name, document=None, problem=str(error))
        findings, faults = run_rules(document, choice.rules)
        ran = {rule.code for rule in choice.rules} - {fault.code for fault in faults} - {QUERY_COST.code}
        findings = suppress(document, findings, ran=ran, known=self._rules)
        return Checked(
            path=name,
            document=document,
            findings=in_order(_judge(findings, choice)),
            faults=faults,
            problem=problem,
        )


def _start_ruff(asked: Mapping[Path, Question]) -> dict[Question, RuffRun | None]:
    """Start one ruff for all notebooks that ask it the same."""
    grouped: dict[Question, list[Path]] = {}
    for path, question in asked.items():
        grouped.setdefault(question, []).append(path)
    return {
        question: start_ruff(paths, select=question[0], isolated=question[1])
        for question, paths in grouped.items()
    }


def _with_ruff(checked: Checked, path: Path, choice: Choice, answer: RuffAnswer | None) -> Checked:
    if answer is None or checked.document is None:
        return checked
    found = ruff_findings(answer, checked.document, path, select=choice.ruff or ())
    kept = [finding for finding in found if choice.keeps(finding.code)]
    return replace(checked, findings=in_order([*checked.findings, *_judge(kept, choice)]))


def _judge(findings: Iterable[Finding], choice: Choice) -> Iterator[Finding]:
    """Give each finding the severity that the project wants."""
    for finding in findings:
        severity = choice.severity_of(finding)
        yield finding if severity is finding.severity else replace(finding, severity=severity)
