"""Secrets used by real notebooks in every careless way: no file that is left behind holds one."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import papermill
import pytest

import rasen
from rasen.batch.execute import Executed, execute
from rasen.batch.secret_channel import keep_secrets
from rasen.errors import InvalidInput, NotFound, PlatformFailed
from rasen.settings import Settings, load_settings
from rasen.tracking.keys import result_key
from rasen.tracking.records import StepResult, Verdict
from stand.pipelines import write_notebook, write_pipeline
from stand.platform_process import RASEN, until

PLAIN = "canary5f0c7value91ab"
NASTY = "canäry\"5f0c'7\\value&<91ab>/+"
PARAMETERS = """\
import rasen
plain: rasen.Secret = "secret://env/CANARY"
nasty: str = "secret://file/deep/canary.txt"
"""
FETCH = "import rasen\nplain, nasty = rasen.secret(plain), rasen.secret(nasty)\nboth = [plain, nasty]"
SHOW = """\
import base64, json, logging, os, subprocess, sys, threading, time, urllib.parse, warnings
import pandas as pd
from IPython.display import HTML, JSON, Markdown, display, update_display
print(*both)
print(both, repr(nasty), json.dumps(both))
for secret in both:
    print(secret[:7], end="")
    print(secret[7:], end="")
    print("", flush=True)
    warnings.warn(f"{secret} is deprecated")
    logging.warning("logged %s", secret)
    print(secret, file=sys.stderr)
    display(HTML(f"<b>{secret}</b>"), Markdown(secret), JSON({"key": secret, secret: 1}))
    display(f"nothing yet", display_id=secret[:3])
    update_display(secret, display_id=secret[:3])
    print(f"https://example.com/?key={urllib.parse.quote(secret)}&more={urllib.parse.quote_plus(secret)}")
    print(base64.b64encode(f"user:{secret}".encode()).decode(), secret.encode().hex(), secret.encode())
    subprocess.run(["echo", secret])
    subprocess.run(["sh", "-c", "echo $0 >&2", secret])
    os.write(1, secret.encode() + b"\\n")
    os.write(2, secret.encode() + b"\\n")
    sys.__stderr__.write(secret + "\\n")
    sys.__stderr__.flush()
    os.environ["LEAK"] = secret
    os.system("env | grep LEAK")
