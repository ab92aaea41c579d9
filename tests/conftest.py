"""What every test stands on: no setting of the developer's shell reaches it, no test fails for being slow."""

import os

import pytest
from hypothesis import settings

# A deadline is a timing assertion. Everything else stays with the profile hypothesis chose (in CI: derandomised).
settings.register_profile("rasen", settings.get_profile(settings.get_current_profile_name()), deadline=None)
settings.load_profile("rasen")


@pytest.fixture(autouse=True)
def _no_rasen_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove every RASEN_ variable, so that a test sees the defaults on every machine."""
    for name in [name for name in os.environ if name.startswith("RASEN_")]:
        monkeypatch.delenv(name)
