"""The platform as the panel of runs shows it: asked through the control API, with the token of this server's owner."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rasen.api import client as control
from rasen.errors import InvalidInput, NotFound
from rasen.release import read_working_copy
from rasen.settings import load_settings
from rasen_labextension.notebook_about import About

_LOG_LINES = 1000
_LOG_PAGES = 50
_IN_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", re.ASCII)

Json = dict[str, Any]  # Any: JSON of the control API


def connect() -> Platform:
    """Return the platform that this server's settings name.

    Raises:
        PlatformFailed: They name none, or its token cannot be read.
    """
    settings = load_settings()
    return Platform(
        control.connect(settings, settings.server or f"http://{settings.host}:{settings.api_port}")
    )


class Platform:
    """What the panel asks of the control API."""

    def __init__(self, client: control.ControlClient) -> None:
        self._client = client

    def desk(
        self, pipeline: str, *, limit: int, awaited: Sequence[str], opened: str | None, offset: int
    ) -> Json:
        """Return what is deployed of a pipeline, its newest runs, those that somebody waits for, and lines of a log."""
        listed = self._client.runs(pipeline=pipeline, limit=limit)
        waiting = [_waiting(run) for run in listed["waiting"]]
        detailed = {run["run"] for run in listed["runs"] if run["verdict"] is None} | {opened}
        begun = [
            self._details(run["run"]) if run["run"] in detailed else _ended(run) for run in listed["runs"]
        ]
        known = {run["run"]: run for run in (*waiting, *begun)}
        return {
            "platform": self._about(pipeline),
            "runs": [*reversed(waiting), *begun],
            "awaited": [known.get(run) or self._details(run) for run in awaited],
            "log": None if opened is None else self._log(opened, offset=offset),
        }

    def run_working_copy(
        self,
        about: About,
        folder: Path,
        *,
        edited: Path,
        content: bytes,
        parameters: Json,
        typed: Mapping[str, str],
    ) -> Json:
        """Ask for a run of a folder's files as they are, one of them as it is in the browser."""
        name = edited.relative_to(folder).as_posix()
        files = {file.path: file.data for file in read_working_copy(folder).files} | {name: content}
        return self._client.order_files(
            folder.name,
            files,
            base_commit=about.commit,
            changed=about.changed,
            parameters=parameters,
            typed=typed,
        )

    def run_release(self, pipeline: str, *, parameters: Json, typed: Mapping[str, str], deploy: bool) -> Json:
        """Ask for a run of the registered release."""
        return self._client.order_run(pipeline, parameters=parameters, typed=typed, deploy=deploy)

    def cancel(self, run: str) -> None:
        """Ask for the end of a run."""
        self._client.cancel(run)

    def write_output(self, run: str, step: str, folder: Path) -> Path:
        """Write the output notebook of a step into a folder and return its path; an older copy is replaced."""
        details = self._client.run(run)
        parts = (details["pipeline"], details["run"], step)
        if not all(isinstance(part, str) and _IN_PATH.fullmatch(part) for part in parts):
            raise InvalidInput(f"run {run!r} has no step {step!r} that could become a file")
        data = self._client.notebook(run, step)
        folder.mkdir(exist_ok=True)
        # What was brought here is a copy: git has no business with it.
        (folder / ".gitignore").write_text("*\n")
        target: Path = folder / str(parts[0]) / str(parts[1]) / f"{step}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        part.write_bytes(data)
        part.replace(target)
        return target

    def compare(self, about: About, name: str, content: bytes) -> dict[str, str]:
        """Return a page that shows a notebook beside the one that the live version was trained by.

        Raises:
            NotFound: No version of the pipeline is live, or its release has no such notebook.
        """
        from rasen.review.page import render_comparison

        live = self._live(str(about.endpoint))
        if live is None or not live["versions"]:
            raise NotFound(
                f"endpoint {about.endpoint!r} has no live version yet: there is nothing to compare with"
            )
        champion = live["versions"][0]
        if champion["pipeline"] != about.pipeline or champion["release"] is None:
            raise NotFound(f"the live version of {about.endpoint!r} comes from {champion['pipeline']!r}")
        release = champion["release"]
        try:
            deployed = self._client.release_file(champion["pipeline"], release, name)
        except NotFound:
            raise NotFound(
                f"release {release!r}, which is live, has no notebook {name!r}: this one is new"
            ) from None
        title = f"{name}: {release} → working copy"
        html = render_comparison(
            deployed, content, title_old=f"{release} (live)", title_new="working copy", scripted=False
        )
        return {"title": title, "html": html}

    def _about(self, pipeline: str) -> Json:
        try:
            form = self._client.pipeline(pipeline)
        except NotFound:  # a working copy may run before anything is registered
            return {"registered": False, "release": None, "commit": None, "live": None}
        return {
            "registered": True,
            "release": form["release"],
            "commit": form["commit"],
            "live": self._live(form["endpoint"]),
        }

    def _live(self, endpoint: str) -> Json | None:
        try:
            live = self._client.endpoint(endpoint)
        except NotFound:
            return None
        held = live.get("held") or live.get("frozen")
        return {
            **{
                key: live[key]
                for key in ("endpoint", "number", "since_at", "action", "actor", "reason", "versions")
            },
            "held": None if held is None else str(held.get("reason") or held.get("run") or "held"),
        }

    def _details(self, run: str) -> Json:
        details = self._client.run(run)
        start = details.get("start") or {}
        return {
            "run": details["run"],
            "pipeline": details["pipeline"],
            "release": details["release"],
            "origin": start.get("origin")
            or ("workspace" if details["release"].startswith("dev-") else "release"),
            "state": details["state"],
            "place": details["place"],
            "started_at": _instant(details["run"]),
            "seconds": details["seconds"],
            "by": details["by"],
            "error": details["error"],
            "metrics": _plain_metrics(details["steps"]),
            "commit": details["commit"],
            "changed": list(details["changed"]),
            "steps": [_step(step) for step in details["steps"]],
        }

    def _log(self, run: str, *, offset: int) -> Json:
        """Return the lines of a run's log from an offset on; of many, the last ones."""
        lines: list[str] = []
        for _ in range(_LOG_PAGES):
            page = self._client.logs(run, offset=offset)
            lines += [f"{line['step']}  {line['text']}" for line in page["lines"]]
            offset = page["offset"]
            if not page["lines"]:
                break
        return {"run": run, "lines": lines[-_LOG_LINES:], "offset": offset}