print(dict(os.environ))
threading.Timer(0.05, print, both).start()
time.sleep(0.15)
pd.DataFrame({"key": both})
"""
FLOOD = "print((('x' * 990 + plain + nasty + '\\n') * 6_000))"
LOG = """\
import matplotlib.pyplot as plt
rasen.log_metrics(**{plain: 1.0}, slice={"who": nasty})
rasen.log_figure(plt.figure(), plain)
rasen.save_table(plain, pd.DataFrame({"x": [1]}))
"""
RAISE = (
    "print('the last words are', plain, end='')\nraise ValueError(f'cannot log in with {plain} or {nasty}')"
)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RASEN_SECRETS", "CANARY")
    monkeypatch.setenv("CANARY", PLAIN)
    monkeypatch.setenv("RASEN_SECRETS_DIR", str(tmp_path / "operator"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "operator" / "deep").mkdir(parents=True)
    (tmp_path / "operator" / "deep" / "canary.txt").write_text(NASTY + "\n")
    (tmp_path / "operator" / "deep" / "canary.txt").chmod(0o600)
    return load_settings(home=tmp_path / "home")


def leaks(*places: Path | bytes) -> list[str]:
    """Return where something stands from which a canary can be read."""
    forms = {"path-like": b"canary5f0c", "hex": b"canary5f0c".hex().encode(), "nasty": b"7\\value&<91ab"}
    for canary in (PLAIN, NASTY):
        forms |= {
            f"{canary} itself": canary.encode(),
            f"{canary} in JSON": json.dumps(canary)[1:-1].encode(),
            f"{canary} in JSON twice": json.dumps(json.dumps(canary)[1:-1])[1:-1].encode(),
            f"{canary} in a URL": quote(canary).encode(),
            f"{canary} in base64": base64.b64encode(b"user:" + canary.encode())[8:-4],
            f"{canary} at its end": canary.encode()[-9:],
            f"{canary} at its beginning": canary.encode()[:9],
        }
    texts: dict[str, bytes] = {}
    for place in places:
        if isinstance(place, bytes):
            texts["what was said"] = place
        else:
            files = [path for path in place.rglob("*") if path.is_file()]
            texts |= {str(path.relative_to(place)): path.read_bytes() for path in files}
            texts |= {f"name {path}": path.name.encode() for path in place.rglob("*")}
    assert texts
    return [
        f"{name}: {form}" for name, text in texts.items() for form, found in forms.items() if found in text
    ]


def run(settings: Settings, folder: Path) -> Executed:
    return execute(
        settings,
        str(folder),
        dev=True,
        release_id=None,
        given={},
        typed=[],
        deploy=False,
        request=None,
        by="tests",
        now=datetime.now(tz=UTC),
        observe=lambda _: None,
    )


def result_of(executed: Executed, step: str) -> StepResult:
    key = result_key(executed.pipeline, executed.run, step, 1)
    return StepResult.from_bytes(executed.store.read(key))


def test_a_run_leaves_no_secret_anywhere(settings: Settings, tmp_path: Path) -> None:
    cells = [FETCH, SHOW, FLOOD, LOG, RAISE]
    executed = run(settings, write_pipeline(tmp_path / "toy", {"train": cells}, parameters=PARAMETERS))
    assert executed.verdict is Verdict.FAILED
    explained = "\n".join(executed.explanation())
    assert leaks(settings.home, tmp_path / "tmp", explained.encode()) == []

    result = result_of(executed, "train")
    assert result.error is not None
    assert result.error.message == "cannot log in with [secret CANARY] or [secret deep/canary.txt]"
    assert "[secret CANARY]" in result.error.traceback
    assert result.metrics[0].name == "[secret CANARY]"
    assert result.metrics[0].slice == {"who": "[secret deep/canary.txt]"}
    assert list(result.figures) == list(result.tables) == ["[secret CANARY]"]
    for file in result.files:
        assert executed.store.stat(file.key) is not None
    notebook = json.loads(executed.store.read(_key(result, "output.ipynb")))
    injected = "".join(
        next(cell["source"] for cell in notebook["cells"] if "injected" in str(cell["metadata"]))
    )
    assert 'plain = "secret://env/CANARY"' in injected
    assert notebook["metadata"]["papermill"]["parameters"]["nasty"] == "secret://file/deep/canary.txt"
    log = executed.store.read(_key(result, "log.txt")).decode()
    assert "[secret CANARY]" in log, "what was written past the messages is there, masked"


def _key(result: StepResult, name: str) -> str:
    return next(file.key for file in result.files if file.key.endswith(f"/{name}"))


def test_a_secret_that_was_saved_keeps_the_step_from_succeeding(settings: Settings, tmp_path: Path) -> None:
    save = "import pandas as pd\nrasen.save_table('keys', pd.DataFrame({'key': [plain]}))\nrasen.log_metrics(rmse=1.0)"
    executed = run(
        settings, write_pipeline(tmp_path / "toy", {"train": [FETCH, save]}, parameters=PARAMETERS)
    )
    assert executed.verdict is Verdict.FAILED
    result = result_of(executed, "train")
    assert result.error is not None
    assert "a secret stands in what the notebook saved: 'tables/" in result.error.message
    assert (result.tables, result.metrics) == ({}, [])
    assert leaks(settings.home) == []


def test_what_cannot_be_resolved_is_said_before_a_kernel_starts(settings: Settings, tmp_path: Path) -> None:
    parameters = PARAMETERS.replace("CANARY", "OTHER")
    executed = run(settings, write_pipeline(tmp_path / "toy", {"train": ["1"]}, parameters=parameters))
    assert executed.verdict is Verdict.FAILED
    result = result_of(executed, "train")
    assert result.error is not None
    assert "parameter 'plain': 'secret://env/OTHER' is not allowed" in result.error.message
    assert not any(file.key.endswith("output.ipynb") for file in result.files)


def test_a_single_notebook_leaves_no_secret_either(settings: Settings, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    cells = [FETCH, SHOW, RAISE]
    write_notebook(place / "in.ipynb", cells, parameters=PARAMETERS)
    command = ["notebook", "run", "in.ipynb", "out.ipynb", "--log-output"]
    command += ["--stdout-file", "said", "--stderr-file", "err"]
    done = subprocess.run([*RASEN, *command], cwd=place, capture_output=True, check=False)
    assert done.returncode == 42, done.stderr
    assert b"cannot log in with [secret CANARY] or" in done.stderr
    assert leaks(place, tmp_path / "tmp", done.stdout + done.stderr) == []
    assert "[secret CANARY]" in (place / "said").read_text()
    assert "'CANARY':" not in (place / "said").read_text(), "the kernel's environment is without it"


@pytest.mark.parametrize(
    "given", [[], ["-p", "other=secret://env/OTHER"], ["-y", "other: secret://env/OTHER"]]
)
def test_a_single_notebook_does_not_start_without_its_secrets(
    given: list[str], settings: Settings, tmp_path: Path
) -> None:
    default = "secret://env/OTHER" if not given else "secret://env/CANARY"
    write_notebook(tmp_path / "in.ipynb", ["1"], parameters=f'other: str = "{default}"')
    command = [*RASEN, "notebook", "run", "in.ipynb", "out.ipynb", *given]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "parameter 'other': 'secret://env/OTHER' is not allowed" in " ".join(done.stderr.split())
    assert not (tmp_path / "out.ipynb").exists()


def test_a_runner_that_was_killed_leaves_no_secret(settings: Settings, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    write_notebook(
        place / "in.ipynb", [FETCH, SHOW, FLOOD, "import time\ntime.sleep(600)"], parameters=PARAMETERS
    )
    process = subprocess.Popen(
        [*RASEN, "notebook", "run", "in.ipynb", "out.ipynb"], cwd=place, stderr=subprocess.PIPE
    )
    journal = place / ".out.ipynb.journal"
    until(lambda: journal.exists() and b"bytes more were shown" in journal.read_bytes(), seconds=60)
    process.send_signal(signal.SIGKILL)
    said = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL, said
    assert leaks(place, tmp_path / "tmp", said) == []


def test_plain_papermill_with_our_engine_masks_too(settings: Settings, tmp_path: Path) -> None:
    write_notebook(tmp_path / "in.ipynb", [FETCH, "print(both)"], parameters=PARAMETERS)
    out = io.StringIO()
    papermill.execute_notebook(
        str(tmp_path / "in.ipynb"),
        str(tmp_path / "out.ipynb"),
        engine_name="rasen",
        parameters={"plain": "secret://env/CANARY"},
        stdout_file=out,
        progress_bar=False,
    )
    assert out.getvalue() == "['[secret CANARY]', '[secret deep/canary.txt]']\n"
    assert leaks((tmp_path / "out.ipynb").read_bytes()) == []


@contextmanager
def asking(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with keep_secrets(settings, {}) as keeper, monkeypatch.context() as patch:
        for name, value in keeper.environment.items():
            patch.setenv(name, value)
        yield


def test_a_kernel_asks_and_many_ask_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with asking(settings, monkeypatch):
        assert rasen.secret("secret://file/deep/canary.txt") == NASTY
        answers: list[str] = []
        threads = [
            threading.Thread(target=lambda: answers.append(rasen.secret("secret://env/CANARY")))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [PLAIN] * 20
        with pytest.raises(InvalidInput, match="'secret://env/OTHER' is not allowed"):
            rasen.secret("secret://env/OTHER")
        with pytest.raises(NotFound, match="no such file"):
            rasen.secret("secret://file/other")
        folder = Path(os.environ["RASEN_SECRETS_CHANNEL"]).parent
        assert folder.stat().st_mode & 0o077 == 0
        assert [path.name for path in folder.iterdir()] == ["secrets"], "a socket, and nothing written down"
        monkeypatch.setenv("RASEN_SECRETS_CHANNEL", str(folder / "gone"))
        with pytest.raises(PlatformFailed, match="did not answer"):
            rasen.secret("secret://env/CANARY")
    assert not folder.exists()


def test_the_mask_knows_a_secret_before_the_kernel_does(settings: Settings) -> None:
    with keep_secrets(settings, {}) as keeper:
        assert keeper.mask(PLAIN) == "[secret CANARY]", "a program may be told it without anybody asking"
        assert keeper.mask(NASTY) == NASTY
        keeper.resolve("secret://file/deep/canary.txt")
        assert keeper.mask(NASTY) == "[secret deep/canary.txt]"
