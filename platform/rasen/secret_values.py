"""From a reference to the secret: the operator's environment, the secrets folder, Google Secret Manager.

The operator decides what can be named at all: variables are on a list (`RASEN_SECRETS`), files lie below one folder,
and Secret Manager asks who we are. Values live in memory only; no message of an error holds one.
"""

from __future__ import annotations

import base64
import os
import stat
import time
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from rasen.errors import InvalidInput, NotFound, PlatformFailed
from rasen.secret_reference import Place, SecretReference, parse_reference
from rasen.settings import Settings, secret_variables

SHORTEST = 6
"""The fewest characters a secret may have: what is shorter stands in every text and could not be masked."""
_MOST_BYTES = 65536  # as with Secret Manager
_HTTP_SECONDS = 10.0
_TRIES = 4
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_CLOUD_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def resolve_secret(settings: Settings, reference: str, *, sleep: Callable[[float], None] = time.sleep) -> str:
    """Return the secret that a reference stands for.

    Raises:
        InvalidInput: This is no reference, or the operator does not allow it, or the secret cannot be used: empty,
            shorter than six characters, not text.
        NotFound: There is no such secret.
        PlatformFailed: Secret Manager did not answer, or a library is missing.
    """
    try:
        read = parse_reference(reference)
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    match read.place:
        case Place.ENV:
            value = _of_environment(settings, read)
        case Place.FILE:
            value = _of_file(settings, read)
        case Place.GCP:
            value = _of_secret_manager(settings, read, sleep)
        case _:
            assert_never(read.place)
    if not _is_maskable(value, read):
        raise InvalidInput(
            f"{str(read)!r} stands for {len(value)} characters that outputs could not be kept free of; a secret is "
            f"text in UTF-8, has at least {SHORTEST} characters, and is not its own name"
        )
    return value


def environment_secrets(settings: Settings) -> Mapping[str, str]:
    """Return the secrets of the environment that are there and can be masked, by their references.

    Notebooks need not ask for them to see them: they may be told by a program that they start.
    """
    found = {
        SecretReference(place=Place.ENV, path=name): value
        for name, value in secret_variables(settings.secrets).items()
    }
    return {str(reference): value for reference, value in found.items() if _is_maskable(value, reference)}


def _is_maskable(value: str, reference: SecretReference) -> bool:
    is_text = not any("\ud800" <= character <= "\udfff" for character in value)  # else no UTF-8
    return is_text and len(value.strip()) >= SHORTEST and value not in f"[secret {reference.name}]"


def _of_environment(settings: Settings, reference: SecretReference) -> str:
    if reference.path not in settings.secrets:
        raise InvalidInput(
            f"{str(reference)!r} is not allowed; RASEN_SECRETS lists the variables that are secrets: "
            f"{', '.join(settings.secrets) or 'none'}"
        )
    try:
        return secret_variables(settings.secrets)[reference.path]
    except KeyError:
        raise NotFound(
            f"{str(reference)!r} is allowed, but there is no variable {reference.path!r} in the environment "
            "of the platform's process"
        ) from None


def _of_file(settings: Settings, reference: SecretReference) -> str:
    folder = settings.secrets_dir
    try:
        # Kubernetes mounts secrets as links within their folder; a link that leads out of it is refused.
        path = (folder / reference.path).resolve(strict=True)
        inside = path.is_relative_to(folder.resolve())
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NotFound(f"{str(reference)!r}: there is no such file below {str(folder)!r}") from None
    except (OSError, RuntimeError) as error:
        raise PlatformFailed(f"{str(reference)!r} cannot be read: {error}") from None
    with open(descriptor, "rb") as file:  # noqa: PTH123  # a descriptor, not a path
        status = os.fstat(descriptor)
        if not inside or not stat.S_ISREG(status.st_mode):
            raise InvalidInput(
                f"{str(reference)!r} is no file below {str(folder)!r}; links and folders that lead elsewhere "
                "are not followed"
            )
        if status.st_mode & 0o027:
            raise InvalidInput(
                f"{str(reference)!r}: the file has mode {stat.S_IMODE(status.st_mode):04o}, others may read or change "
                "it; make it 0600 (0640 where a group must read it)"
            )
        data = file.read(_MOST_BYTES + 1)
    return _text(reference, data).removesuffix("\n").removesuffix("\r")


def _of_secret_manager(settings: Settings, reference: SecretReference, sleep: Callable[[float], None]) -> str:
    import httpx

    project, _, name = reference.path.partition("/")
    address = (
        f"{settings.secret_manager_url.rstrip('/')}/v1/projects/{project}/secrets/{name}"
        f"/versions/{reference.version}:access"
    )
    headers = {"Authorization": f"Bearer {_cloud_token(reference)}"}
    problem = ""
    for attempt in range(_TRIES):
        if attempt:
            sleep(0.25 * 2**attempt)
        try:
            response = httpx.get(address, headers=headers, timeout=_HTTP_SECONDS)
        except httpx.TransportError as error:
            problem = f"{type(error).__name__}: {error}"
            continue
        if response.status_code == httpx.codes.OK:
            return _payload(reference, response)
        problem = _problem(response)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise NotFound(f"{str(reference)!r}: Secret Manager has none ({problem})")
        if response.status_code not in _TRY_AGAIN:
            raise InvalidInput(f"{str(reference)!r}: Secret Manager refused ({problem})")
    raise PlatformFailed(f"{str(reference)!r}: Secret Manager did not answer in {_TRIES} tries ({problem})")


def _cloud_token(reference: SecretReference) -> str:
    try:
        import google.auth
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request
    except ImportError as error:
        raise PlatformFailed(
            f"{str(reference)!r} needs {error.name or 'requests'!r}, which is not installed: pip install 'rasen[gcp]'"
        ) from None
    try:
        credentials: Any  # Any: one class a kind of account, and they share no annotated base
        credentials, _ = google.auth.default(scopes=[_CLOUD_SCOPE])
        credentials.refresh(Request())
    except GoogleAuthError as error:
        raise PlatformFailed(
            f"{str(reference)!r}: Google does not know who we are ({error}); set GOOGLE_APPLICATION_CREDENTIALS, run "
            "`gcloud auth application-default login`, or give the pod a service account"
        ) from None
    return str(credentials.token)


def _payload(reference: SecretReference, response: Any) -> str:  # Any: httpx is imported where it is used
    try:
        data = base64.b64decode(response.json()["payload"]["data"], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        raise PlatformFailed(
            f"{str(reference)!r}: what Secret Manager answered is no secret ({type(error).__name__})"
        ) from None
    return _text(reference, data)


def _problem(response: Any) -> str:  # Any: as above
    try:
        message = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = response.reason_phrase
    return f"{response.status_code} {message}"


def _text(reference: SecretReference, data: bytes) -> str:
    if len(data) > _MOST_BYTES:
        raise InvalidInput(
            f"{str(reference)!r} has more than {_MOST_BYTES} bytes, the most that a secret may have"
        )
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidInput(
            f"{str(reference)!r} is not text in UTF-8; keep binary secrets in base64"
        ) from None