def _waiting(run: Json) -> Json:
    return {
        **{key: run[key] for key in ("run", "pipeline", "release", "place", "by", "changed")},
        "origin": "workspace" if run["release"].startswith("dev-") else "release",
        "state": "cancelling" if run["cancelling"] else "waiting",
        "started_at": run["at"],
        "seconds": None,
        "error": None,
        "metrics": {},
        "commit": run["base_commit"],
        "steps": [],
    }


def _ended(run: Json) -> Json:
    return {
        **{
            key: run[key]
            for key in ("run", "pipeline", "release", "origin", "started_at", "seconds", "error", "metrics")
        },
        "state": run["verdict"],
        "place": None,
        "by": None,
        "commit": None,
        "changed": [],
        "steps": [],
    }


def _step(step: Json) -> Json:
    live, result = step["live"], step["result"]
    error = (result or {}).get("error")
    return {
        "step": step["step"],
        "state": step["verdict"] or ("running" if live else "waiting"),
        "cell": None if live is None else (live["cell"] or 0),
        "cells": None if live is None else live["cells"],
        "seconds": (live or result or {}).get("seconds"),
        "error": None if error is None else f"{error['name']}: {error['message']}",
        "line": None if live is None else live["last_line"],
        "has_notebook": step["step"] != "_qualify" and (live is not None or result is not None),
    }


def _plain_metrics(steps: Iterable[Json]) -> dict[str, float]:
    return {
        metric["name"]: metric["value"]
        for step in steps
        for metric in (step["result"] or {}).get("metrics", [])
        if not metric["slice"]
    }


def _instant(run: str) -> str:
    """Return the instant in a run's id, as ISO text."""
    digits = run[:18]
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}T{digits[9:11]}:{digits[11:13]}:{digits[13:15]}.{digits[15:18]}Z"
