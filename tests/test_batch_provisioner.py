"""Kernels of the specification `rasen`, as unmodified Jupyter clients start and end them."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from rasen.batch.process_tree import descendants
from rasen.batch.provisioner import ZygoteProvisioner
from rasen.batch.supervised_process import SupervisedProcess
from rasen.batch.zygote_client import warm_up
from rasen.settings import load_settings
from stand.repository import ROOT
from stand.zygotes import is_running, runtime_folder, until

# Enough for these tests; the default list takes seconds.
PRELOAD = (
    "ipykernel.kernelapp",
    "ipykernel.zmqshell",
    "ipykernel.debugger",
    "rasen.batch.kernel_main",
    "rasen.model.stable_pickle",
    "matplotlib.pyplot",
    "matplotlib.backends.backend_agg",
    "tqdm.auto",
)
DAEMON = "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True)"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with runtime_folder() as path:
        yield path


@pytest.fixture(autouse=True)
def warm(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The provisioner is made by jupyter_client, so the settings reach it as they reach a user's: by the environment.
    monkeypatch.setenv("RASEN_HOME", str(tmp_path))
    monkeypatch.setenv("RASEN_ZYGOTE_PRELOAD", ",".join(PRELOAD))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    assert warm_up(load_settings())


class Session:
    """A kernel with a client."""

    def __init__(self, manager: AsyncKernelManager) -> None:
        self.manager = manager
        self.client: AsyncKernelClient = manager.client()

    @property
    def process(self) -> SupervisedProcess:
        provisioner = self.manager.provisioner
        assert isinstance(provisioner, ZygoteProvisioner)
        assert isinstance(provisioner.process, SupervisedProcess)
        return provisioner.process

    async def run(self, code: str) -> str:
        """Run code and return what it printed, or the name of the error."""
        printed = []

        def hook(message: dict[str, Any]) -> None:  # Any: JSON
            content = message["content"]
            printed.append(content.get("text") or content.get("ename") or "")

        await self.client.execute_interactive(code, output_hook=hook, timeout=30)
        return "".join(printed).strip()


@asynccontextmanager
async def kernel(
    transport: str, folder: Path, **options: Any
) -> AsyncIterator[Session]:  # Any: whatever one takes
    manager = AsyncKernelManager(kernel_name="rasen", transport=transport)
    manager.connection_file = str(folder / "kernel.json")
    await manager.start_kernel(**options)
    session = Session(manager)
    session.client.start_channels()
    try:
        await session.client.wait_for_ready(timeout=30)
        yield session
    finally:
        session.client.stop_channels()
        await manager.shutdown_kernel(now=True)
        assert not await manager.is_alive()


def test_the_specification_is_installed() -> None:
    found = KernelSpecManager().get_kernel_spec("rasen")
    written = json.loads((ROOT / "platform/rasen/batch/kernelspec/kernel.json").read_text())
    assert found.argv == written["argv"]
    provisioner = found.metadata["kernel_provisioner"]
    assert provisioner["provisioner_name"] == written["metadata"]["kernel_provisioner"]["provisioner_name"]


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_a_kernel_lives_and_dies(transport: str, tmp_path: Path) -> None:
    async def live() -> None:
        async with kernel(transport, tmp_path, cwd=str(tmp_path)) as session:
            assert session.process.cold_reason is None
            first = session.process.pid
            code = "import os, sys; print(os.getpid(), os.getcwd(), 'matplotlib' in sys.modules, sys.argv[0][-21:])"
            assert await session.run(code) == f"{first} {tmp_path} True ipykernel_launcher.py"

            cell = asyncio.create_task(session.run("import time; print('up'); time.sleep(1000)"))
            await asyncio.sleep(0.3)
            await session.manager.interrupt_kernel()
            assert (await cell).endswith("KeyboardInterrupt")

            await session.run(DAEMON)
            (daemon,) = descendants(first)
            await session.manager.restart_kernel(now=True)
            await session.client.wait_for_ready(timeout=30)
            assert not is_running(daemon)
            assert session.process.pid != first
            assert await session.run("print('again')") == "again"

            process = session.process
            session.client.execute("import os; os._exit(5)")
            assert await asyncio.to_thread(process.wait, 30) == 5
            assert not await session.manager.is_alive()

    asyncio.run(live())


def test_a_kernel_that_is_asked_to_end_takes_everything_along(tmp_path: Path) -> None:
    async def live() -> None:
        async with kernel("ipc", tmp_path) as session:
            await session.run(DAEMON)
            everybody = [session.process.pid, *descendants(session.process.pid)]
            assert len(everybody) == 2
            await session.manager.shutdown_kernel()
            until(lambda: not any(map(is_running, everybody)))

    asyncio.run(live())


def test_a_kernel_that_is_to_outlive_its_client_is_left_to_jupyter(tmp_path: Path) -> None:
    async def live() -> None:
        manager = AsyncKernelManager(kernel_name="rasen", transport="ipc")
        manager.connection_file = str(tmp_path / "kernel.json")
        await manager.start_kernel(independent=True)
        provisioner = manager.provisioner
        assert isinstance(provisioner, ZygoteProvisioner)
        assert isinstance(provisioner.process, subprocess.Popen)
        await manager.shutdown_kernel(now=True)
        assert not await manager.is_alive()

    asyncio.run(live())


def run_notebook(*cells: str) -> list[nbformat.NotebookNode]:
    """Run cells as nbclient does for anybody; return the executed cells."""
    notebook = nbformat.from_dict(  # type: ignore[no-untyped-call] # nbformat annotates little
        {
            "nbformat": 4,
            "nbformat_minor": 4,
            "metadata": {},
            "cells": [
                {"cell_type": "code", "source": text, "metadata": {}, "outputs": [], "execution_count": None}
                for text in cells
            ],
        }
    )
    NotebookClient(notebook, kernel_name="rasen", timeout=60).execute()
    executed: list[nbformat.NotebookNode] = notebook.cells
    return executed


def printed(cell: nbformat.NotebookNode) -> str:
    """Return what a cell printed; it comes in pieces at times."""
    return "".join(output.get("text", "") for output in cell.outputs)


def test_a_notebook_shows_figures_and_is_one(tmp_path: Path) -> None:
    first, figure, modules = run_notebook(
        "import os, sys; print('tqdm.auto' in sys.modules, 'matplotlib.pyplot' in sys.modules)",
        "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()",
        "print(any('matplotlib' in file for file in get_ipython().kernel.debugger.kernel_modules))",
    )
    # tqdm.auto looks when it is imported whether it is in a notebook, so it must be imported here.
    assert printed(first) == "False True\n"
    assert [kind for output in figure.outputs for kind in output.get("data", {})] == [
        "text/plain",
        "image/png",
    ]
    assert printed(modules) == "True\n"


OWN_CLASSES = """
import abc, dataclasses, enum, hashlib, typing
from pathlib import Path
import cloudpickle
from rasen.model.pickling import pickle_model

