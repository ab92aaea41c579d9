"""What the store says of a release: `release.json`, signed and never changed, and the pointer `current.json`.

The record carries the parsed `pipeline.yaml` and the parameters of every notebook, so that a run can be planned, and
its parameters checked, without opening the bundle.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from rasen.parameters import Parameter
from rasen.pipeline_schema import Pipeline
from rasen.tracking.records import Part, Record

Origin = Literal["release", "workspace"]
WORKSPACE_ENVIRONMENT = "dev"


class BundleRecord(Part):
    """The archive of a release's files, and the digest of its content before compression."""

    sha256: str
    size_bytes: int
    content_sha256: str


class Release(Record):
    """What `release.json` says.

    A workspace release has no commit, author or `committed_at`, and `sequence` 0. `environments` is `None` where any
    environment that trusts the key will do. `parameters` are those of each step's notebook.
    """

    pipeline: str
    release: str
    origin: Origin
    environments: list[str] | None = None
    commit: str | None
    sequence: int
    folder: str
    bundle: BundleRecord
    image: str
    owner: str
    author: str | None
    message: str | None = None  # of the commit, its first line
    committed_at: datetime | None
    spec: Pipeline
    parameters: dict[str, tuple[Parameter, ...]]


class Current(Record):
    """What `current.json` says: a pipeline's newest release, and what would make another one necessary."""

    pipeline: str
    release: str
    sequence: int
    folder: str
    content_sha256: str
    image: str
