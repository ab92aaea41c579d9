"""Notebooks that nobody here wrote, through `rasen notebook run` and through papermill: verdicts and outputs compared.

`PYTHONPATH=tests python -m wild.suite` (`make test-wild`) prints every difference with its reason and writes the same
to `.cache/wild/report.md`. A difference without a reason is the suite's failure. A notebook that differs is executed
by papermill again: where papermill disagrees with itself, the notebook is not deterministic, and nobody is wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import queue
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from stand.zygotes import runtime_folder
from wild.comparison import Difference, compare, unstable_places
from wild.execution import CACHE, Executor, Run
from wild.known import reason_for
from wild.sources import WildNotebook, find_notebooks, sources

REPORT = CACHE / "report.md"
NOT_DETERMINISTIC = (
    "not deterministic: another execution by papermill itself shows something else in this cell, too"
)
_MORE_TURNS = (2, 3)  # chance may give the same twice
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
# What papermill calls it when no cell's error ended the notebook, and what we do: verdict and error.
_SAME = {
    "CellTimeoutError": ("timed_out", "CellTimeout"),
    "NoSuchKernel": ("refused", "NotebookError"),
}


@dataclass(kw_only=True)
class Compared:
    """One notebook on both sides; each difference with its reason, or `None`."""

    notebook: WildNotebook
    papermill: Run
    rasen: Run
    differences: list[tuple[Difference, str | None]] = field(default_factory=list)

    @property
    def unknown(self) -> bool:
        """Whether there is a difference that nobody can explain."""
        return any(reason is None for _, reason in self.differences)


def install_libraries() -> Path:
    """Return the folder of the libraries that only these notebooks need; installed when it is missing."""
    digest = hashlib.sha256(_REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = CACHE / f"libraries-{digest}"
    if not folder.is_dir():
        say(f"installing {_REQUIREMENTS.name} into {folder}")
        part = folder.with_suffix(".part")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(part)]
        subprocess.run([*command, "--upgrade", "--requirement", str(_REQUIREMENTS)], check=True)
        part.rename(folder)
    return folder


def same_verdict(papermill: Run, rasen: Run) -> bool:
    """Return whether both say the same of a notebook: it passed, or which error ended it."""
    if papermill.verdict == "broken":
        return _SAME.get(papermill.error) == (rasen.verdict, rasen.error)
    passed = papermill.verdict == "succeeded", rasen.verdict == "succeeded"
    return passed[0] == passed[1] and papermill.error == rasen.error


def judge(executor: Executor, notebook: WildNotebook) -> Compared:
    """Execute a notebook on both sides and compare."""
    compared = Compared(
        notebook=notebook,
        papermill=executor.run_papermill(notebook, turn=1),
        rasen=executor.run_rasen(notebook),
    )
    theirs, ours = compared.papermill, compared.rasen
    if not same_verdict(theirs, ours):
        differences = [Difference(cell=None, what="verdict", papermill=theirs.short, rasen=ours.short)]
    elif theirs.notebook is None or ours.notebook is None or theirs.verdict == "broken":
        differences = []  # nothing was executed, or what was shown until a time-out depends on the machine
    else:
        differences = compare(theirs.notebook, ours.notebook)
    reasons = [reason_for(notebook.label, difference) for difference in differences]
    for turn in _MORE_TURNS:
        if None not in reasons or theirs.notebook is None or ours.notebook is None:
            break
        again = executor.run_papermill(notebook, turn=turn)
        unstable: set[tuple[int | None, str]] = set()
        if again.notebook is not None:
            unstable = unstable_places(theirs.notebook, again.notebook, ours.notebook)
        if same_verdict(again, ours):
            unstable.add((None, "verdict"))
        reasons = [
            reason or (NOT_DETERMINISTIC if (found.cell, found.what) in unstable else None)
            for found, reason in zip(differences, reasons, strict=True)
        ]
    compared.differences = list(zip(differences, reasons, strict=True))
    return compared


def judge_all(
    notebooks: Sequence[WildNotebook], *, jobs: int, libraries: Path, kernel: str
) -> list[Compared]:
    """Judge notebooks, some at a time; progress goes to standard error."""
    waiting: queue.SimpleQueue[WildNotebook] = queue.SimpleQueue()
    for notebook in sorted(
        notebooks, key=lambda one: zlib.crc32(one.label.encode())
    ):  # a mixture at all times
        waiting.put(notebook)
    done: list[Compared] = []
    failed: list[BaseException] = []
    stopped = threading.Event()

    def work(number: int) -> None:
        executor = Executor(number, libraries=libraries, kernel=kernel)
        try:
            while not (failed or stopped.is_set()):
                began = time.monotonic()
                compared = judge(executor, waiting.get_nowait())
                done.append(compared)
                word = "UNKNOWN" if compared.unknown else "known" if compared.differences else "same"
                seconds = time.monotonic() - began
                verdict = compared.rasen.verdict
                number_done = f"{len(done)}/{len(notebooks)}"
                say(f"{number_done} {compared.notebook.label}: {verdict}, {word}, {seconds:.1f} s")
                for found, reason in compared.differences:
                    say("\n".join(_difference_lines(compared, found, reason)))
        except queue.Empty:
            pass
        except BaseException as error:  # noqa: BLE001  # a thread's own end would go unseen; raised below
            failed.append(error)
        finally:
            executor.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(jobs)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        say("stopping after the notebooks that have begun; what was compared so far is reported")
        stopped.set()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]
    return sorted(done, key=lambda compared: compared.notebook.label)


def write_report(compared: Sequence[Compared], skipped: Sequence[str], *, kernel: str) -> str:
    """Return the report in Markdown: counts, then every difference with its reason."""
    lines = [f"# Wild notebooks: papermill and `rasen notebook run -k {kernel}`", ""]
    lines += [
        "| source | notebooks | pass on both sides | fail on both sides | no difference | explained | unknown |"
    ]
    lines += ["|---|---|---|---|---|---|---|"]
    for source in dict.fromkeys(one.notebook.source for one in compared):
        lines.append(_count_row(source, [one for one in compared if one.notebook.source == source]))
    lines += ["", *skipped]
    reasons = Counter(reason for one in compared for _, reason in one.differences if reason)
    lines += ["", "## Reasons", "", *(f"* {count} × {reason}" for reason, count in reasons.most_common())]
    for heading, unknown in (("Unknown differences", True), ("Explained differences", False)):
        lines += ["", f"## {heading}", ""]
        for one in compared:
            rows = [(found, reason) for found, reason in one.differences if (reason is None) is unknown]
            lines += [text for found, reason in rows for text in _difference_lines(one, found, reason)]
    return "\n".join(lines) + "\n"


def _count_row(source: str, compared: Sequence[Compared]) -> str:
    verdicts = Counter(
        (one.papermill.verdict == "succeeded", one.rasen.verdict == "succeeded") for one in compared
    )
    counts = (
        len(compared),
        verdicts[True, True],
        verdicts[False, False],
        sum(not one.differences for one in compared),
        sum(bool(one.differences) and not one.unknown for one in compared),
        sum(one.unknown for one in compared),
    )
    return f"| {source} | {' | '.join(map(str, counts))} |"


def _difference_lines(one: Compared, found: Difference, reason: str | None) -> list[str]:
    where = f", code cell {found.cell}" if found.cell is not None else ""
    lines = [f"* {one.notebook.label}{where}, {found.what}: {reason or '**no reason is known**'}"]
    if reason != NOT_DETERMINISTIC:
        lines += [f"    * papermill: {found.papermill!r}", f"    * rasen: {found.rasen!r}"]
    return lines


def choose(*, every: int, only: str) -> tuple[list[WildNotebook], list[str]]:
    """Return the notebooks to judge, and a line for each source that is not installed."""
    chosen, skipped = [], []
    for source in sources():
        found = find_notebooks(source)
        if not found:
            skipped.append(
                f"{source.name}: {source.notebooks} notebooks skipped, {source.folder} is missing; "
                f"get it with: {source.install}"
            )
        chosen += [one for one in found[::every] if fnmatchcase(one.label, only)]
    return chosen, skipped


def say(text: str) -> None:
    """Tell a person how far it is."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Judge what was asked for; return 1 when a difference has no reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="take each N-th notebook of a source"
    )
    parser.add_argument(
        "--only", default="*", metavar="PATTERN", help="take notebooks whose source/name matches"
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument(
        "--kernel", default="rasen", help="the kernel on our side; papermill uses the notebook's own"
    )
    options = parser.parse_args()
    notebooks, skipped = choose(every=options.every, only=options.only)
    for line in skipped:
        say(line)
    CACHE.mkdir(parents=True, exist_ok=True)
    libraries = install_libraries()
    with runtime_folder():
        compared = judge_all(notebooks, jobs=options.jobs, libraries=libraries, kernel=options.kernel)
        report = write_report(compared, skipped, kernel=options.kernel)
        REPORT.write_text(report, encoding="utf-8")
        print(report, flush=True)
    return int(any(one.unknown for one in compared))


if __name__ == "__main__":
    sys.exit(main())
