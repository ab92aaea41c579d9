"""`[tool.rasen.lint]` of the nearest `pyproject.toml` above a notebook: which rules, how severe, where not.

Read with the standard library and checked by hand: pydantic would cost more than linting thirty notebooks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rasen.errors import InvalidInput
from rasen.suggestion import suggest
from rasen_lint.file_cache import FileCache
from rasen_lint.finding import Severity
from rasen_lint.glob_patterns import matches_glob

FILE = "pyproject.toml"
DEFAULT_LOCK = "requirements.lock"
_KEYS = (
    "exclude",
    "ignore",
    "lock",
    "max-bytes",
    "per-folder",
    "price-per-tib",
    "ruff",
    "select",
    "severity",
)
_FOLDER_KEYS = ("ignore", "select")
_UNITS = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]?B)?\s*")


@dataclass(frozen=True, kw_only=True)
class FolderRules:
    """What `per-folder` says about the notebooks that a pattern matches."""

    pattern: str
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What a project wants of the linter. The defaults are those of a project that says nothing.

    Args:
        file: The `pyproject.toml` that says so; `None` without one. Paths in it count from its folder.
        select: Codes, or their beginnings, of the rules to run; all where there is none.
        ignore: Codes, or their beginnings, of rules to leave out.
        severity: Another severity for codes, or their beginnings.
        per_folder: More rules to leave out, or the only ones to run, in some folders.
        exclude: Patterns of notebooks that are not looked at.
        ruff: Whether ruff is asked as well.
        lock: The image's lock file.
        max_bytes: From how many bytes on a query is called expensive.
        price_per_tib: Price of 2⁴⁰ bytes read, in dollars.
    """

    file: Path | None = None
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    severity: Mapping[str, Severity] = field(default_factory=dict)
    per_folder: tuple[FolderRules, ...] = ()
    exclude: tuple[str, ...] = ()
    ruff: bool = True
    lock: str = DEFAULT_LOCK
    max_bytes: int = 10 * 10**9
    price_per_tib: float = 6.25

    def relative(self, path: Path) -> str | None:
        """Return `path` as patterns see it: from this file's folder, with `/`; `None` outside of it."""
        if self.file is None:
            return None
        try:
            return path.absolute().relative_to(self.file.parent).as_posix()
        except ValueError:
            return None

    def excludes(self, path: Path) -> bool:
        """Return whether a notebook is not to be looked at."""
        relative = self.relative(path)
        return relative is not None and any(matches_glob(relative, pattern) for pattern in self.exclude)

    def folder_rules(self, path: Path) -> Iterator[FolderRules]:
        """Yield what `per-folder` says about a notebook, in the order of the file."""
        relative = self.relative(path)
        for rules in self.per_folder if relative is not None else ():
            if matches_glob(relative or "", rules.pattern):
                yield rules


class Configurations:
    """Finds the configuration of a folder, and reads each file again only when it has changed.

    Args:
        known_code: Raises `InvalidInput` for a code, or the beginning of one, that no rule has.
    """

    def __init__(self, known_code: Callable[[str], None]) -> None:
        self._known_code = known_code
        self._files: FileCache[Configuration | None] = FileCache()

    def of(self, path: Path) -> Configuration:
        """Return the configuration of the notebook at `path`, which need not exist.

        Raises:
            InvalidInput: The file is no TOML, or has an unknown key, an unknown rule or a wrong value.
        """
        for folder in path.absolute().parents:
            found = self._files.get(folder / FILE, self._read)
            if found is not None:
                return found
        return Configuration()

    def _read(self, file: Path, data: bytes) -> Configuration | None:
        if b"rasen" not in data:
            return None
        import tomllib

        text = data.decode(errors="replace")
        try:
            tool = tomllib.loads(text).get("tool", {})
        except tomllib.TOMLDecodeError as error:
            raise InvalidInput(f"{file}: not TOML: {error}") from None
        section = tool.get("rasen", {}).get("lint") if isinstance(tool.get("rasen"), dict) else None
        if section is None:
            return None
        return _Reader(file, text, self._known_code).read(section)


