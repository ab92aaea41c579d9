"""What a serving replica says of itself: `replicas/<replica>.json`, the only thing that serving tells the function.

Counts are by version and by ledger record, and begin with the replica's start: whoever adds them up can ask for what
was answered since a record, and a replica that was restarted has simply counted less.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from rasen.tracking.records import Part, Record


class ShadowReport(Part):
    """How a shadow's answers compare with those that were returned, number by number.

    Args:
        answers: Predictions that were compared.
        equal: Of these, how many were equal, within 1e-6 for fractions.
        difference: Sum of the absolute differences of those that are numbers.
        numbers: How many those were.
        dropped: Requests that were to be copied and were not, because there was no time for it.
    """

    answers: int = 0
    equal: int = 0
    difference: float = 0.0
    numbers: int = 0
    dropped: int = 0


class VariantReport(Part):
    """What a replica counted for one version under one ledger record.

    Args:
        run: The version.
        revision: The record.
        role: The version's role in it.
        requests: Requests that it was to answer; what a caller did wrong is not counted.
        errors: Of these, how many it did not answer, whoever answered for it.
        latency_buckets: Requests that took at most so many seconds; cumulated, as Prometheus has it.
        rewards: How many rewards came for its answers.
        reward: Their sum.
        shadow: How its answers compare, of a shadow.
        fallbacks: Requests that the profile, or the champion, answered instead of it, by reason.
    """

    run: str
    revision: int
    role: Literal["champion", "challenger", "shadow"] = "champion"
    requests: int = 0
    errors: int = 0
    latency_buckets: dict[str, int] = Field(default={})
    rewards: int = 0
    reward: float = 0.0
    shadow: ShadowReport | None = None
    fallbacks: dict[str, int] = Field(default={})


class EndpointReport(Part):
    """What a replica serves for one endpoint.

    Args:
        revision: The ledger record that is live.
        run: Its champion.
        refused: Ledger records that are not served here, each with the reason.
        left_out: Variants of the live record that cannot be loaded here, each with the reason.
        quarantined: Versions that may not be executed here any more, because they ended their processes, with the
            reason; they are among what is refused or left out.
        distrusted: Why what answers would not be loaded today, such as a key that was revoked; `""` when it would.
        variants: What was counted.
    """

    revision: int | None = None
    run: str | None = None
    refused: dict[str, str] = Field(default={})
    left_out: dict[str, str] = Field(default={})
    quarantined: dict[str, str] = Field(default={})
    distrusted: str = ""
    variants: list[VariantReport] = Field(default=[])


class ReplicaReport(Record):
    """What a serving replica says of itself every 10 s."""

    replica: str
    started_at: datetime
    reported_at: datetime
    stale: bool = False
    endpoints: dict[str, EndpointReport] = Field(default={})
