"""The linter on notebooks that nobody here wrote and that run: what blocks a merge must be right there.

They come with Debian's `python-sklearn-doc` (`apt-get install --no-install-recommends python-sklearn-doc`); without it
this file is skipped, and CI installs it for `make test-wild`.
"""

import pytest

from rasen_lint import Severity
from rasen_lint.linting import Linting, Wishes
from wild.sources import Source, WildNotebook, find_notebooks, sources

CONTRACT = ("NB103", "NB11", "NB5")
"""Rules about this platform's own contract: a stranger's notebook need not know it."""

RIGHT = {
    # Debian's packagers put a line with `os.getenv` into examples that would ask the network; not all import `os`.
    ("NB212", "'os' is defined in no cell"),
}
"""Errors that are true although the notebook is published: the code, and the beginning of the message."""


def source() -> Source:
    return next(each for each in sources() if each.name == "sklearn")


def errors(linting: Linting, notebook: WildNotebook) -> list[str]:
    (checked,) = linting.check_bytes(notebook.read(), path=notebook.path, name=notebook.name).results
    assert checked.problem is None
    assert checked.faults == ()
    return [
        f"{notebook.label}, cell {finding.cell}, line {finding.line}: {finding.code} {finding.message}"
        for finding in checked.findings
        if finding.severity is Severity.ERROR
        and not finding.code.startswith(CONTRACT)
        and not any(finding.code == code and finding.message.startswith(said) for code, said in RIGHT)
    ]


@pytest.mark.skipif(not find_notebooks(source()), reason=f"not installed: {source().install}")
def test_no_error_in_notebooks_that_run() -> None:
    notebooks = find_notebooks(source())
    assert len(notebooks) > 200
    # ruff's share is asked in one process, as for files; here it would be one process a notebook.
    linting = Linting(Wishes(ruff=False, stage="review"))
    assert [error for notebook in notebooks for error in errors(linting, notebook)] == []


@pytest.mark.skipif(not find_notebooks(source()), reason=f"not installed: {source().install}")
def test_no_error_of_ruff_in_some_of_them() -> None:
    linting = Linting(Wishes(select=("F", "PLE", "E9")))
    assert [error for notebook in find_notebooks(source())[::10] for error in errors(linting, notebook)] == []
