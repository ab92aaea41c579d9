"""Which version answers which request: a hash, so that anybody can find out afterwards, without asking a server.

A routing key (a customer, a device) hashes to a point between 0 and 1, and the variants' weights cut that line. The
candidate's piece begins at 0, so that a canary which grows keeps the callers it has. The salt, the number of the ledger
record that began the rollout, makes a new draw for each rollout: otherwise the same customers would always go first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rasen.errors import InvalidInput
from rasen.tracking.ledger_records import EndpointState, Variant

_SCALE = 1 << 256


@dataclass(frozen=True, slots=True)
class Piece:
    """One variant's part of the line from 0 to 1: everything below `end` that is not another's."""

    end: float
    run: str


def point_of(endpoint: str, salt: int, key: str) -> float:
    """Return where a key lies between 0 and 1: sha256(endpoint, salt, key) / 2²⁵⁶."""
    text = f"{endpoint}\0{salt}\0{key}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()) / _SCALE


def cut(weights: Iterable[tuple[str, str, float]]) -> tuple[Piece, ...]:
    """Return the pieces of the variants, each given as run, role and weight; a shadow has none.

    Challengers come first, in the order of their runs; the champion has what is left, so rounding loses nobody.
    """
    shares = [(run, role, weight) for run, role, weight in weights if role != "shadow"]
    champion = next(run for run, role, _ in shares if role == "champion")
    pieces = []
    end = 0.0
    for run, role, weight in sorted(shares):
        if role != "champion" and weight > 0:
            end += weight
            pieces.append(Piece(end, run))
    return (*pieces, Piece(float("inf"), champion))


def piece_at(pieces: Sequence[Piece], point: float) -> str:
    """Return the run whose piece a point lies in."""
    return next(piece.run for piece in pieces if point < piece.end)


def assign(endpoint: str, state: EndpointState, key: str) -> Variant:
    """Return the variant that answers a routing key, or a request id where there was no key, under a ledger's state.

    What a breaker, a tester's override or a worker without the version did instead, the prediction log says.

    Raises:
        InvalidInput: Nothing is live, or a bandit shares the requests out: its draws follow the rewards, not the key.
    """
    if not any(variant.role == "champion" for variant in state.variants):
        raise InvalidInput(f"nothing is live for endpoint {endpoint!r} under this ledger record")
    if state.rollout is not None and state.rollout.kind == "bandit":
        raise InvalidInput(
            f"a bandit shares out the requests to {endpoint!r}: who was answered by what is in the prediction log only"
        )
    pieces = cut((variant.run, variant.role, variant.weight) for variant in state.variants)
    salt = 0 if state.rollout is None else state.rollout.salt
    run = piece_at(pieces, point_of(endpoint, salt, key))
    return next(variant for variant in state.variants if variant.run == run)
