"""The fields of `Settings`, with their meaning, unit and default.

A file of its own so that `rasen.settings`, which a notebook imports, does not pull in pydantic.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_serializer, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from rasen.settings import find_home
from rasen.settings_preload import PRELOAD as PRELOAD  # noqa: PLC0414 - the name that callers import from here

Environment = Literal["dev", "staging", "prod"]
AccessWay = Literal["open", "keys", "jwt"]
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SINK = re.compile(r"bigquery:([a-z][a-z0-9-]{4,28}[a-z0-9]\.)?[A-Za-z0-9_]{1,1024}\.[A-Za-z0-9_]{1,1024}")
_KMS_KEY = re.compile(
    r"gcp-kms://projects/[a-z0-9:.-]+/locations/[a-z0-9-]+/keyRings/[\w-]+/cryptoKeys/[\w-]+/cryptoKeyVersions/\d+",
    re.ASCII,
)
_ROUTE = re.compile(r"/[A-Za-z0-9._~:@/-]*")


class Settings(BaseSettings):
    """What an entry point needs to know; read once from `RASEN_*` variables."""

    model_config = SettingsConfigDict(env_prefix="RASEN_", frozen=True, extra="forbid")

    home: Path = Field(
        default_factory=lambda: find_home(Path.cwd()),
        description="folder that holds everything on one machine",
    )
    environment: Environment = Field(
        default="dev", description="which environment this is: dev, staging or prod"
    )
    host: str = Field(default="127.0.0.1", description="address that the servers listen on")
    serving_port: int = Field(default=8080, ge=0, le=65535, description="port of the prediction API")
    admin_port: int = Field(default=8081, ge=0, le=65535, description="port of serving's admin routes")
    grpc_port: int = Field(
        default=0, ge=0, le=65535, description="port of the prediction API over gRPC; 0 for none"
    )
    function_port: int = Field(default=8082, ge=0, le=65535, description="port of the deploy function")
    api_port: int = Field(default=8083, ge=0, le=65535, description="port of the control API")
    api_access: Literal["token", "hub"] = Field(
        default="token",
        description="who may ask the control API: token (`rasen tokens` and this machine's own), or hub (JupyterHub's)",
    )
    api_max_body_bytes: int = Field(
        default=33_554_432,
        ge=1024,
        description="largest request body of the control API, in bytes; files are a third larger there",
    )
    requested_runs: int = Field(
        default=1, ge=1, le=64, description="most runs at once of those that the platform was asked for"
    )
    server: str = Field(
        default="",
        pattern=r"^(https?://[^\s<>|\"'?#]+)?$",
        description="address of a control API that commands ask instead of this machine, as --server does",
    )
    token: SecretStr = Field(
        default=SecretStr(""),
        description="token for that control API; by default this machine's own, if it has one",
    )
    serving_workers: int = Field(default=2, ge=1, le=64, description="number of serving processes")
    max_body_bytes: int = Field(default=1_048_576, ge=1, description="largest request body, in bytes")
    max_rows: int = Field(default=10_000, ge=1, description="most rows in one request")
    max_waiting_rows: int = Field(
        default=50_000, ge=1, description="most rows that wait for one model; more are refused for the moment"
    )
    worker_max_bytes: int = Field(
        default=4_294_967_296,
        ge=1,
        description="memory of one serving process, in bytes; one that has taken more is drained and replaced",
    )
    models_max_bytes: int = Field(
        default=2_147_483_648,
        ge=1,
        description="memory for the models of one worker, estimated, in bytes; the least recently used are let go",
    )
    eager_endpoints: int = Field(
        default=50,
        ge=0,
        description="so many endpoints are loaded when serving starts, the others when they are first asked for",
    )
    fast_lane: bool = Field(
        default=True,
        description="whether plain prediction requests take the short way past FastAPI's routing",
    )
    variant_override: bool = Field(
        default_factory=lambda data: data.get("environment") != "prod",
        description="whether a caller may choose the variant by X-Rasen-Variant; only for tests, so not in prod",
    )
    access: Annotated[tuple[AccessWay, ...], NoDecode] = Field(
        default=("open",),
        description="who may ask the prediction service: open (everybody, on loopback only), keys, jwt, or keys,jwt",
    )
    jwt_issuer: str = Field(default="", description="what `iss` of a token must say")
    jwt_audience: str = Field(default="", description="what `aud` of a token must say")
    jwt_keys: str = Field(
        default="", description="file or https address of the issuer's public keys, a JWKS document"
    )
    jwt_rate: str = Field(
        default="", description="most requests of one token subject, such as 1000/minute; empty: no limit"
    )
    max_connections: int = Field(
        default=12_000, ge=1, description="most connections of one serving process; more are refused with 503"
    )
    header_seconds: float = Field(
        default=10.0, gt=0, description="seconds within which the head of a request must have arrived"
    )
    body_seconds: float = Field(
        default=30.0,
        gt=0,
        description="seconds within which the body of a request must have arrived, and an answer been taken",
    )
    default_endpoint: str = Field(
        default="",
        pattern=r"^([a-z][a-z0-9_]{0,39})?$",
        description="the endpoint that answers where a protocol knows only one model; by default the only one there is",
    )
    vertex_health_route: str = Field(
        default="", description="path of the health route of a Vertex AI container; also AIP_HEALTH_ROUTE"
    )
    vertex_predict_route: str = Field(
        default="",
        description="path of the prediction route of a Vertex AI container; also AIP_PREDICT_ROUTE",
    )
    log_addresses: bool = Field(
        default=False, description="whether the prediction log keeps the callers' addresses"
    )
    reconcile_seconds: float = Field(
        default=5.0, gt=0, description="seconds between two looks for missed events"
    )
    report_seconds: float = Field(
        default=10.0, gt=0, description="seconds between two reports of a serving replica in the store"
    )
    spool_max_bytes: int = Field(
        default=268_435_456, ge=1, description="largest backlog of the prediction log on disk, in bytes"
    )
    prediction_log: str = Field(
        default="store",
        description="where the prediction log goes: store, or bigquery:<dataset.table>",
    )
    prediction_log_seconds: float = Field(
        default=10.0,
        ge=1,
        description="seconds for which answers are gathered before they go there together",
    )
    retry_seconds: float = Field(
        default=5.0,
        gt=0,
        description="pause before a step is tried again, in seconds; doubled with each further try",
    )
    zygote: bool = Field(
        default=True, description="whether kernels are forks of a warm process, or start cold"
    )
    zygote_preload: Annotated[tuple[str, ...], NoDecode] = Field(
        default=PRELOAD,
        description="modules that the warm process imports, separated by commas; what is missing is left out",
    )
    zygote_idle_seconds: float = Field(
        default=600.0, gt=0, description="seconds without work after which the warm process leaves"
    )
    zygote_forks: int = Field(
        default=1000,
        ge=1,
        description="number of forks after which a warm process makes room for a fresh one",
    )

    secrets: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="environment variables that are secrets, separated by commas: notebooks may name them and never "
        "see them in their environment",
    )
    secrets_dir: Path = Field(
        default_factory=lambda data: data.get("home", Path()) / "secrets",
        description="folder of the files that notebooks may name as secrets, each 0600",
    )
    secret_manager_url: str = Field(
        default="https://secretmanager.googleapis.com", description="address of Google Secret Manager"
    )
    trust_file: Path = Field(
        default_factory=lambda data: data.get("home", Path()) / "trust.json",
        description="file of the public keys that are trusted here; in a cluster a ConfigMap",
    )
    signer_registrar: str = Field(
        default="file",
        description="who signs releases: file (a key file of this machine), or gcp-kms:// and a key version",
    )
    signer_control: str = Field(
        default="file", description="who signs manifests and API keys: file, or gcp-kms:// and a key version"
    )
    signer_decider: str = Field(
        default="file", description="who signs ledger records: file, or gcp-kms:// and a key version"
    )
    signer_operator: str = Field(
        default="file", description="who signs an operator's commands: file, or gcp-kms:// and a key version"
    )
    kms_endpoint: str = Field(
        default="cloudkms.googleapis.com", description="address of Google Cloud KMS, without a scheme"
    )
    mask_patterns: bool = Field(
        default=True,
        description="whether outputs are also kept free of what looks like a private key or a well-known token",
    )
    alert_seconds: float = Field(
        default=2.0,
        gt=0,
        description="seconds between two looks of the notifier for what people must be told",
    )
    alerts_file: Path = Field(
        default_factory=lambda data: data.get("home", Path()) / "alerts.yaml",
        description="the operator's file that says whom alerts are sent to; without it they go to a log only",
    )
    public_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s<>|\"']+)?$",
        description="address under which people reach the prediction service, for links in messages; empty for none",
    )
    store_patience_seconds: float = Field(
        default=60.0, ge=0, description="seconds for which a store or a KMS that is down is asked again"
    )

    snippets: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="folders and git addresses of a team's snippets, separated by commas, beside pyproject.toml's",
    )
    keep_days: int = Field(
        default=7,
        ge=1,
        description="days for which every run is kept, by the store's clock; then `rasen gc` asks why",
    )
    keep_states: int = Field(
        default=20, ge=1, description="how many of an endpoint's last sets of versions are kept to go back to"
    )
    keep_predictions_days: int = Field(
        default=0, ge=0, description="days for which the prediction log is kept; 0 keeps all of it"
    )

    @field_validator("vertex_health_route", "vertex_predict_route")
    @classmethod
    def _check_route(cls, value: str) -> str:
        if value and (not _ROUTE.fullmatch(value) or value.startswith("/endpoints/")):
            raise ValueError(
                f"{value!r} must be a path like '/predict', and none of /endpoints/, which are ours"
            )
        return value

    @field_validator("secrets")
    @classmethod
    def _name_variables(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _VARIABLE.fullmatch(name) or name.startswith("RASEN_"):
                raise ValueError(f"{name!r} is no name of a variable that can be a secret, such as 'API_KEY'")
        return value

    @field_validator("signer_registrar", "signer_control", "signer_decider", "signer_operator")
    @classmethod
    def _name_signer(cls, value: str) -> str:
        if value != "file" and not _KMS_KEY.fullmatch(value):
            raise ValueError(
                f"{value!r} is no signer; write 'file', or 'gcp-kms://projects/…/locations/…/keyRings/…/cryptoKeys/…/"
                "cryptoKeyVersions/1'"
            )
        return value

    @field_validator("access")
    @classmethod
    def _choose_ways(cls, value: tuple[AccessWay, ...]) -> tuple[AccessWay, ...]:
        if not value or len(set(value)) != len(value) or ("open" in value and len(value) > 1):
            raise ValueError("write one of: open, keys, jwt, keys,jwt")
        return value

    @field_validator("prediction_log")
    @classmethod
    def _name_sink(cls, value: str) -> str:
        if value != "store" and not _SINK.fullmatch(value):
            raise ValueError(
                f"{value!r} is no place for the prediction log, such as 'store', 'bigquery:serving.predictions' or "
                "'bigquery:project.serving.predictions'"
            )
        return value

    @field_validator("zygote_preload", "secrets", "access", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("snippets", mode="before")
    @classmethod
    def _split_places(cls, value: object) -> object:
        # At commas only: a folder's name may hold spaces.
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_serializer("zygote_preload", "secrets", "access", "snippets")
    def _join(self, value: tuple[str, ...]) -> str:
        return ",".join(value)

    @property
    def store_dir(self) -> Path:
        """The directory that is the object store."""
        return self.home / "store"

    @property
    def keys_dir(self) -> Path:
        """Private signing keys, each 0600."""
        return self.home / "keys"

    @property
    def api_token_file(self) -> Path:
        """The token of this machine's own commands for its control API."""
        return self.keys_dir / "api.token"

    @property
    def warehouse_dir(self) -> Path:
        """The embedded warehouse."""
        return self.home / "warehouse"

    @property
    def scratch_dir(self) -> Path:
        """Working folders of running steps; gone when a step ends."""
        return self.home / "scratch"

    @property
    def recorded_dir(self) -> Path:
        """Tables that an earlier run read, by step; only in the home of a run that is executed again."""
        return self.home / "recorded"

    @property
    def logs_dir(self) -> Path:
        """What the platform's processes print."""
        return self.home / "logs"

    @property
    def index_file(self) -> Path:
        """The index of runs: derived, may be deleted."""
        return self.home / "index.sqlite"

    @property
    def outbox_file(self) -> Path:
        """Events that the bridge has yet to deliver."""
        return self.home / "outbox.sqlite"

    @property
    def alerts_database(self) -> Path:
        """Incidents, and messages that have yet to be delivered."""
        return self.home / "alerts.sqlite"

    @property
    def cache_dir(self) -> Path:
        """Verified artifacts that serving has fetched, by digest."""
        return self.home / "cache"

    @property
    def spool_dir(self) -> Path:
        """Prediction log on its way to the store."""
        return self.home / "spool"

    @property
    def interactive_dir(self) -> Path:
        """Records of notebooks that somebody runs cell by cell."""
        return self.home / "interactive"
