"""Every object key is built here (design, section 7); the first element says who may write."""

from __future__ import annotations

from datetime import date

HEADS_KEY = "endpoints/heads.json"
QUALIFY_STEP = "_qualify"
CANCEL_PREFIX = "cancel-"  # of requests that ask for the end of a run, which follows
QUALIFY_REQUEST_PREFIX = (
    "qualify-"  # of requests for another qualification of the version that follows from the rest
)
RUN_REQUEST_PREFIX = "run-"  # of requests for a run that the platform starts, not the process that files it
LIVE_SWEEP_KEY = "live/swept.json"
ACCESS_PREFIX = "access/"
API_TOKENS_PREFIX = "access/tokens/"
DEAD_LETTERS_PREFIX = "dead_letters/"
ACCESS_HINT_KEY = "access/changed"
RESIGNED_PREFIX = "resigned/"
SIGNED_PREFIXES = (
    *("access/", "dead_letters/", "endpoints/", "manifests/", "pins/", "releases/", "tombstones/"),
    RESIGNED_PREFIX,
)
"""Where signed objects lie, among others that are not signed."""


def release_key(pipeline: str, release: str) -> str:
    """Signed record of a release."""
    return f"releases/{pipeline}/{release}/release.json"


def bundle_key(pipeline: str, release: str) -> str:
    """Files of a release."""
    return f"releases/{pipeline}/{release}/bundle.tar.gz"


def current_key(pipeline: str) -> str:
    """Pointer to a pipeline's newest release."""
    return f"releases/{pipeline}/current.json"


def request_key(pipeline: str, request: str) -> str:
    """Somebody's wish for a run."""
    return f"requests/{pipeline}/{request}.json"


def start_key(pipeline: str, run: str) -> str:
    """Record that a run began."""
    return f"starts/{pipeline}/{run}.json"


def end_key(pipeline: str, run: str) -> str:
    """Record that a run ended without publishing."""
    return f"ends/{pipeline}/{run}.json"


def manifest_key(pipeline: str, run: str) -> str:
    """Signed list of what a run published."""
    return f"manifests/{pipeline}/{run}.json"


def run_prefix(pipeline: str, run: str) -> str:
    """Everything that a run's steps wrote."""
    return f"runs/{pipeline}/{run}/"


def step_prefix(pipeline: str, run: str, step: str, attempt: int) -> str:
    """Everything that one attempt of a step wrote."""
    return f"runs/{pipeline}/{run}/{step}/{attempt}/"


def claim_key(pipeline: str, run: str, step: str, attempt: int) -> str:
    """Create-only mark that an attempt of a step has begun."""
    return step_prefix(pipeline, run, step, attempt) + "claim.json"


def result_key(pipeline: str, run: str, step: str, attempt: int) -> str:
    """Create-only verdict of an attempt, written last."""
    return step_prefix(pipeline, run, step, attempt) + "result.json"


def live_prefix(pipeline: str, run: str) -> str:
    """What the steps of a run say of themselves while they run."""
    return f"live/{pipeline}/{run}/"


def live_key(pipeline: str, run: str, step: str) -> str:
    """Where a running step is; overwritten about once a second."""
    return f"{live_prefix(pipeline, run)}{step}.json"


def live_notebook_key(pipeline: str, run: str, step: str) -> str:
    """The output notebook of a running step so far."""
    return f"{live_prefix(pipeline, run)}{step}.ipynb"


def deployment_key(endpoint: str, number: int) -> str:
    """Signed record of the ledger; numbers are padded so that keys sort like numbers."""
    return f"endpoints/{endpoint}/deployments/{number:08d}.json"


def dead_letter_key(letter: str) -> str:
    """An event that nobody can answer, kept by the decider for people to look at and to replay."""
    return f"{DEAD_LETTERS_PREFIX}{letter}.json"


def resigning_key(key_id: str, digest: str) -> str:
    """Signed record of what was signed again because its key is not trusted any more."""
    return f"{RESIGNED_PREFIX}{key_id}/{digest}.json"


def tombstone_key(pipeline: str, run: str) -> str:
    """Record that a run is going to be removed; from then on nothing may go back to it."""
    return f"tombstones/{pipeline}/{run}.json"


def tombstone_fate_key(pipeline: str, run: str, tombstone_sha256: str) -> str:
    """What became of a tombstone: its run was removed, or it was taken back; create-only, so one of the two."""
    return f"tombstones/{pipeline}/{run}/{tombstone_sha256[:12]}.json"


def pin_prefix(pipeline: str, run: str) -> str:
    """Everything that people said about keeping a run."""
    return f"pins/{pipeline}/{run}/"


def pin_key(pipeline: str, run: str, number: int) -> str:
    """One signed word about keeping a run; numbers are padded so that keys sort like numbers."""
    return f"{pin_prefix(pipeline, run)}{number:06d}.json"


def replica_key(replica: str) -> str:
    """What a serving replica says of itself."""
    return f"replicas/{replica}.json"


def access_key(key_id: str) -> str:
    """Signed record of an API key; not its secret."""
    return f"{ACCESS_PREFIX}{key_id}.json"


def revocation_key(key_id: str) -> str:
    """Signed record that an API key is not accepted any more."""
    return f"{ACCESS_PREFIX}{key_id}.revoked.json"


def api_token_key(token_id: str) -> str:
    """Signed record of a token of the control API; not its secret."""
    return f"{API_TOKENS_PREFIX}{token_id}.json"


def api_token_end_key(token_id: str) -> str:
    """Signed record that a token of the control API is not accepted any more."""
    return f"{API_TOKENS_PREFIX}{token_id}.revoked.json"


def prediction_key(endpoint: str, day: date, replica: str, segment: str) -> str:
    """One closed segment of the prediction log."""
    return f"predictions/{endpoint}/date={day.isoformat()}/{replica}-{segment}.parquet"
