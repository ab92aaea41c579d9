"""Nothing is unpickled before it is verified, and the very bytes that were verified are unpickled, on every path.

A new path that loads models is one line in `LOADING`; one that must never load any is one in `LOOKING`. The commands
are found by themselves: each is called with whatever its arguments ask for.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner

import rasen
from rasen import recorder as recorder_module
from rasen.batch.inputs import fetch_models
from rasen.batch.restore import restore_run
from rasen.cli import build_app
from rasen.deploy import ledger
from rasen.deploy.decide import Decider
from rasen.errors import DigestMismatch, ModelFailed, RasenError
from rasen.local.processes import free_port
from rasen.model import qualification, qualify_champion
from rasen.model.loading import load_version, unpickle
from rasen.model.pickle_globals import list_globals
from rasen.settings import load_settings, platform_environment
from rasen.tracking.keys import deployment_key
from rasen.tracking.manifest import read_manifest
from rasen.tracking.resigning import count_signed, find_signed
from rasen.tracking.signature import Role, load_trust, open_signer
from rasen_serving.live import load as load_in_worker
from rasen_serving.messages import CachedFile
from rasen_serving.revisions import Resolved, Revisions
from stand.booby_traps import CHANGES, PIPELINE, TAMPERS, TrappedHome, make_trapped_home, trapped_bytes
from stand.kernel import Kernel

Visit = Callable[[TrappedHome, pytest.MonkeyPatch], object]


@pytest.fixture(scope="module")
def prototype(tmp_path_factory: pytest.TempPathFactory) -> TrappedHome:
    folder = tmp_path_factory.mktemp("trapped")
    settings = load_settings(home=folder / "home", environment="dev", function_port=free_port("127.0.0.1"))
    return make_trapped_home(settings, folder / "somebody unpickled")


@pytest.fixture
def home(prototype: TrappedHome, tmp_path: Path) -> Iterator[TrappedHome]:
    """A copy to do harm to, in which nobody has unpickled yet."""
    prototype.mark.unlink(missing_ok=True)
    yield prototype.copy(tmp_path / "home")
    prototype.mark.unlink(missing_ok=True)


def _load_by_manifest(home: TrappedHome, _: pytest.MonkeyPatch) -> object:
    return load_version(
        home.store,
        load_trust(home.settings),
        pipeline=PIPELINE,
        run=home.live.run,
        manifest_sha256=home.live.manifest_sha256,
        environment="dev",
    )


def _load_interactively(home: TrappedHome, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("RASEN_HOME", str(home.settings.home))
    monkeypatch.setenv("RASEN_TRUST_FILE", str(home.settings.trust_file))
    monkeypatch.setattr(recorder_module, "_recorders", {})
    return rasen.load_model(PIPELINE)


def _fetch_for_step(home: TrappedHome) -> Kernel:
    """Do what the step's process does for `models: [demand]`."""
    folder = home.settings.home / "step"
    kernel = Kernel(folder)
    trust = load_trust(home.settings)
    (kernel.inputs / "trust.json").write_bytes(trust.to_bytes())
    fetch_models(home.store, trust, [PIPELINE], kernel.inputs / "models", environment="dev")
    return kernel


def _load_in_step(home: TrappedHome, monkeypatch: pytest.MonkeyPatch) -> object:
    _fetch_for_step(home).enter(monkeypatch)
    return rasen.load_model(PIPELINE)


def _restore(home: TrappedHome, _: pytest.MonkeyPatch) -> object:
    """Bring the model back into a folder, and load it as the README that lies beside it says."""
    restored = home.settings.home / "restored"
    restore_run(home.settings, home.live.run, restored, only="model")
    (file,) = restored.rglob("model.cloudpickle")
    return unpickle(file.read_bytes(), sha256=home.live.files["model"].sha256)


def _serve(home: TrappedHome, _: pytest.MonkeyPatch) -> object:
    return load_in_worker(Revisions(home.store, home.settings).resolve(PIPELINE, 2).revision)


LOADING: dict[str, Visit] = {
    "by the manifest": _load_by_manifest,
    "in a notebook": _load_interactively,
    "in a step": _load_in_step,
    "in serving": _serve,
    "restored": _restore,
}


@pytest.mark.parametrize("path", LOADING.values(), ids=LOADING)
def test_untouched_the_trap_goes_off(home: TrappedHome, monkeypatch: pytest.MonkeyPatch, path: Visit) -> None:
    """So each path does unpickle, and what the other tests find is not that nobody looks."""
    with suppress(ModelFailed):  # what comes out of a trap is no model
        path(home, monkeypatch)
    assert home.mark.exists()


@pytest.mark.parametrize("tamper", TAMPERS.values(), ids=TAMPERS)
@pytest.mark.parametrize("path", LOADING.values(), ids=LOADING)
def test_what_was_touched_is_refused_before_it_is_unpickled(
    home: TrappedHome,
    monkeypatch: pytest.MonkeyPatch,
    path: Visit,
    tamper: Callable[[TrappedHome], None],
) -> None:
    tamper(home)
    with pytest.raises(RasenError) as caught:
        path(home, monkeypatch)
    assert not isinstance(caught.value, ModelFailed)
    assert not home.mark.exists()


