"""An endpoint with versions of every kind that a replay meets, some of them bad."""

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rasen.model.profile import Profile
from rasen.settings import load_settings
from rasen.settings_model import Settings
from rasen.store import Store, open_store
from stand.versions import PublishedVersion, deploy_version, example_rows, publish_version

SECONDS = 60.0
"""A version may take so long in a test; only the one that hangs does, and is given less."""

PROFILE = Profile(by=("origin",), levels={("JFK",): (31.0, 9)}, default=9.0)


def shifted(offset: float) -> Callable[[pd.DataFrame], Any]:
    """Return a model that adds to the hour."""

    def predict(frame: pd.DataFrame) -> Any:
        return frame["hour"].astype("float64") + offset

    return predict


def classes(border: int) -> Callable[[pd.DataFrame], Any]:
    """Return a model that answers one of two texts."""

    def predict(frame: pd.DataFrame) -> Any:
        return ["late" if hour >= border else "early" for hour in frame["hour"]]

    return predict


def relative() -> Callable[[pd.DataFrame], Any]:
    """Return a model whose answer to a row depends on the rows beside it."""

    def predict(frame: pd.DataFrame) -> Any:
        return frame["hour"].astype("float64") - float(frame["hour"].mean())

    return predict


def deadly(hour: int, *, hangs: bool) -> Callable[[pd.DataFrame], Any]:
    """Return a model that ends or hangs its process for one hour, and is well otherwise."""

    def predict(frame: pd.DataFrame) -> Any:
        if (frame["hour"] == hour).any():
            if hangs:
                time.sleep(3600)
            os._exit(3)
        return frame["hour"].astype("float64")

    return predict


def with_wind() -> pd.DataFrame:
    """Return an example with a column more."""
    return example_rows().assign(wind=[1.5, 2.5])


class Replayable:
    """A home with one endpoint after the other."""

    def __init__(self, home: Path) -> None:
        # Cold processes: the warm one would outlive the tests.
        self.settings: Settings = load_settings(home=home, zygote=False)
        self.store: Store = open_store(self.settings)

    def publish(self, endpoint: str, number: int, model: object, **options: Any) -> PublishedVersion:
        """Publish a version and let it in."""
        version = publish_version(
            self.store, self.settings, number=number, pipeline=endpoint, model=model, **options
        )
        deploy_version(self.store, self.settings, version)
        return version

    def file(self, name: str, rows: Sequence[dict[str, Any]]) -> str:
        """Write rows as a request and return its path."""
        path = self.settings.home / name
        path.write_text(json.dumps({"rows": list(rows)}))
        return str(path)
