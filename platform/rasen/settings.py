"""Where everything lies and how it is tuned: the only module that reads the environment.

An entry point builds one frozen `Settings` and passes it down. `pydantic_settings` is imported when the first
`Settings` is built, not with the module, because a notebook imports this module and needs none of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rasen.errors import InvalidInput

if TYPE_CHECKING:
    from rasen.settings_model import Settings

__all__ = [
    "CONTEXT_VARIABLE",
    "SECRETS_VARIABLE",
    "VERTEX_VARIABLES",
    "Settings",
    "child_environment",
    "context_path",
    "find_home",
    "load_settings",
    "notebook_environment",
    "platform_environment",
    "process_environment",
    "replace_environment",
    "runtime_dir",
    "secret_names",
    "secret_variables",
    "secrets_channel",
]

_SESSION_MOST = 72
VERTEX_VARIABLES = {
    "AIP_HTTP_PORT": "serving_port",
    "AIP_HEALTH_ROUTE": "vertex_health_route",
    "AIP_PREDICT_ROUTE": "vertex_predict_route",
}
"""What Vertex AI sets for the containers that it runs, and the settings that say the same."""
CONTEXT_VARIABLE = "RASEN_CONTEXT"
"""Set by the batch step for its kernel: the path of the file that says which run this is."""
SECRETS_VARIABLE = "RASEN_SECRETS_CHANNEL"
"""Set for a kernel by whoever runs its notebook: the path of the socket where it may ask for secrets."""


def context_path() -> Path | None:
    """Return the context file of the batch step this process runs in, or `None` in an interactive session."""
    value = os.environ.get(CONTEXT_VARIABLE)
    return Path(value) if value else None


def secrets_channel() -> Path | None:
    """Return the socket where this process asks for secrets, or `None` where it fetches them itself."""
    value = os.environ.get(SECRETS_VARIABLE)
    return Path(value) if value else None


def secret_names(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the variables that an environment declares to be secrets."""
    return frozenset(environment.get("RASEN_SECRETS", "").replace(",", " ").split())


def secret_variables(names: Iterable[str]) -> dict[str, str]:
    """Return the variables that the operator declares to be secrets, as far as they are there."""
    return {name: os.environ[name] for name in names if name in os.environ}


def find_home(start: Path) -> Path:
    """Return the platform's folder for somebody who works in `start`.

    The nearest ancestor that holds `.rasen` wins, then the nearest that holds `.git`, then `start` itself: like
    git, every command means the same from every folder of a repository.
    """
    ancestors = [start, *start.parents]
    for marker in (".rasen", ".git"):
        for folder in ancestors:
            if (folder / marker).exists():
                return folder / ".rasen"
    return start / ".rasen"


def child_environment(**changes: str) -> dict[str, str]:
    """Return the environment for a child process that runs analysts' code.

    Everything of ours is removed (`RASEN_*`), and so is what would let a notebook act as the platform, the
    credentials of the cloud's client libraries among them, and what is declared a secret; `changes` is added last.
    """
    withheld = (
        *("RASEN_", "JUPYTERHUB_", "CONFIGPROXY_"),
        *("GOOGLE_APPLICATION_CREDENTIALS", "AWS_SECRET", "AWS_SESSION"),
    )
    secrets = secret_names(os.environ)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(withheld) and name not in secrets
    }
    return kept | changes


def notebook_environment(**changes: str) -> dict[str, str]:
    """Return the environment for the kernel of somebody's own notebook: his own, without what is declared a secret."""
    secrets = secret_names(os.environ)
    return {name: value for name, value in os.environ.items() if name not in secrets} | changes


def replace_environment(environment: Mapping[str, str]) -> None:
    """Give this process another environment: it has just been forked, and was asked for by somebody else."""
    os.environ.clear()
    os.environ.update(environment)


def runtime_dir() -> Path:
    """Return where this user's sockets belong: a folder of the session if there is one, else one in `/tmp`.

    The path is short, because a socket's path may have 107 bytes.
    """
    session = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(session, "rasen") if 0 < len(session) < _SESSION_MOST else Path(f"/tmp/rasen-{os.getuid()}")  # noqa: S108  # checked for its owner by whoever uses it


def process_environment() -> dict[str, str]:
    """Return a copy of this process's environment, for a child that reads its settings from it."""
    return dict(os.environ)


def platform_environment(settings: Settings, **changes: str) -> dict[str, str]:
    """Return the environment for a child process of the platform that must use the very same settings."""
    # Whom commands ask instead of this machine is no business of the platform's own processes, least of all the token.
    said = settings.model_dump(mode="json", exclude={"server", "token"})
    ours = {f"RASEN_{name.upper()}": str(value) for name, value in said.items()}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RASEN_")}
    return inherited | ours | changes


def _of_vertex() -> dict[str, str]:
    """Return what Vertex AI tells the container that it runs, as far as no setting of ours says otherwise."""
    return {
        field: os.environ[name]
        for name, field in VERTEX_VARIABLES.items()
        if os.environ.get(name) and f"RASEN_{field.upper()}" not in os.environ
    }


def __getattr__(name: str) -> object:
    """Give `rasen.settings.Settings` to whoever asks for it at run time."""
    if name == "Settings":
        from rasen.settings_model import Settings

        return Settings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_settings(**overrides: Any) -> Settings:  # Any: each field has a type of its own, checked by pydantic
    """Build the settings from `RASEN_*` variables and the defaults; `overrides` win.

    Raises:
        InvalidInput: A value does not fit its field.
    """
    from pydantic import ValidationError

    from rasen.settings_model import Settings

    try:
        return Settings(**_of_vertex() | overrides)
    except ValidationError as error:
        problems = "; ".join(
            f"RASEN_{str(problem['loc'][0]).upper() if problem['loc'] else '?'}={problem['input']!r}: {problem['msg']}"
            for problem in error.errors()
        )
        raise InvalidInput(f"the settings are not usable: {problems}") from None
