"""What the Open Inference Protocol says of server and models, for HTTP and gRPC alike."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from rasen.data.columns import ColumnType
from rasen.errors import NotFound
from rasen_serving.live import Live
from rasen_serving.oip_datatypes import datatype_of, outputs_of
from rasen_serving.refusals import Asleep

if TYPE_CHECKING:
    from rasen_serving.service import Service

SERVER_NAME = "rasen"
PLATFORM = "rasen"
EXTENSIONS = ("binary_tensor_data",)


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorMetadata:
    """One input or output; `-1` in a shape is any number of rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @classmethod
    def of_column(cls, name: str, kind: ColumnType) -> TensorMetadata:
        """Return the metadata of a column."""
        return cls(name=name, datatype=datatype_of(kind), shape=(-1,))


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelMetadata:
    """One endpoint, with the versions that are live."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


def server_version() -> str:
    """Return the version of Rasen that answers."""
    return version("rasen")


def describe_model(live: Live) -> ModelMetadata:
    """Return the metadata of the endpoint's champion."""
    schema = live.champion.loaded.schema
    return ModelMetadata(
        name=live.revision.endpoint,
        versions=tuple(arm.loaded.version.run for arm in live.arms),
        platform=PLATFORM,
        inputs=tuple(TensorMetadata.of_column(column.name, column.type) for column in schema.inputs),
        outputs=tuple(
            TensorMetadata.of_column(name, kind) for name, kind in outputs_of(schema.output).items()
        ),
    )


def is_ready(service: Service) -> bool:
    """Return whether the server should get requests, as `/readyz` says it."""
    return service.situation.ready and not service.draining


def find_live(service: Service, endpoint: str) -> Live:
    """Return the revision of an endpoint that answers; one that sleeps is woken.

    Raises:
        NothingLive: The endpoint is known and has none, or is being loaded.
        NotFound: There is no such endpoint.
    """
    try:
        return service.versions.take(endpoint)
    except Asleep:
        service.want(endpoint)
        raise


def check_ready(service: Service, endpoint: str, version: str = "") -> None:
    """Do nothing when an endpoint answers, with a version if one is named; one that sleeps would.

    Raises:
        NothingLive: The endpoint is known, and nothing is live.
        NotFound: There is no such endpoint, or the version is not live.
    """
    if version or endpoint not in service.versions.asleep:
        find_version(find_live(service, endpoint), version)


def find_version(live: Live, wanted: str) -> str:
    """Return the run that a version in a request's path names, `""` when any run of the live revision will do.

    Args:
        live: The endpoint's live revision.
        wanted: A run, the number of the live revision, or `""`.

    Raises:
        NotFound: It is not live.
    """
    if wanted in ("", str(live.revision.number)):
        return ""
    runs = [arm.loaded.version.run for arm in live.arms]
    if wanted in runs:
        return wanted
    raise NotFound(
        f"version {wanted[:100]!r} of {live.revision.endpoint!r} is not live; live are revision "
        f"{live.revision.number} and its runs {', '.join(map(repr, runs))}"
    )
