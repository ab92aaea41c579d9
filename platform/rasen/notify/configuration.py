"""`alerts.yaml`: the operator's file that says who is told what.

Addresses of receivers come from this file only. A pipeline may name a Slack channel or mailboxes, never an address to
post to, so no notebook's author can make the platform call somewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from rasen.errors import InvalidInput
from rasen.pipeline_alerts import ALERT_KINDS, AlertKind, Mailbox, SlackChannel
from rasen.pipeline_keys import Keys
from rasen.pipeline_values import OWN_PROBLEMS, Duration, Latency, Name, parse_duration, parse_latency
from rasen.secret_reference import SCHEME, parse_reference
from rasen.strict_yaml import Document, YamlProblem, parse_yaml
from rasen.suggestion import suggest

LOG = "log"
"""The receiver that is always there."""


def _error(text: str) -> PydanticCustomError:
    return PydanticCustomError("alerts", "{problem}", {"problem": text})


def _check_reference(text: str) -> str:
    try:
        return str(parse_reference(text))
    except ValueError as error:
        raise _error(str(error)) from None


def _check_secret(text: str) -> str:
    if not text.startswith(SCHEME):
        raise _error(
            "is a secret and may not stand here; write a reference: secret://env/NAME or secret://file/PATH"
        )
    return _check_reference(text)


def _check_address(text: str) -> str:
    if text.startswith(SCHEME):
        return _check_reference(text)
    if not is_http_address(text):
        raise _error(
            "is no address that can be posted to; write https://… without user or spaces, or better a reference to it: "
            "secret://env/NAME or secret://file/PATH"
        )
    return text


def is_http_address(text: str) -> bool:
    """Return whether a text is an address that may be posted to."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return usable and parts.username is None and all(32 < ord(one) < 127 for one in text)


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _check_kind(value: object) -> object:
    if isinstance(value, str) and value not in ALERT_KINDS:
        raise _error(f"{value[:40]!r} is no kind of alert: {suggest(value, ALERT_KINDS)}")
    return value


SecretText = Annotated[str, Field(strict=True), AfterValidator(_check_secret)]
Address = Annotated[str, Field(strict=True), AfterValidator(_check_address)]
_Text = Annotated[str, Field(strict=True, min_length=1, max_length=200)]
_Texts = Annotated[tuple[_Text, ...], BeforeValidator(_as_list)]
_Kinds = Annotated[tuple[Annotated[AlertKind, BeforeValidator(_check_kind)], ...], BeforeValidator(_as_list)]


class _Receiver(Keys):
    """What all receivers have in common."""

    timeout: Latency = Field(default="10s", description="how long it may take to answer: 500ms, 10s")
    queue: Annotated[int, Field(strict=True, ge=1, le=10_000)] = Field(
        default=200, description="most messages that wait for it; the oldest are dropped, and counted"
    )

    @property
    def timeout_seconds(self) -> float:
        """How long it may take to answer."""
        return parse_latency(self.timeout)


class SlackReceiver(_Receiver):
    """A Slack channel, through its incoming webhook."""

    kind: Literal["slack"]
    url: Address = Field(description="the webhook's address, as secret://…")
    channel: SlackChannel | None = Field(
        default=None, description="the channel that it posts to, so that pipelines can name it"
    )


class WebhookReceiver(_Receiver):
    """Any program that takes JSON over HTTP."""

    kind: Literal["webhook"]
    url: Address = Field(description="where to post, as secret://… or https://…")
    signing_secret: SecretText | None = Field(
        default=None, description="key of the signature X-Rasen-Signature-256, as secret://…"
    )


class EmailReceiver(_Receiver):
    """Mailboxes, through an SMTP server."""

    kind: Literal["email"]
    server: _Text = Field(description="the SMTP server's name")
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] = Field(default=587, description="its port")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="starttls, tls (from the first byte), or none"
    )
    user: Annotated[str, Field(strict=True, max_length=200)] = Field(default="", description="who logs in")
    password: SecretText | None = Field(default=None, description="his password, as secret://…")
    sender: Mailbox = Field(description="who the messages are from")
    to: tuple[Mailbox, ...] = Field(default=(), description="who gets them when a route names this receiver")
    domains: tuple[_Text, ...] = Field(
        default=(), description="domains whose mailboxes pipelines may name in alerts.email"
    )