class _Reader:
    """Turns the section into a configuration, or refuses it with the line."""

    def __init__(self, file: Path, text: str, known_code: Callable[[str], None]) -> None:
        self._file, self._text, self._known_code = file, text, known_code

    def read(self, section: Any) -> Configuration:  # Any: what the file holds, looked at here
        if not isinstance(section, dict):
            raise self._wrong("tool.rasen.lint", f"is {section!r}; write a table [tool.rasen.lint]")
        self._check_keys(section, _KEYS)
        return Configuration(
            file=self._file,
            select=self._codes(section, "select"),
            ignore=self._codes(section, "ignore"),
            severity=self._severity(section.get("severity", {})),
            per_folder=self._per_folder(section.get("per-folder", {})),
            exclude=self._texts(section, "exclude"),
            ruff=self._typed(section, "ruff", bool, Configuration.ruff, "true or false"),
            lock=self._typed(section, "lock", str, DEFAULT_LOCK, "the path of a lock file"),
            max_bytes=self._size(section.get("max-bytes", Configuration.max_bytes)),
            price_per_tib=float(
                self._typed(
                    section, "price-per-tib", (int, float), Configuration.price_per_tib, "a price in dollars"
                )
            ),
        )

    def _check_keys(self, section: Mapping[str, Any], known: tuple[str, ...]) -> None:  # Any: from the file
        for key in section:
            if key not in known:
                raise self._wrong(key, f"is no key of [tool.rasen.lint]; {suggest(key, known)}")

    def _codes(self, section: Mapping[str, Any], key: str) -> tuple[str, ...]:  # Any: from the file
        codes = self._texts(section, key)
        for code in codes:
            self._check_code(code, key)
        return codes

    def _check_code(self, code: str, key: str) -> None:
        try:
            self._known_code(code)
        except InvalidInput as error:
            raise InvalidInput(f"{self._place(code or key)}: {error}") from None

    def _texts(self, section: Mapping[str, Any], key: str) -> tuple[str, ...]:  # Any: from the file
        values = section.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise self._wrong(key, f"is {values!r}; write a list of texts")
        return tuple(values)

    def _severity(self, section: Any) -> dict[str, Severity]:  # Any: from the file
        if not isinstance(section, dict):
            raise self._wrong("severity", f'is {section!r}; write a table such as {{NB105 = "error"}}')
        for code, word in section.items():
            self._check_code(code, "severity")
            if word not in list(Severity):
                raise self._wrong(code, f"has the severity {word!r}; it must be 'error' or 'warning'")
        return {code: Severity(word) for code, word in section.items()}

    def _per_folder(self, section: Any) -> tuple[FolderRules, ...]:  # Any: from the file
        if not isinstance(section, dict) or not all(isinstance(rules, dict) for rules in section.values()):
            raise self._wrong(
                "per-folder", 'must be a table such as {"notebooks/scratch/**" = {ignore = ["NB1"]}}'
            )
        for rules in section.values():
            self._check_keys(rules, _FOLDER_KEYS)
        return tuple(
            FolderRules(
                pattern=pattern, select=self._codes(rules, "select"), ignore=self._codes(rules, "ignore")
            )
            for pattern, rules in section.items()
        )

    def _size(self, value: Any) -> int:  # Any: from the file
        found = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        if found is None:
            raise self._wrong("max-bytes", f"is {value!r}; write a size such as '10 GB'")
        return int(float(found[1]) * _UNITS[found[2] or "B"])

    def _typed(
        self,
        section: Mapping[str, Any],
        key: str,
        kind: type | tuple[type, ...],
        default: Any,
        wanted: str,
    ) -> Any:  # Any: of the type that is asked for, or the default
        value = section.get(key, default)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self._wrong(key, f"is {value!r}; write {wanted}")
        return value

    def _wrong(self, word: str, problem: str) -> InvalidInput:
        return InvalidInput(f"{self._place(word)}: {word!r} {problem}")

    def _place(self, word: str) -> str:
        """Return the file, and the first line below the section's head in which the word stands."""
        lines = self._text.splitlines()
        head = next(
            (number for number, line in enumerate(lines) if "tool.rasen.lint" in line.replace(" ", "")), 0
        )
        whole = re.compile(rf"(?<![\w-]){re.escape(word)}(?![\w-])")
        for number, line in enumerate(lines[head:], start=head + 1):
            if whole.search(line):
                return f"{self._file}, line {number}"
        return str(self._file)
