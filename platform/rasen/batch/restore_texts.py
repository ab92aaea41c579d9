"""What a restored folder says in words: a README, the parameters, the environment, the metrics, and what lies where."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rasen.batch.run_artifacts import RunArtifacts
from rasen.batch.run_folder import Layout, Part
from rasen.batch.start import scheduled_instant, step_parameters
from rasen.release import Release
from rasen.tracking.ids import instant_of
from rasen.tracking.records import Manifest
from rasen.versions import environment_digest

_LOCKS = (
    "requirements.lock",
    "requirements.txt",
    "pylock.toml",
    "uv.lock",
    "environment.yml",
    "environment.yaml",
)
_UNVERIFIED = (
    "UNVERIFIED: the run did not succeed, so there is no signed manifest. Each file is what the step's own result "
    "names, nobody has signed for that."
)


def parameters_yaml(artifacts: RunArtifacts, release: Release) -> str:
    """Return the parameters that the run was executed with, as a file for `rasen run -y`.

    A parameter that has several values, one in each of several steps, cannot be given for the whole run: it stands in
    a comment, and `pipeline.yaml` gives it again.
    """
    found: dict[str, dict[str, Any]] = {}  # Any: JSON
    for step, resolved in step_parameters(release, artifacts.start).items():
        for name, value in resolved.values.items():
            found.setdefault(name, {})[step] = value
    start = artifacts.start
    lines = [
        f"# The parameters of run {start.run} of {start.pipeline}, every one with the value that it had.",
        f'# "@scheduled" was {scheduled_instant(start).isoformat()}.',
    ]
    given = []
    for name, values in found.items():
        texts = {step: json.dumps(value, ensure_ascii=False) for step, value in values.items()}
        if len(set(texts.values())) == 1:
            given.append(f"{name}: {next(iter(texts.values()))}")
        else:
            lines.append(f"# {name} differs from step to step and is left to pipeline.yaml:")
            lines += [f"#   {step}: {text}" for step, text in texts.items()]
    return "\n".join([*lines, *(given or ["{}"])]) + "\n"


def requirements(manifest: Manifest) -> str:
    """Return the libraries that a model may need, each with the version that it was made with."""
    versions = dict(manifest.versions)
    python = versions.pop("python", "")
    lines = [
        f"# Run {manifest.run} of {manifest.pipeline} used Python {python or '(unknown)'} and these libraries:",
        "# those that a model may need in order to predict. The digest of them all is",
        f"# {manifest.image}",
    ]
    lines += [f"{name}=={version}" for name, version in sorted(versions.items()) if version != "absent"]
    lines += [
        f"# {name} was not installed" for name, version in sorted(versions.items()) if version == "absent"
    ]
    return "\n".join(lines) + "\n"


def metrics(artifacts: RunArtifacts) -> list[dict[str, Any]]:  # Any: JSON
    """Return everything that was logged or measured."""
    return [
        {"step": step, **metric.model_dump(mode="json")}
        for step, result in artifacts.results.items()
        for metric in result.metrics
    ]


def description(artifacts: RunArtifacts) -> dict[str, Any]:  # Any: JSON
    """Return what the run is, for programs."""
    start, manifest, end = artifacts.start, artifacts.manifest, artifacts.finished.end
    return {
        "run": start.run,
        "pipeline": start.pipeline,
        "release": start.release,
        "commit": artifacts.release.commit if artifacts.release is not None else None,
        "environment": start.environment,
        "verdict": artifacts.verdict.value,
        "verified": artifacts.verified,
        "error": end.error if end is not None else None,
        "parameters": start.parameters,
        "image": start.image,
        "published_at": manifest.published_at.isoformat() if manifest is not None else None,
        "resumes": start.resumes,
        "steps": {
            step: {
                "verdict": result.verdict.value,
                "attempt": result.attempt,
                "reused_from": start.reuses.get(step),
            }
            for step, result in artifacts.results.items()
        },
        "model": manifest.model.model_dump(mode="json", by_alias=True)
        if manifest and manifest.model
        else None,
    }


def table_index(layout: Layout) -> list[dict[str, Any]]:  # Any: JSON
    """Return how each table was named and asked for, and where it lies."""
    return [asdict(table) for table in layout.tables]


def readme(artifacts: RunArtifacts, layout: Layout, parts: Sequence[Part], bundle: Sequence[str]) -> str:
    """Return the text that says what is what in the folder, and how to go on.

    Args:
        artifacts: The run.
        layout: Where its files lie.
        parts: What was restored.
        bundle: The paths of the release's files, empty without them.
    """
    start = artifacts.start
    how = "as `rasen restore` brought it back"
    if start.repeats is not None:
        how = "executed again by `rasen rerun`: nothing of this was published"
    lines = [
        f"Run {start.run} of pipeline {start.pipeline}, {how}.",
        "",
        f"It was for the instant {instant_of(start.run).isoformat()}, ran release {start.release} in the",
        f"environment {start.environment!r}, and ended as {artifacts.verdict.value}.",
        "Every file was compared with the digest in the run's manifest, whose signature was checked first."
        if artifacts.verified
        else _UNVERIFIED,
        "",
        "What is what",
        "  run.json            what this run is: release, commit, verdicts, lineage",
        "  metrics.json        everything that was logged or measured",
    ]
    lines += _describe_parts(artifacts, layout, parts)
    if "notebooks" in parts:
        locks = [path for path in bundle if path.rpartition("/")[2] in _LOCKS]
        lines += [
            "",
            "Run it again, with today's tables",
            "  rasen run --dev notebooks -y parameters.yaml",
            f"Run it again on the very tables that it read, and compare: rasen rerun {start.run} --verify",
        ]
        lines += [f"Its release brought its own list of libraries: notebooks/{path}" for path in locks]
    if "model" in parts and "model" in artifacts.model_files:
        file = artifacts.model_files["model"]
        name = next(placed.path for placed in layout.files if placed.file.key == file.key)
        lines += [
            "",
            "Load the model (a pickle is code: these lines run it only if it is the file that was published)",
            "  from pathlib import Path",
            "  from rasen.model.loading import unpickle",
            f'  data = Path("{name}").read_bytes()',
            f'  model = unpickle(data, sha256="{file.sha256}")',
            "  model.predict(frame)  # or model(frame), if a function was published; the columns stand in run.json",
        ]
    if artifacts.manifest is not None and artifacts.manifest.image != environment_digest():
        lines += [
            "",
            "When this was restored, the libraries there were not those of the run; in an environment of its own",
            "  pip install -r requirements.txt",
        ]
    return "\n".join(lines) + "\n"


def _describe_parts(artifacts: RunArtifacts, layout: Layout, parts: Sequence[Part]) -> list[str]:
    lines = []
    if artifacts.manifest is not None:
        lines += [
            "  manifest.json       the signed manifest, byte for byte",
            "  requirements.txt    the libraries with their versions",
        ]
    if "notebooks" in parts:
        lines += [
            "  notebooks/          the release: pipeline.yaml, notebooks and what lay beside them, without outputs",
            "  parameters.yaml     the parameters with the values that they had",
            "  output/             the executed notebooks and the logs",
        ]
        lines += (
            ["  figures/            what was drawn"]
            if any(f.path.startswith("figures/") for f in layout.files)
            else []
        )
    if "tables" in parts and layout.tables:
        lines += [
            "  tables/             by step: what it read (from the warehouse, as it was then) and what it saved",
            "  tables.json         how each was asked for, and its digest",
        ]
    if "model" in parts and artifacts.model_files:
        lines += ["  model/              the model, its example, profile and evaluation rows"]
    return lines


def to_json(value: Mapping[str, Any] | Sequence[Any]) -> bytes:  # Any: JSON
    """Return indented JSON for people."""
    return json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n"