def _decide(home: TrappedHome, _: pytest.MonkeyPatch) -> list[str]:
    home.file(deployment_key(PIPELINE, 2)).unlink()  # the trap is to be decided about anew
    decider = Decider(
        home.store,
        open_signer(home.settings, Role.DECIDER),
        trust=lambda: load_trust(home.settings),
        environment="dev",
        scratch_dir=home.settings.scratch_dir,
    )
    return [record.action for record in decider.decide(PIPELINE)]


def _look_for_signatures(home: TrappedHome, _: pytest.MonkeyPatch) -> object:
    count_signed(home.store)
    return [find_signed(home.settings, home.store, key.key_id) for key in load_trust(home.settings).keys]


LOOKING: dict[str, Visit] = {
    "the function decides": _decide,
    "the ledger is read": lambda home, _: list(
        ledger.list_records(home.store, load_trust(home.settings), PIPELINE, environment="dev")
    ),
    "the manifest is read": lambda home, _: read_manifest(
        home.store, load_trust(home.settings), PIPELINE, home.live.run, environment="dev"
    ),
    "the supervisor fetches": lambda home, _: Revisions(home.store, home.settings).resolve(PIPELINE, 2),
    "signatures are counted": _look_for_signatures,
    "its imports are listed": lambda home, _: list_globals(home.file(home.model_key).read_bytes()),
}


@pytest.mark.parametrize(
    "tamper",
    [lambda home: None, *TAMPERS.values()],
    ids=["untouched", *TAMPERS],
)
@pytest.mark.parametrize("path", LOOKING.values(), ids=LOOKING)
def test_who_only_looks_never_unpickles(
    home: TrappedHome, monkeypatch: pytest.MonkeyPatch, path: Visit, tamper: Callable[[TrappedHome], None]
) -> None:
    tamper(home)
    with suppress(RasenError, FileNotFoundError):
        path(home, monkeypatch)
    assert not home.mark.exists()


BY_THEMSELVES = {
    *("rasen up", "rasen api", "rasen demo", "rasen serve"),
    *("rasen run", "rasen rerun", "rasen notebook run", "rasen test"),
}
"""Commands that start servers or execute notebooks: what they start is tried above, part by part."""


@cache
def commands() -> dict[str, TyperCommand]:
    """Return every command as it is typed."""
    found: dict[str, TyperCommand] = {}

    def collect(group: TyperGroup, typed: str) -> None:
        for name, command in group.commands.items():
            if isinstance(command, TyperGroup):
                collect(command, f"{typed} {name}")
            elif isinstance(command, TyperCommand) and f"{typed} {name}" not in BY_THEMSELVES:
                found[f"{typed} {name}"] = command

    app = typer.main.get_command(build_app())
    assert isinstance(app, TyperGroup)
    collect(app, "rasen")
    return found


def typed_for(name: str, home: TrappedHome) -> list[str]:
    """Return a command with something for everything that it asks for."""
    given = {"pipeline": PIPELINE, "endpoint": PIPELINE, "role": "control", "roles": "control", "number": "1"}
    typed = name.split()[1:]
    for parameter in commands()[name].params:
        value = given.get(str(parameter.name), home.live.run)
        if parameter.param_type_name == "argument":
            typed.append(value)
        elif parameter.required:
            typed += [parameter.opts[0], value]
    return typed


TOUCHED = {"untouched": lambda home: None} | {
    name: TAMPERS[name] for name in ("another file", "signed by a stranger")
}


@pytest.mark.parametrize("tamper", TOUCHED.values(), ids=TOUCHED)
@pytest.mark.parametrize("name", commands())
def test_no_command_unpickles_what_it_was_not_asked_to_load(
    home: TrappedHome, monkeypatch: pytest.MonkeyPatch, name: str, tamper: Callable[[TrappedHome], None]
) -> None:
    tamper(home)
    monkeypatch.chdir(home.settings.home)
    typed = typed_for(name, home)
    CliRunner().invoke(build_app(), typed, env=platform_environment(home.settings), input="")
    assert not home.mark.exists()


