"""References to secrets, and the places that keep them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rasen
from rasen.batch.zygote_identity import start_environment
from rasen.errors import InvalidInput, NotFound, ParameterError, PlatformFailed
from rasen.parameters import Layer, Parameter, convert_typed, read_parameters, resolve
from rasen.secret_reference import find_references, parse_reference
from rasen.secret_values import environment_secrets, resolve_secret
from rasen.settings import (
    Settings,
    child_environment,
    load_settings,
    notebook_environment,
    platform_environment,
)
from stand.secret_manager import SecretManager, secret_manager

AT = datetime(2026, 1, 1, tzinfo=UTC)
CANARY = "canary-5f0c-value"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RASEN_SECRETS", "API_KEY,GONE,SHORT,LC_SECRET")
    monkeypatch.setenv("API_KEY", CANARY)
    monkeypatch.setenv("LC_SECRET", CANARY)
    monkeypatch.setenv("SHORT", "12345")
    monkeypatch.setenv("OTHER", "not declared to be a secret")
    return load_settings(home=tmp_path)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("secret://env/API_KEY", "API_KEY"),
        ("secret://file/db/password.txt", "db/password.txt"),
        ("secret://gcp/my-project/api-key", "api-key"),
        ("secret://gcp/my-project/api-key/7", "api-key"),
        ("secret://gcp/123456/api_key/prod", "api_key"),
    ],
)
def test_a_reference_is_read_and_written(text: str, name: str) -> None:
    assert str(parse_reference(text)) == text
    assert parse_reference(text).name == name
    assert str(parse_reference("secret://gcp/my-project/x/latest")) == "secret://gcp/my-project/x"


@pytest.mark.parametrize(
    "text",
    [
        "secret://",
        "secret://env/",
        "secret://env/A B",
        "secret://env/A/B",
        "secret://file/../x",
        "secret://file//x",
        "secret://file/a/../b",
        "secret://file/.hidden",
        "secret://gcp/p",
        "secret://gcp/my-project/a/b/c",
        "secret://gcp/my-project/a?x=1",
        "secret://vault/x",
        "secret://env/API_KEY\n",
    ],
)
def test_what_is_no_reference_is_refused_and_said(text: str) -> None:
    with pytest.raises(ValueError, match="is no reference to a secret; write secret://env/NAME"):
        parse_reference(text)


@given(st.text(min_size=1).filter(lambda text: not text.startswith("secret://")))
def test_what_may_be_the_secret_itself_is_never_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="by a reference") as caught:
        parse_reference(text)
    assert str(caught.value) == (
        "a secret is given by a reference (secret://env/NAME, secret://file/PATH or "
        "secret://gcp/PROJECT/NAME[/VERSION]), not by its value"
    )


def test_secrets_of_the_environment_are_those_that_the_operator_names(settings: Settings) -> None:
    assert resolve_secret(settings, "secret://env/API_KEY") == CANARY
    with pytest.raises(
        InvalidInput, match=r"'secret://env/OTHER' is not allowed; RASEN_SECRETS lists .* API_KEY"
    ):
        resolve_secret(settings, "secret://env/OTHER")
    with pytest.raises(NotFound, match="no variable 'GONE'"):
        resolve_secret(settings, "secret://env/GONE")
    with pytest.raises(InvalidInput, match="5 characters") as caught:
        resolve_secret(settings, "secret://env/SHORT")
    assert "12345" not in str(caught.value)
    assert environment_secrets(settings) == {
        "secret://env/API_KEY": CANARY,
        "secret://env/LC_SECRET": CANARY,
    }


def test_no_kernel_and_no_warm_process_inherits_a_secret(settings: Settings) -> None:
    step = platform_environment(settings)
    assert step["API_KEY"] == CANARY, "the process that runs the notebook resolves it"
    assert load_settings(home=settings.home).secrets == settings.secrets
    for environment in (
        child_environment(RASEN_CONTEXT="x"),
        notebook_environment(MORE="1"),
        start_environment(step),
        start_environment(child_environment()),
    ):
        assert CANARY not in environment.values()
    assert notebook_environment(MORE="1")["OTHER"] == "not declared to be a secret"


def test_a_setting_that_names_no_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("A-B", "RASEN_HOME"):
        monkeypatch.setenv("RASEN_SECRETS", wrong)
        with pytest.raises(InvalidInput, match=f"'{wrong}' is no name of a variable"):
            load_settings()


def test_files_lie_below_one_folder_and_are_nobody_elses(settings: Settings) -> None:
    folder = settings.secrets_dir
    (folder / "..data").mkdir(parents=True)
    (folder / "..data" / "password").write_text(CANARY + "\n")
    (folder / "..data" / "password").chmod(0o640)
    (folder / "password").symlink_to("..data/password")  # as Kubernetes mounts them
    assert resolve_secret(settings, "secret://file/password") == CANARY

    outside = folder.parent / "outside"
    outside.write_text(CANARY)
    outside.chmod(0o600)
    (folder / "link").symlink_to(outside)
    (folder / "loop").symlink_to("loop")
    (folder / "open").write_text(CANARY)
    (folder / "open").chmod(0o644)
    (folder / "binary").write_bytes(b"\xff" * 20)
    (folder / "large").write_bytes(b"x" * 70_000)
    (folder / "lines").write_text("\n\n\n\n\n\n\n\n")
    for name in ("binary", "large", "lines"):
        (folder / name).chmod(0o600)
    for name, error, said in (
        ("link", InvalidInput, "is no file below"),
        ("loop", PlatformFailed, "cannot be read"),
        ("..data", InvalidInput, "no reference"),
        ("open", InvalidInput, "mode 0644, others may read"),
        ("binary", InvalidInput, "not text in UTF-8"),
        ("large", InvalidInput, "more than 65536 bytes"),
        ("lines", InvalidInput, "at least 6 characters"),
        ("none", NotFound, "no such file"),
        ("password/x", PlatformFailed, "cannot be read"),
    ):
        with pytest.raises(error, match=said):
            resolve_secret(settings, f"secret://file/{name}")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecretManager]:
    with secret_manager() as manager, pytest.MonkeyPatch.context() as patch:
        account = manager.write_account(tmp_path_factory.mktemp("cloud") / "account.json")
        patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
        yield manager


def test_secret_manager_is_asked_with_our_account(
    cloud: SecretManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(home=tmp_path, secret_manager_url=f"{cloud.url}/")
    cloud.secrets = {"my-project/key/latest": CANARY.encode(), "my-project/key/2": b"the second one"}
    assert resolve_secret(settings, "secret://gcp/my-project/key") == CANARY
    assert resolve_secret(settings, "secret://gcp/my-project/key/2") == "the second one"
    with pytest.raises(NotFound, match="404 no such version"):
        resolve_secret(settings, "secret://gcp/my-project/none")

    slept: list[float] = []
    cloud.failures = [503, 429]
    assert resolve_secret(settings, "secret://gcp/my-project/key", sleep=slept.append) == CANARY
    assert slept == [0.5, 1.0]
    cloud.failures = [500] * 9
    with pytest.raises(PlatformFailed, match=r"in 4 tries .500 try again"):
        resolve_secret(settings, "secret://gcp/my-project/key", sleep=slept.append)
    cloud.failures = [403]
    with pytest.raises(InvalidInput, match=r"refused .403"):
        resolve_secret(settings, "secret://gcp/my-project/key", sleep=slept.append)
    cloud.failures = []

    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(PlatformFailed, match="does not know who we are"):
        resolve_secret(settings, "secret://gcp/my-project/key")


def test_what_is_missing_for_secret_manager_is_said_with_its_extra(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "google.auth", None)  # as if it were not installed
    with pytest.raises(PlatformFailed, match=r"pip install 'rasen\[gcp\]'"):
        resolve_secret(settings, "secret://gcp/my-project/key")


def test_by_hand_a_secret_is_fetched_where_it_is_asked_for(settings: Settings) -> None:
    assert rasen.secret("secret://env/API_KEY") == CANARY
    with pytest.raises(InvalidInput, match="by a reference") as caught:
        rasen.secret(CANARY)
    assert CANARY not in str(caught.value)


CELL = """\
import rasen
from rasen import Secret
key: rasen.Secret = "secret://env/API_KEY"
other: Secret | None = None
several: list[Secret] = ["secret://file/a", "secret://file/b"]
text: str = "secret://gcp/my-project/x/latest"
"""


def test_parameters_are_references_and_stay_references() -> None:
    parameters = read_parameters(CELL)
    assert [parameter.default for parameter in parameters] == [
        "secret://env/API_KEY",
        None,
        ["secret://file/a", "secret://file/b"],
        "secret://gcp/my-project/x",
    ]
    assert [*find_references({parameter.name: parameter.default for parameter in parameters})] == [
        "secret://env/API_KEY",
        "secret://file/a",
        "secret://file/b",
        "secret://gcp/my-project/x",
    ]


@pytest.mark.parametrize("annotation", ["Secret", "rasen.Secret", "Secret | None", "list[Secret]"])
def test_a_value_in_place_of_a_reference_is_refused_and_not_repeated(annotation: str) -> None:
    parameter = Parameter(name="key", annotation=annotation, default=None)
    for value in (CANARY, [CANARY], {"x": CANARY}, 5):
        for layer in (Layer.REQUEST, Layer.COMMAND_LINE):
            with pytest.raises(ParameterError) as caught:
                resolve([parameter], [(layer, {"key": value})], scheduled_at=AT, timezone=UTC)
            assert CANARY not in str(caught.value)
    with pytest.raises(ParameterError, match="no reference to a secret"):
        resolve(
            [Parameter(name="key", annotation="str", default="")],
            [(Layer.REQUEST, {"key": "secret://x"})],
            scheduled_at=AT,
            timezone=UTC,
        )


def test_what_is_typed_may_be_a_reference() -> None:
    parameter = Parameter(name="key", annotation="Secret", default="secret://env/A")
    assert convert_typed(parameter, "secret://env/B") == "secret://env/B"
