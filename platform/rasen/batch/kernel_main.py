"""`python -m rasen.batch.kernel_main -f FILE`: the kernel of the kernel specification `rasen`.

It is ipykernel's own, with one difference: what a notebook defines is pickled to the same bytes in every run.
"""

from __future__ import annotations

import importlib.util
import sys


def main(arguments: list[str]) -> int:
    """Run a kernel for the connection file that the arguments name, until it is told to end."""
    from ipykernel.kernelapp import IPKernelApp

    from rasen.model.stable_pickle import stabilise_cloudpickle

    stabilise_cloudpickle()
    launcher = importlib.util.find_spec("ipykernel_launcher")
    # Libraries tell a notebook from a script by the name that every other kernel has there.
    sys.argv = [launcher.origin if launcher and launcher.origin else "ipykernel_launcher", *arguments]
    # A parent of 1 means: there is one, and no thread is needed that looks whether it still lives; the supervisor does.
    IPKernelApp.launch_instance(argv=[*arguments, "--IPKernelApp.parent_handle=1"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
