"""Starts and ends of the service: taken ports, crashes, a store that is gone, and a drain under load."""

import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import cloudpickle
import httpx
import psutil
import pytest

from rasen.settings import load_settings, platform_environment
from rasen.store import open_store
from rasen_serving.replica import replica_name, spool_folder
from rasen_serving.supervisor import bind
from stand.serving import ROW, new_settings, running_server, start_server, under_load, wait_until
from stand.versions import deploy_version, linear, publish_and_deploy, publish_version, with_model_bytes


@pytest.mark.parametrize(
    ("name", "setting"), [("serving_port", "RASEN_SERVING_PORT"), ("admin_port", "RASEN_ADMIN_PORT")]
)
def test_a_port_in_use_is_named_with_its_setting(tmp_path: Path, name: str, setting: str) -> None:
    settings = new_settings(tmp_path, environment="dev")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", getattr(settings, name)))
        taken.listen()
        ended = subprocess.run(
            [sys.executable, "-m", "rasen_serving"],
            env=platform_environment(settings),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 70
    assert f"127.0.0.1:{getattr(settings, name)}" in ended.stderr
    assert setting in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    from rasen.errors import PlatformFailed

    with pytest.raises(PlatformFailed, match=r"192\.0\.2\.1:"):
        bind("192.0.2.1", 0, setting="RASEN_SERVING_PORT")


def test_the_command_becomes_the_supervisor(tmp_path: Path) -> None:
    settings = new_settings(tmp_path, environment="dev")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [Path(sys.executable).with_name("rasen"), "serve", "--port", str(port)],
            env=platform_environment(settings),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 70, ended.stderr
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr


def test_the_supervisor_imports_nothing_heavy() -> None:
    heavy = {
        "pandas",
        "numpy",
        "sklearn",
        "xgboost",
        "fastapi",
        "uvicorn",
        "duckdb",
        "typer",
        "rich",
        "papermill",
    }
    ended = subprocess.run(
        [sys.executable, "-c", "import sys, rasen_serving.supervisor; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert not heavy & set(ended.stdout.split())


def test_a_replicas_name_is_an_object_key(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, environment="dev", serving_port=8080)
    assert replica_name(settings).endswith("-8080")
    assert spool_folder(settings).parent == settings.spool_dir


@pytest.mark.endurance
def test_crash_refusal_and_a_store_that_is_gone(tmp_path: Path) -> None:
    """One server's life in three starts, always on the same home."""
    settings = new_settings(tmp_path / "home", environment="dev", reconcile_seconds=1.0)
    store = open_store(settings)
    good = publish_and_deploy(store, settings, number=1)
    first = start_server(settings)
    assert first.predict("demand").headers["x-rasen-model"] == good.run
    wrong = publish_version(store, settings, number=2, change=with_model_bytes(cloudpickle.dumps(linear(99))))
    deploy_version(store, settings, wrong)
    first.wait_refusal("demand", 2)
    family = [first.nursery(), *first.workers()]
    assert len(family) == 3
    first.kill()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == [], "a process has outlived its supervisor"

    # After the crash the newest record is refused again; what was live before answers.
    with running_server(settings) as second:
        assert second.predict("demand").headers["x-rasen-model"] == good.run
        state = second.state()["endpoints"]["demand"]
        assert (state["revision"], state["ledger"], list(state["refused"])) == (1, 2, ["2"])
        settings.store_dir.rename(tmp_path / "elsewhere")
        wait_until(lambda: second.state()["stale"] != "")
        assert second.predict("demand").status_code == 200
        assert second.metric("rasen_serving_store_stale") == 1

    # Without a store at all it starts from what it had verified and kept.
    third = start_server(settings)
    try:
        answer = third.predict("demand")
        assert (answer.headers["x-rasen-model"], answer.headers["x-rasen-revision"]) == (good.run, "1")
        assert third.state()["stale"] != ""
        shutil.rmtree(settings.store_dir, ignore_errors=True)
        (tmp_path / "elsewhere").rename(settings.store_dir)
        better = publish_and_deploy(store, settings, number=3)
        third.wait_revision("demand", 3)
        assert third.predict("demand").headers["x-rasen-model"] == better.run
        wait_until(lambda: third.state()["stale"] == "")

        # And it ends politely: every caller is told to go elsewhere, and none is cut off.
        with under_load(third, "demand") as load:
            load.wait_for(50)
            third.process.terminate()
            assert third.process.wait(timeout=20) == 0
    finally:
        third.stop()
    assert {status for status, _, _, _ in load.answers} == {200}
    assert load.failures == []


def test_cold_workers_serve_when_the_nursery_must_not_fork_and_an_idle_caller_holds_up_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = new_settings(tmp_path / "home", environment="dev", serving_workers=1)
    store = open_store(settings)
    publish_and_deploy(store, settings, number=1)
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import sys, threading, time\n"
        "if 'rasen_serving.nursery' in sys.orig_argv:\n"
        "    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(hook))
    server = start_server(settings)
    assert "the nursery has several threads" in server.log()
    with httpx.Client() as client:
        client.post(f"{server.url}/endpoints/demand/predict", json={"rows": [ROW]}).raise_for_status()
        server.process.send_signal(signal.SIGINT)
        assert server.stop() == 0
    # What was answered is in the store, or, on a machine too busy for that, closed and waiting for the next start.
    shipped = [stat.key for stat in store.list("predictions/demand/")]
    waiting = [path.suffix for path in spool_folder(settings).iterdir()]
    assert len(shipped) + len(waiting) == 1
    assert waiting in ([], [".closed"])
