"""From the body of a wish for a run to the request in the store."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime

from rasen.api.bodies import RunOrder, RunOrdered
from rasen.api.desk import Desk
from rasen.batch.catalogue import check_release
from rasen.batch.platform_runs import file_run
from rasen.batch.run_states import describe_run_state
from rasen.bundle import BundleFile
from rasen.commit_files import is_litter
from rasen.errors import InvalidInput, PipelineError
from rasen.pipeline import PIPELINE_FILE
from rasen.release import Release, current_release, read_release, register_files
from rasen.tracking.ids import check_name
from rasen.tracking.signature import Role, load_trust, open_signer
from rasen.versions import environment_digest


def order_run(desk: Desk, order: RunOrder, *, by: str) -> RunOrdered:
    """File the request for a run; a working copy becomes a release of its own first.

    Raises:
        NotFound: There is no such pipeline or release.
        InvalidInput: Something in it is not usable; nothing was asked for.
        TrustError: The release cannot be trusted.
    """
    release = _release(desk, order)
    filed = file_run(
        desk.store,
        release,
        given=order.parameters,
        typed=order.typed,
        deploy=order.deploy if order.deploy is not None else order.files is None,
        request=order.request,
        by=by,
        now=datetime.now(tz=UTC),
        base_commit=order.base_commit,
        changed=order.changed,
        settled=desk.settled,
    )
    state = "cancelling" if filed.cancelling else "waiting"
    if filed.place is None:
        state = describe_run_state(desk.settings, f"{filed.pipeline}/{filed.run}", settled=desk.settled).state
    return RunOrdered(
        pipeline=filed.pipeline,
        run=filed.run,
        request=filed.request,
        release=filed.release,
        base_commit=filed.base_commit,
        changed=list(filed.changed),
        state=state,
        place=filed.place,
    )


def _release(desk: Desk, order: RunOrder) -> Release:
    settings, store = desk.settings, desk.store
    if order.files is None:
        assert order.pipeline is not None  # held by RunOrder
        name = check_name("pipeline", order.pipeline)
        current = current_release(store, name)
        if order.release is not None:
            check_release(store, name, order.release)
        return read_release(
            store, load_trust(settings), name, order.release or current, environment=settings.environment
        )
    if settings.environment != "dev":
        raise InvalidInput(
            f"a working copy runs in the environment 'dev' only, this is {settings.environment!r}; commit and register"
        )
    return register_files(
        decode_files(order.files),
        folder=order.folder if order.folder.isprintable() else "",
        store=store,
        signer=open_signer(settings, Role.REGISTRAR),
        image=environment_digest(),
    )


def decode_files(files: Mapping[str, str]) -> list[BundleFile]:
    """Return the files of a working copy; what Jupyter, Python and git leave behind is left out.

    Raises:
        PipelineError: One is no base64, or `pipeline.yaml` is not among them.
    """
    if PIPELINE_FILE not in files:
        raise PipelineError(
            f"there is no {PIPELINE_FILE!r} among the files; paths are relative to the folder that holds it"
        )
    found = []
    for path, text in files.items():
        if is_litter(path):
            continue
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise PipelineError(f"file {path[:200]!r} is no base64") from None
        found.append(BundleFile(path=path, data=data))
    return found
