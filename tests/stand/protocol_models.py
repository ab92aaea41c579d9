"""Endpoints on which every wire format can show what it does: of texts, of one matrix, and of every column type."""

import hashlib
from collections.abc import Callable

import pandas as pd

from rasen.settings_model import Settings
from rasen.store import Store
from rasen_serving.callers import Caller, Callers
from stand.versions import linear, moody, publish_and_deploy


def deploy_protocol_models(store: Store, settings: Settings, *names: str) -> dict[str, str]:
    """Publish and deploy those of some names, all unless stated; return the run of each endpoint.

    `demand` takes a text and a whole number, and answers twice the number. `matrix` takes three numbers, and answers
    their sum. `wide` takes one column of each type, and answers a text and a yes or no. `moody` goes wrong.
    """
    models: dict[str, tuple[object, pd.DataFrame | None]] = {
        "demand": (linear(2), None),
        "matrix": (_summing(), _numbers()),
        "wide": (_two_columns(), wide_rows()),
        "moody": (moody(), None),
    }
    return {
        name: publish_and_deploy(store, settings, number=1, pipeline=name, model=model, example=example).run
        for name, (model, example) in models.items()
        if not names or name in names
    }


def only_caller(key: str, endpoint: str) -> Callers:
    """Return that one API key opens one endpoint, and no other key anything."""
    caller = Caller(
        id=key.removeprefix("rasen_").partition(".")[0],
        sha256=hashlib.sha256(key.encode()).hexdigest(),
        endpoints=[endpoint],
        rate="",
        expires_at=None,
        revoked=False,
    )
    return Callers(keys=[caller], jwks="", unread="")


def wide_rows() -> pd.DataFrame:
    """Return rows for `wide`: one column of each type, one of them with nothing in its second row."""
    return pd.DataFrame(
        {
            "kind": ["short", "long"],
            "delay": [20.5, None],
            "seats": [180, 70],
            "day": pd.to_datetime(["2013-01-31", "2013-02-01"]),
            "at": pd.to_datetime(["2013-01-31T06:00:00Z", "2013-02-01T06:00:00Z"]),
            "first": [True, False],
        }
    )


def _numbers() -> pd.DataFrame:
    return pd.DataFrame({"a": [1.0, 2.5], "b": [0.5, -1.0], "c": [3.0, 4.0]})


# Closures, so that they are pickled by value: a worker cannot import this module.


def _summing() -> Callable[[pd.DataFrame], "pd.Series[float]"]:
    def add(frame: pd.DataFrame) -> "pd.Series[float]":
        return frame["a"] + frame["b"] + frame["c"]

    return add


def _two_columns() -> Callable[[pd.DataFrame], pd.DataFrame]:
    def answer(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[["kind"]].assign(late=frame["delay"].fillna(0) > 15)

    return answer