T = typing.TypeVar("T")
SCALE = 3

class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"

class Base(abc.ABC):
    @abc.abstractmethod
    def predict(self, frame): ...
    @abc.abstractmethod
    def fit(self, frame): ...

@dataclasses.dataclass
class Options(typing.Generic[T]):
    depth: int = 3
    colour: Colour = Colour.RED

class Model(Base):
    names = {"one", "two", "three", "four", "five"}
    def __init__(self):
        self.options = Options()
        self.scale = lambda value: value * SCALE
    def fit(self, frame):
        return {"p", "q", "r"}
    def predict(self, frame):
        def inner(value):
            return value in {"k", "l", "m"} or self.scale(value)
        return [inner(value) for value in frame]

model = Model()
plain = cloudpickle.dumps(model)
again = cloudpickle.loads(plain)
assert type(again) is Model and again.options.colour is Colour.RED  # as cloudpickle promises
print(hashlib.sha256(plain).hexdigest(), hashlib.sha256(pickle_model(model, folder=Path.cwd())).hexdigest())
"""


def test_classes_of_a_notebook_are_pickled_to_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    warm = [printed(run_notebook(OWN_CLASSES)[0]) for _ in range(2)]
    monkeypatch.setenv("RASEN_ZYGOTE", "false")
    cold = printed(run_notebook(OWN_CLASSES)[0])
    assert warm == [cold, cold]
    changed = printed(run_notebook(OWN_CLASSES.replace("SCALE = 3", "SCALE = 4"))[0])
    assert not set(changed.split()) & set(cold.split())


def test_the_environment_of_a_kernel_is_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAVOUR", "of this client")
    (cell,) = run_notebook("import os; print(os.environ['FLAVOUR'], os.environ['JPY_PARENT_PID'])")
    assert printed(cell) == f"of this client {os.getpid()}\n"