class LogReceiver(_Receiver):
    """A file of JSON lines on this machine."""

    kind: Literal["log"]
    file: Annotated[str, Field(strict=True)] = Field(
        default="", description="the file; logs/alerts.log in the platform's home if absent"
    )


Receiver: TypeAlias = SlackReceiver | WebhookReceiver | EmailReceiver | LogReceiver
_KINDS: dict[str, type[Keys]] = {
    "slack": SlackReceiver,
    "webhook": WebhookReceiver,
    "email": EmailReceiver,
    "log": LogReceiver,
}


def _check_receiver(value: Any) -> Any:  # Any: whatever the YAML holds; the union checks the rest
    if not isinstance(value, dict):
        return value
    kind = value.get("kind")
    if kind is None:
        raise _error(f"`kind` is missing: {', '.join(_KINDS)}")
    if kind not in _KINDS:
        raise _error(f"unknown kind of receiver {str(kind)[:60]!r}: {suggest(str(kind), _KINDS)}")
    return value


class Route(Keys):
    """Who is told of what. What a route does not say, it does not ask for; `*` stands for any characters."""

    owner: _Texts = Field(default=(), description="owners of pipelines")
    pipeline: _Texts = Field(default=(), description="pipelines")
    endpoint: _Texts = Field(default=(), description="endpoints")
    kind: _Kinds = Field(default=(), description="kinds of alerts; all but success if absent")
    success: Annotated[bool, Field(strict=True)] = Field(
        default=False, description="whether it is also told that a version went live"
    )
    to: _Texts = Field(min_length=1, description="receivers")

    def covers(self, *, kind: str, owner: str, pipeline: str, endpoint: str) -> bool:
        """Return whether something of this kind, about this pipeline and endpoint, goes this way."""
        if kind == AlertKind.SUCCESS:
            told = self.success or AlertKind.SUCCESS in self.kind
        else:
            told = not self.kind or kind in self.kind or kind == "test"
        asked = ((self.owner, owner), (self.pipeline, pipeline), (self.endpoint, endpoint))
        return told and all(
            not patterns or any(fnmatchcase(found, pattern) for pattern in patterns)
            for patterns, found in asked
        )


class Configuration(Keys):
    """The whole of `alerts.yaml`."""

    not_built: ClassVar[tuple[str, ...]] = ()

    receivers: dict[
        Name, Annotated[Annotated[Receiver, Field(discriminator="kind")], BeforeValidator(_check_receiver)]
    ] = Field(default={}, description="where messages can go, by name")
    routes: tuple[Route, ...] = Field(default=(), description="who is told of what; all that fit are told")
    default: _Texts = Field(default=(LOG,), description="receivers of what no route fits")
    remind: Duration = Field(
        default="24h", description="an incident that goes on is told again after so long"
    )
    quiet: Duration = Field(
        default="10m", description="a fallback is over when a model answered by itself for so long"
    )
    development: Annotated[bool, Field(strict=True)] = Field(
        default=False, description="whether runs of `--dev` that fail are told too"
    )

    @property
    def remind_seconds(self) -> float:
        """After how long an incident that goes on is told again."""
        return parse_duration(self.remind).total_seconds()

    @property
    def quiet_seconds(self) -> float:
        """How long a model must have answered by itself."""
        return parse_duration(self.quiet).total_seconds()

    def receiver(self, name: str) -> Receiver | None:
        """Return a receiver, `None` when there is none of this name."""
        return self.receivers.get(name) or (LogReceiver(kind="log") if name == LOG else None)

    @property
    def names(self) -> list[str]:
        """The names of all receivers."""
        return sorted({*self.receivers, LOG})


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """What is wrong at `location`; the message names `place`."""

    location: tuple[str | int, ...]
    place: tuple[str | int, ...]
    message: str


def parse_configuration(text: str, *, source: str) -> Configuration:
    """Read the text of an `alerts.yaml`; `source` stands for it in messages.

    Raises:
        InvalidInput: Something in it is wrong; the message names each line and key.
    """
    try:
        document = parse_yaml(text)
    except YamlProblem as problem:
        raise InvalidInput(f"{source}, line {problem.line}: {problem.message}") from None
    if document.data is None:
        return Configuration()
    if not isinstance(document.data, dict):
        keys = ", ".join(Configuration.model_fields)
        raise InvalidInput(f"{source} holds a {type(document.data).__name__}; it must hold keys: {keys}")
    try:
        configuration = Configuration.model_validate(document.data)
    except ValidationError as error:
        raise _refusal(source, document, _explain(error)) from None
    if problems := list(_check_names(configuration)):
        raise _refusal(source, document, problems)
    return configuration


