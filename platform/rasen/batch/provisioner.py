"""A jupyter_client kernel provisioner that starts kernels through the warm process: `rasen-zygote`.

The kernel specification `rasen` names it, so `papermill -k rasen`, nbclient and JupyterLab use it without a change. To
them it is jupyter_client's own local provisioner with another kind of process. Three things are better: the kernel
starts without imports, everything that it started ends with it, and its end is seen at once, not at the next poll.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from typing_extensions import override

from rasen.batch.supervised_process import SupervisedProcess
from rasen.batch.zygote_client import start_module
from rasen.settings import child_environment, load_settings

_KERNEL = "rasen.batch.kernel_main"
_END_SECONDS = 10.0
_LOOK_SECONDS = 0.02
# What a kernel manager may ask for that we can give; with anything else the kernel starts as jupyter_client does it.
_UNDERSTOOD = {"cwd", "env", "independent", "stderr", "stdin", "stdout"}
# A notebook shows its figures. ipykernel says so itself, but too late for a matplotlib that is imported already.
_INLINE = "module://matplotlib_inline.backend_inline"


class ZygoteProvisioner(LocalProvisioner):
    """Starts and ends kernels as forks of the warm process, or cold but equally supervised where there is none."""

    process: SupervisedProcess | subprocess.Popen[bytes] | None = None  # type: ignore[assignment] # as good as a `Popen`

    @override
    async def launch_kernel(
        self, cmd: list[str], **kwargs: Any
    ) -> KernelConnectionInfo:  # Any: as in the base class
        """Start a kernel with the command of its specification."""
        options = LocalProvisioner._scrub_kwargs(kwargs)
        if cmd[:3] != [sys.executable, "-m", _KERNEL] or not _understood(options):
            return await super().launch_kernel(cmd, **kwargs)
        environment = {
            "MPLBACKEND": _INLINE,
            **(options.get("env") or child_environment()),
            "JPY_PARENT_PID": str(os.getpid()),
        }
        start = partial(
            start_module,
            load_settings(),
            _KERNEL,
            cmd[3:],
            environment=environment,
            cwd=options.get("cwd"),
            stdin=subprocess.DEVNULL,
            stdout=options.get("stdout"),
            stderr=options.get("stderr"),
        )
        with ThreadPoolExecutor(
            1
        ) as pool:  # the loop's own pool would keep its thread, and a loop may be one of many
            process = await asyncio.get_running_loop().run_in_executor(pool, start)
        self.process = process
        self.pid = process.pid
        self.pgid = None  # signals go through the supervisor, which knows what the number stands for
        self.cwd = options.get("cwd") or str(Path.cwd())
        return self.connection_info

    @override
    async def wait(self) -> int | None:
        """Wait until the kernel and all that it started have ended."""
        process = self.process
        if not isinstance(process, SupervisedProcess):
            return await super().wait()
        await _end_of(process)
        self.process = None
        return process.returncode

    @override
    async def kill(self, restart: bool = False) -> None:
        """End the kernel and all that it started; when this returns they are gone, so nobody has to poll."""
        await super().kill(restart=restart)
        process = self.process
        if isinstance(process, SupervisedProcess):
            try:
                await asyncio.wait_for(_end_of(process), _END_SECONDS)
            except TimeoutError:
                process.close()

    @override
    async def cleanup(self, restart: bool = False) -> None:
        """Let go of the process and of what was reserved for it."""
        if isinstance(self.process, SupervisedProcess):
            self.process.close()
            self.process = None
        await super().cleanup(restart=restart)


async def _end_of(process: SupervisedProcess) -> None:
    pause_seconds = 0.001
    while process.poll() is None:
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 2, _LOOK_SECONDS)


def _understood(options: Mapping[str, object]) -> bool:
    """Return whether the options can be given to a supervised process; an independent one is to outlive its client."""
    piped = any(options.get(name) == subprocess.PIPE for name in ("stdout", "stderr"))
    return options.keys() <= _UNDERSTOOD and not options.get("independent") and not piped
