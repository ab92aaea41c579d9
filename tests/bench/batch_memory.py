"""`python batch_memory.py KERNEL COUNT CODE`: the private memory of kernels that live side by side, as JSON.

Started by path in either environment; imports jupyter_client and nothing of this repository. Side by side, because
pages of libraries that only one process maps would count as its own.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel


def private_bytes(pid: int) -> dict[str, int]:
    """Return what the process shares with no other: all of it, and the part that was written to."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    found = {
        name: 1024 * int(kilobytes)
        for name, kilobytes in re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE)
    }
    return {
        "private": found["Private_Clean"] + found["Private_Dirty"],
        "private_dirty": found["Private_Dirty"],
    }


def main(kernel: str, count: int, code: str) -> None:
    """Start kernels, execute the code in each, print what each takes, end them."""
    running: list[tuple[KernelManager, BlockingKernelClient]] = []
    try:
        for _ in range(count):
            manager, client = start_new_kernel(kernel_name=kernel)
            running.append((manager, client))
            reply = client.execute(code, reply=True, timeout=120)
            if reply["content"]["status"] != "ok":
                raise SystemExit(f"the kernel {kernel!r} says {reply['content']['evalue']!r}")
        pids = [int(manager.provisioner.pid) for manager, _ in running]  # type: ignore[union-attr] # all have it
        print(json.dumps([private_bytes(pid) for pid in pids]))
    finally:
        for manager, client in running:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
