"""A repository with two branches to review, and a linter that finds what a test says it shall find."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rasen.linter import LintFinding, LintReport, Stage
from rasen.release import Release
from rasen.settings import Settings
from rasen.store import open_store
from rasen.tracking.keys import start_key
from rasen.tracking.manifest import write_manifest
from rasen.tracking.records import Manifest, Start
from rasen.tracking.signature import Role, open_signer
from stand.histories import run_of
from stand.hostile_notebooks import HTML, document, hostile_notebook, png, shown
from stand.pipeline_folder import code_cell, commit_all, git, make_repository
from stand.published import write_step

TABLE = (
    "<style>.x{{color:red}}</style><table border=1 class=dataframe><thead>"
    "<tr><th></th><th>origin</th><th>rmse</th></tr></thead><tbody>{rows}</tbody></table>"
)


@dataclass(frozen=True, kw_only=True)
class WordLinter:
    """Finds words in the sources of cells: one finding a cell and word, an error, or a warning for `warnings`."""

    errors: Sequence[str] = ("pip install",)
    warnings: Sequence[str] = ("print(",)

    def check(self, data: bytes, *, path: Path, stage: Stage = "editor") -> LintReport:
        """Look for the words, as the linter of a review is asked to."""
        assert stage == "review"
        assert path.is_absolute()
        found = []
        for index, cell in enumerate(json.loads(data)["cells"]):
            for line, text in enumerate("".join(cell["source"]).split("\n"), start=1):
                for word in (*self.errors, *self.warnings):
                    if word in text:
                        severity = "error" if word in self.errors else "warning"
                        message = f"{word!r} in line {line} of cell {index}"
                        found.append(
                            LintFinding(
                                code="NB202", severity=severity, message=message, cell=index, line=line
                            )
                        )
        return LintReport(findings=tuple(found))

    def fix(
        self, data: bytes, *, path: Path, codes: Sequence[str] | None = None, cell: int | None = None
    ) -> bytes:
        """Mend nothing."""
        return data

    def explain(self, code: str) -> str:
        """Explain nothing more."""
        return code


def text_cell(source: str, identifier: str) -> dict[str, Any]:
    """Return a markdown cell."""
    return {"cell_type": "markdown", "id": identifier, "metadata": {}, "source": source}


def executed(source: str, identifier: str, *outputs: dict[str, Any], count: int = 1) -> dict[str, Any]:
    """Return a code cell with outputs."""
    return code_cell(source, identifier) | {"outputs": list(outputs), "execution_count": count}


def table(*values: float) -> dict[str, Any]:
    """Return a table as pandas shows it."""
    rows = "".join(f"<tr><th>{n}</th><td>JFK</td><td>{value}</td></tr>" for n, value in enumerate(values))
    return shown("text/html", TABLE.format(rows=rows), **{"text/plain": str(values)})


def training(*, changed: bool) -> bytes:
    """Return a training notebook as it was, or as a branch has changed it."""
    depth, red = (8, 200) if changed else (6, 40)
    fit = "model = XGBRegressor(max_depth=max_depth, n_estimators=200)\nmodel.fit(X, y)\nresiduals = y - predict(X)"
    if changed:
        fit = fit.replace("n_estimators=200", "n_estimators=400, subsample=0.8") + "\nprint(residuals.std())"
    check = executed("check(flights)", "check", {"output_type": "stream", "name": "stdout", "text": "ok\n"})
    cells = [
        text_cell(
            "# Departures per hour\n\nTrained on *half a year*"
            + (", deeper trees.\n\n| depth | rmse |\n|---|---|\n| 8 | 3.1 |" if changed else "."),
            "title",
        ),
        code_cell(
            f"max_depth: int = {depth}\n" + ("holidays: bool = True\n" if changed else ""),
            "parameters",
            tags=["parameters"],
        ),
        executed("import rasen\nimport pandas as pd", "imports", count=1 + changed),
        *([] if changed else [check]),
        executed("flights = rasen.read_sql('SELECT 1')\nflights.head()", "read", table(3.1, 4.2 + changed)),
        *([check] if changed else []),
        executed(fit, "fit", {"output_type": "stream", "name": "stdout", "text": f"rmse {3 + changed}\n"}),
        executed("plot(residuals)", "plot", shown("image/png", png(red, width=320, height=160))),
        executed(
            "plot(same)", "same", shown("image/png", png(90, comment=str(changed), level=3 + 6 * changed))
        ),
    ]
    if changed:
        broken = {
            "output_type": "error",
            "ename": "KeyError",
            "evalue": "'holiday'",
            "traceback": [
                "\x1b[0;31mKeyError\x1b[0m: 'holiday'",
                "\x1b[1;32m----> 1\x1b[0m frame['holiday']",
            ],
        }
        cells.append(executed("!pip install holidays\nframe['holiday']", "holiday", broken))
    return document(cells)


def make_branches(top: Path) -> tuple[str, str]:
    """Make a repository whose branch `work` changes the pipeline `demand`; return its base and its last commit."""
    make_repository(top, "demand", "scores")
    folder = top / "notebooks" / "demand"
    (folder / "train.ipynb").write_bytes(training(changed=False))
    (folder / "calendar_days.py").write_text(
        "def is_holiday(day):\n    return day in HOLIDAYS\n\n\nHOLIDAYS = {'2013-01-01'}\n"
    )
    (folder / "old_name.ipynb").write_bytes(document([code_cell(f"x{n} = {n}", f"c{n}") for n in range(6)]))
    base = commit_all(top, "before")
    git(top, "checkout", "--quiet", "-b", "work")
    (folder / "train.ipynb").write_bytes(training(changed=True))
    (folder / "calendar_days.py").write_text(
        "def is_holiday(day: str) -> bool:\n    return day in HOLIDAYS\n\n\nHOLIDAYS = {'2013-01-01', '2013-07-04'}\n"
    )
    (folder / "pipeline.yaml").write_text(
        (folder / "pipeline.yaml").read_text() + "alerts: {slack: '#demand'}\n"
    )
    (folder / "old_name.ipynb").rename(folder / "new_name.ipynb")
    (folder / "broken.ipynb").write_text('{"cells": [')
    (folder / f"{HTML[1].replace('/', '')}.ipynb").write_bytes(hostile_notebook())
    return base, commit_all(top, "Deeper trees <script>alert(1)</script>")


def record_run(settings: Settings, release: Release, number: int, metrics: Mapping[str, float]) -> str:
    """Write a run of step `train` that succeeded without a model, and return its id."""
    store = open_store(settings)
    pipeline = release.pipeline
    start = Start(
        run=run_of(number),
        pipeline=pipeline,
        release=release.release,
        origin="release",
        environment="dev",
        nonce=f"nonce{number}",
        trigger=f"request:{number}",
        deploy=False,
        image=release.image,
    )
    store.write(start_key(pipeline, start.run), start.to_bytes(), if_generation=0)
    step = write_step(store, pipeline, start.run, "train", metrics)
    manifest = Manifest(
        start_sha256=hashlib.sha256(start.to_bytes()).hexdigest(),
        run=start.run,
        pipeline=pipeline,
        release=release.release,
        commit=release.commit or "",
        environment="dev",
        nonce=start.nonce,
        image=release.image,
        versions={},
        steps={"train": step},
        published_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    write_manifest(store, manifest, open_signer(settings, Role.CONTROL))
    return start.run