def read_configuration(path: Path) -> Configuration:
    """Read the operator's file; without it there is only the log.

    Raises:
        InvalidInput: Something in it is wrong; the message names each line and key.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return Configuration()
    except UnicodeDecodeError:
        raise InvalidInput(f"{path.name} is not text in UTF-8") from None
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}") from None
    return parse_configuration(text, source=path.name)


def _refusal(source: str, document: Document, problems: Iterable[_Problem]) -> InvalidInput:
    lines = sorted(
        {(document.line_of(each.location), _dotted(each.place), each.message) for each in problems}
    )
    return InvalidInput(
        "\n".join(
            f"{source}, line {line}: {f'{place}: ' if place else ''}{said}" for line, place, said in lines
        )
    )


def _dotted(location: tuple[str | int, ...]) -> str:
    text = "".join(f"[{element}]" if isinstance(element, int) else f".{element}" for element in location)
    return text.removeprefix(".")


_WANTED = {
    "bool_type": "true or false",
    "string_type": "a text",
    "int_type": "a whole number",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_SAID = frozenset({"url", "password", "signing_secret"})
"""Keys whose value no message repeats: somebody may have written the secret itself."""


def _explain(error: ValidationError) -> Iterator[_Problem]:
    for each in error.errors(include_url=False):
        location = _without_tag(each["loc"])
        place = location
        match each["type"]:
            case "extra_forbidden":
                message = _model_at(each["loc"][:-1]).refuse_key(str(each["loc"][-1]), None)
                place = location[:-1]
            case "missing":
                model, key = _model_at(each["loc"][:-1]), str(each["loc"][-1])
                message = f"`{key}` is missing: {model.model_fields[key].description or 'required'}"
                location = place = location[:-1]
            case kind if location and location[-1] in _SAID and kind not in OWN_PROBLEMS:
                message = "is not a text" if kind == "string_type" else each["msg"]
            case kind if kind in _WANTED:
                message = f"must be {_WANTED[kind]}, not {each['input']!r:.60}"
            case kind:
                message = each["msg"] if kind in OWN_PROBLEMS else f"{each['msg']}, not {each['input']!r:.60}"
        yield _Problem(location=location, place=place, message=message)


def _without_tag(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Return a place without the kind of receiver that pydantic puts between a receiver's name and its key."""
    tagged = len(location) > 2 and location[0] == "receivers"
    return (*location[:2], *location[3:]) if tagged else location


def _model_at(location: tuple[int | str, ...]) -> type[Keys]:
    match location:
        case ("receivers", _, str(kind), *_):
            return _KINDS[kind]
        case ("routes", *_):
            return Route
        case _:
            return Configuration


def _check_names(configuration: Configuration) -> Iterator[_Problem]:
    routes = [(("routes", index, "to"), route.to) for index, route in enumerate(configuration.routes)]
    wanted: list[tuple[tuple[str | int, ...], tuple[str, ...]]] = [
        *routes,
        (("default",), configuration.default),
    ]
    for place, names in wanted:
        for name in names:
            receiver = configuration.receiver(name)
            if receiver is None:
                message = f"there is no receiver {name!r}: {suggest(name, configuration.names)}"
                yield _Problem(location=place, place=place, message=message)
            elif isinstance(receiver, EmailReceiver) and not receiver.to:
                message = f"receiver {name!r} says no mailbox in `to`"
                yield _Problem(location=place, place=place, message=message)
    for name, receiver in configuration.receivers.items():
        if not isinstance(receiver, EmailReceiver):
            continue
        place = ("receivers", name)
        if (receiver.password is None) != (not receiver.user):
            yield _Problem(location=place, place=place, message="`user` and `password` go together")
        elif receiver.password is not None and receiver.security == "none":
            message = "a password is never sent in the open; use `security: starttls` or `tls`"
            yield _Problem(location=(*place, "security"), place=(*place, "security"), message=message)
