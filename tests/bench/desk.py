"""JupyterLab's desk: from a key to the mark, the size of the extension, and the interface test of the samples.

`PYTHONPATH=tests python -m bench.desk`; needs Node for the extension and Chromium. The time from a key to the mark is
that of a person: real JupyterLab, real server side, the linter as it is installed, what drives the browser included.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from rasen.data.warehouse import EmbeddedWarehouse
from rasen.local.flights import load_flights
from rasen.settings import load_settings, platform_environment
from stand.browser import running_browser
from stand.jupyter import notebook_text
from stand.lab import ASSETS, running_lab
from stand.lab_page import open_notebook
from stand.repository import ROOT

TYPED = 12


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="rasen-bench-desk-") as folder:
        print("| figure | found |")
        print("|---|---|")
        measure_marks(Path(folder) / "lab")
        scripts = sum(path.stat().st_size for path in (ASSETS / "static").glob("*.js"))
        print(f"| JavaScript of the extension | {scripts / 1000:.0f} kB |")
        measure_interface_test(Path(folder) / "home")


def measure_marks(folder: Path) -> None:
    """Type an error into a cell again and again and wait for its mark."""
    folder.mkdir(parents=True)
    with running_lab(folder, linter=None) as lab, running_browser() as browser:
        for cells in (20, 300):
            name = f"typed-{cells}.ipynb"
            sources = ["# Title", *(f"print({number})" for number in range(cells))]
            (lab.root / name).write_text(notebook_text(*sources))
            taken = []
            with open_notebook(browser, lab, name) as page:
                page.page.locator(".rasen-Counts-button").first.wait_for()
                for _ in range(TYPED):
                    page.type_into(1, "\nrows = (")
                    begun = time.perf_counter()
                    page.marks(1).first.wait_for()
                    taken.append(time.perf_counter() - begun)
                    page.page.keyboard.press("Control+A")
                    page.page.keyboard.type("print(0)")
                    page.marks(1).first.wait_for(state="detached")
            print(
                f"| from a key to the mark, {cells} cells | {1000 * median(taken):.0f} ms, "
                f"the slowest of {TYPED} {1000 * max(taken):.0f} ms |"
            )


def measure_interface_test(home: Path) -> None:
    """Time `rasen test` of the two pipelines that publish a model, the first with a cold machine."""
    settings = load_settings(home=home)
    load_flights(EmbeddedWarehouse(settings.warehouse_dir))
    pipelines = [ROOT / "notebooks" / name for name in ("flight_demand", "flight_delay")]
    for state in ("cold", "warm"):
        begun = time.perf_counter()
        for pipeline in pipelines:
            subprocess.run(
                [sys.executable, "-m", "rasen.interface_test", str(pipeline)],
                env=platform_environment(settings),
                stdout=subprocess.DEVNULL,
                check=True,
            )
        print(f"| interface test of both sample pipelines, {state} | {time.perf_counter() - begun:.1f} s |")


if __name__ == "__main__":
    main()
