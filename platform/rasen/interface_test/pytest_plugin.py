"""`pytest --rasen notebooks/`: each pipeline is a file, each check of its interface test an item.

The checks are known from the files, so they are collected without running anything; the first item that runs makes the
whole test, the others say what came of them. Without `--rasen` nothing is done, and nothing but pytest is imported:
every run of pytest in this environment loads this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from rasen.interface_test.checks import Check, InterfaceReport

_OPTION = "rasen_interface"
_FILE = "pipeline.yaml"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--rasen` and what goes with it."""
    group = parser.getgroup("rasen", "interface tests of Rasen's pipelines")
    group.addoption(
        "--rasen",
        dest=_OPTION,
        action="store_true",
        default=False,
        help="collect each pipeline.yaml: its notebooks run on their sample, and their interface is checked",
    )
    group.addoption(
        "--rasen-no-lint",
        dest="rasen_no_lint",
        action="store_true",
        default=False,
        help="with --rasen: do not ask the linter",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a pipeline, if that is asked for."""
    if file_path.name == _FILE and parent.config.getoption(_OPTION, default=False):
        collected: PipelineFile = PipelineFile.from_parent(parent, path=file_path)
        return collected
    return None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(
    config: pytest.Config, log: Any
) -> Any:  # Any: types of xdist, which may be absent
    """Give all checks of a pipeline to one worker: another one would have to make the whole test again."""
    if not config.getoption(_OPTION, default=False) or config.getoption("dist", "no") not in {
        "load",
        "worksteal",
    }:
        return None
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped] # it ships no types

    return LoadFileScheduling(config, log)


class PipelineFile(pytest.File):
    """A pipeline; its test is made once, when the first of its items runs."""

    _report: InterfaceReport | None = None

    def collect(self) -> Iterable[pytest.Item]:
        """Yield an item for each check that will be made."""
        from rasen.interface_test.run import plan_checks
        from rasen.interface_test.subject import Subject

        subject = Subject(path=str(self.path.parent), folder=self.path.parent)
        for planned in plan_checks(subject, lint=self._lint):
            item: CheckItem = CheckItem.from_parent(self, name=planned.name)
            yield item

    @property
    def _lint(self) -> bool:
        return not self.config.getoption("rasen_no_lint")

    def check(self, name: str) -> Check | None:
        """Return what came of a check, after making the test if that is still to be done."""
        if self._report is None:
            from rasen.interface_test.run import run_interface_test
            from rasen.interface_test.subject import Subject
            from rasen.settings import load_settings

            subject = Subject(path=str(self.path.parent), folder=self.path.parent)
            self._report = run_interface_test(load_settings(), subject, lint=self._lint)
        if self._report.stopped:
            raise KeyboardInterrupt
        return next((check for check in self._report.checks if check.name == name), None)


class CheckFailed(Exception):
    """A check of the interface test failed; it carries the check."""

    def __init__(self, check: Check) -> None:
        super().__init__(check.message)
        self.check = check


class CheckItem(pytest.Item):
    """One check."""

    def runtest(self) -> None:
        """Pass, skip, or fail as the check did."""
        assert isinstance(self.parent, PipelineFile)
        check = self.parent.check(self.name)
        if check is None:
            pytest.skip("the files have changed since they were collected")
        if check.outcome == "skip":
            pytest.skip(check.message)
        self.add_report_section("call", "interface test", "\n".join(_lines(check)))
        if check.outcome == "fail":
            raise CheckFailed(check)

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> Any:  # Any: as pytest's own
        """Tell a failed check in words, everything else as pytest does."""
        if isinstance(excinfo.value, CheckFailed):
            return "\n".join(_lines(excinfo.value.check))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return where the check belongs to and what it is called."""
        assert isinstance(self.parent, PipelineFile)
        return self.path, None, f"{self.path.parent.name}: {self.name}"


def _lines(check: Check) -> Iterator[str]:
    yield check.message
    for line in check.details:
        yield f"  {line}"
    if check.output is not None:
        yield f"the executed notebook: {check.output}"