def test_what_is_called_does_its_work(home: TrappedHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above look away from how a command ends, so here are some that must end well."""
    monkeypatch.chdir(home.settings.home)
    for name in ("rasen show", "rasen compare", "rasen deployments", "rasen trust"):
        typed = name.split()[1:] if name == "rasen trust" else typed_for(name, home)
        done = CliRunner().invoke(build_app(), typed, env=platform_environment(home.settings))
        assert done.exit_code == 0, (typed, done.output, done.exception)
    assert _decide(home, monkeypatch) == ["deploy"]


def cached_model(resolved: Resolved) -> CachedFile:
    return resolved.revision.champion.files["model"]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_cache_of_serving_is_changed_after_it_was_verified(
    home: TrappedHome, change: Callable[[Path, Path], object]
) -> None:
    revisions = Revisions(home.store, home.settings)
    resolved = revisions.resolve(PIPELINE, 2)
    revisions.keep(resolved, held=[resolved.revision])
    change(Path(cached_model(resolved).path), home.mark)
    with pytest.raises(DigestMismatch):
        load_in_worker(resolved.revision)
    assert not home.mark.exists()
    shutil.rmtree(home.settings.store_dir)  # a start without the store
    with suppress(RasenError):
        load_in_worker(revisions.resolve_kept(PIPELINE).revision)
    assert not home.mark.exists()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_copy_of_a_step_is_changed_after_it_was_verified(
    home: TrappedHome, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path, Path], object]
) -> None:
    kernel = _fetch_for_step(home)
    change(kernel.inputs / "models" / home.model_key, home.mark)
    kernel.enter(monkeypatch)
    with pytest.raises(RasenError):
        rasen.load_model(PIPELINE)
    assert not home.mark.exists()


def _hand_out(home: TrappedHome, names: Path) -> dict[str, object]:
    """Copy the files of the live version as the step does for processes that execute it; return their description."""
    manifest = read_manifest(
        home.store, load_trust(home.settings), PIPELINE, home.live.run, environment="dev"
    )
    assert manifest.manifest.model is not None
    files = {}
    for name, file in home.live.files.items():
        home.store.download(file.key, names / name, sha256=file.sha256)
        files[name] = {"path": name, "sha256": file.sha256}
    return {"schema": manifest.manifest.model.schema_, "files": files}


def _qualify(folder: Path, described: dict[str, object], _: pytest.MonkeyPatch) -> None:
    (folder / "model.json").write_text(json.dumps(described | {"metrics": []}))
    qualification.main([str(folder), str(folder)])


def _ask_champion(folder: Path, described: dict[str, object], _: pytest.MonkeyPatch) -> None:
    (folder / "champion.json").write_text(json.dumps(described | {"versions": {}, "engines": []}))
    assert qualify_champion.main([str(folder), str(folder)]) == 1


def _judge_in_notebook(folder: Path, described: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(folder / "gate")
    context = json.loads(kernel.context.read_text())
    kernel.context.write_text(json.dumps(context | {"judged": described | {"endpoint": PIPELINE}}))
    (kernel.inputs / "judged").symlink_to(folder)
    kernel.enter(monkeypatch)
    rasen.load_model(PIPELINE)


EXECUTING: dict[str, Callable[[Path, dict[str, object], pytest.MonkeyPatch], None]] = {
    "the qualification": _qualify,
    "the live version beside the candidate": _ask_champion,
    "a gate notebook": _judge_in_notebook,
}
"""Who executes copies of files in a folder, whose digests he was told."""


@pytest.mark.parametrize("change", [None, *CHANGES.values()], ids=["untouched", *CHANGES])
@pytest.mark.parametrize("execute", EXECUTING.values(), ids=EXECUTING)
def test_a_copy_is_changed_after_it_was_verified(
    home: TrappedHome,
    monkeypatch: pytest.MonkeyPatch,
    execute: Callable[[Path, dict[str, object], pytest.MonkeyPatch], None],
    change: Callable[[Path, Path], object] | None,
) -> None:
    folder = home.settings.home / "copies"
    described = _hand_out(home, folder)
    if change is not None:
        change(folder / "model", home.mark)
    with suppress(RasenError, FileNotFoundError, AttributeError):  # what comes out of a trap is no model
        execute(folder, described, monkeypatch)
    assert home.mark.exists() == (change is None)


def test_a_file_that_changes_while_it_is_loaded_is_loaded_as_it_was_verified_or_not_at_all(
    home: TrappedHome,
) -> None:
    resolved = Revisions(home.store, home.settings).resolve(PIPELINE, 1)
    path = Path(cached_model(resolved).path)
    genuine, trap = path.read_bytes(), trapped_bytes(home.mark)
    done = threading.Event()

    def swap() -> None:
        scratch = path.with_name("scratch")
        while not done.is_set():
            for data in (trap, genuine):
                scratch.write_bytes(data)
                scratch.replace(path)

    swapping = threading.Thread(target=swap)
    swapping.start()
    outcomes: set[str] = set()
    tries = 0
    try:
        while outcomes != {"loaded", "refused"} and tries < 50_000:
            tries += 1
            try:
                unpickle(path.read_bytes(), sha256=cached_model(resolved).sha256)
                outcomes.add("loaded")
            except DigestMismatch:
                outcomes.add("refused")
        for _ in range(10):
            with suppress(DigestMismatch):
                load_in_worker(resolved.revision)
    finally:
        done.set()
        swapping.join()
    assert outcomes == {"loaded", "refused"}
    assert not home.mark.exists()


def test_a_pickle_whose_imports_look_harmless_is_not_loadable_for_that(home: TrappedHome) -> None:
    """Nobody asks the list whether a model may be loaded: what was not signed stays refused (N14)."""
    import pickle

    harmless = pickle.dumps({"slope": 1.0})
    assert list_globals(harmless).names == []
    assert list_globals(trapped_bytes(home.mark)).names != []
    home.store.write(home.model_key, harmless)
    for path in LOADING.values():
        with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(DigestMismatch):
            path(home, monkeypatch)
