"""Runs from JupyterLab in the real Chromium, beside a real platform: `make test-browser`."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any  # of playwright, whose types are not there when mypy runs

import pytest

from rasen.data.warehouse import EmbeddedWarehouse
from rasen.local.flights import load_flights
from stand.browser import running_browser
from stand.jupyter import Jupyter
from stand.lab import running_lab
from stand.lab_page import LabPage, change_setting, open_notebook
from stand.pipelines import commit_all, write_pipeline
from stand.platform_process import Platform, rasen, settings_with_free_ports
from stand.repository import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

DELAY = "notebooks/flight_delay/flight_delay.ipynb"
SLOW = "slow/train.ipynb"
PATIENCE = 120_000
Open = Callable[[str], AbstractContextManager[LabPage]]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    settings = settings_with_free_ports(tmp_path_factory.mktemp("platform") / "home")
    load_flights(EmbeddedWarehouse(settings.warehouse_dir))
    platform = Platform(settings)
    yield platform
    platform.stop()


@pytest.fixture(scope="module")
def lab(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    folder = tmp_path_factory.mktemp("lab")
    work = folder / "work"
    shutil.copytree(ROOT / "notebooks", work / "notebooks")
    write_pipeline(work / "slow", {"train": ["import time\nprint('it goes on')\ntime.sleep(60)"]})
    commit_all(work)
    settings = platform.settings
    more = {"RASEN_HOME": str(settings.home), "RASEN_API_PORT": str(settings.api_port)}
    with running_lab(folder, more=more) as lab:
        change_setting(lab, "@rasen/labextension:runs", {"testAfterSave": False})
        yield lab


@pytest.fixture
def open_page(lab: Jupyter) -> Iterator[Open]:
    with running_browser() as browser:
        yield lambda path: open_notebook(browser, lab, path)


def panel(lab: LabPage) -> Any:
    lab.execute("rasen:show-runs")
    found = lab.page.locator("#rasen-runs")
    found.locator("h2").wait_for()
    return found


def ask_for_run(lab: LabPage, **typed: str) -> None:
    lab.execute("rasen:run-as-batch")
    lab.page.locator(".rasen-Runs-form").wait_for()
    for name, text in typed.items():
        lab.page.locator(f"#rasen-parameter-{name}").fill(text)
    lab.page.locator(".jp-Dialog button.jp-mod-accept").click()


def check_faults(lab: LabPage) -> None:
    assert (lab.page.url.startswith(lab.faults.origin), lab.faults.foreign, lab.faults.said) == (True, [], [])


def test_a_run_goes_on_while_the_page_is_closed_and_its_notebook_comes_back(open_page: Open) -> None:
    with open_page(DELAY) as lab:
        shown = panel(lab)
        lab.execute("rasen:run-as-batch")
        form = lab.page.locator(".rasen-Runs-form")
        form.wait_for()
        # Types, texts and defaults are those of the parameters cell.
        assert "inverse strength of the regularisation" in form.inner_text()
        assert form.locator("#rasen-parameter-C").input_value() == "1.0"
        form.locator("#rasen-parameter-C").fill("strong")
        lab.keep_picture("run-form")
        lab.page.locator(".jp-Dialog button.jp-mod-accept").click()
        # What was entered is still there, beside the reason why it does not fit.
        form.locator("[role=alert]").wait_for()
        assert "'strong'" in form.locator("[role=alert]").inner_text()
        form.locator("#rasen-parameter-C").fill("0.5")
        form.locator("#rasen-parameter-training_rows").fill("20000")
        lab.page.locator(".jp-Dialog button.jp-mod-accept").click()
        first = shown.locator(".rasen-Runs-run").first
        first.wait_for()
        run = first.get_attribute("data-run")
        assert "working copy" in first.inner_text()
        check_faults(lab)
    with open_page(DELAY) as lab:
        shown = panel(lab)
        mine = shown.locator(f'.rasen-Runs-run[data-run="{run}"]')
        lab.page.locator(f'.rasen-Runs-run[data-run="{run}"][data-state="running"]').or_(
            lab.page.locator(f'.rasen-Runs-run[data-run="{run}"][data-state="succeeded"]')
        ).wait_for(timeout=PATIENCE)
        lab.keep_picture("run-running")
        lab.page.locator(f'.rasen-Runs-run[data-run="{run}"][data-state="succeeded"]').wait_for(
            timeout=PATIENCE
        )
        mine.locator(".rasen-Runs-head").click()
        mine.locator("dl").wait_for()
        assert "log_loss" in mine.locator("dl").inner_text()
        lab.keep_picture("run-succeeded")
        mine.get_by_role("button", name="Notebook of train").click()
        lab.page.locator(".lm-DockPanel-tabBar .jp-mod-current", has_text="train.ipynb").wait_for()
        lab.wait("JSON.stringify(notebook.model?.toJSON() ?? '').includes('C = 0.5')")
        check_faults(lab)


def test_a_run_at_work_shows_its_progress_and_is_cancelled(open_page: Open) -> None:
    with open_page(SLOW) as lab:
        shown = panel(lab)
        ask_for_run(lab)
        mine = shown.locator(".rasen-Runs-run").first
        mine.locator("progress").first.wait_for(timeout=PATIENCE)
        mine.locator(".rasen-Runs-head").click()
        mine.locator(".rasen-Runs-log", has_text="it goes on").wait_for(timeout=PATIENCE)
        mine.get_by_role("button", name="Cancel").click()
        shown.locator('.rasen-Runs-run[data-state="cancelled"]').wait_for(timeout=PATIENCE)
        check_faults(lab)


def test_the_interface_test_says_what_was_checked(open_page: Open) -> None:
    with open_page(DELAY) as lab:
        shown = panel(lab)
        lab.execute("rasen:test-interface")
        shown.locator(".rasen-Runs-verdict.jp-mod-passed").wait_for(timeout=PATIENCE)
        assert "checks passed" in shown.inner_text()
        lab.keep_picture("interface-test")
        check_faults(lab)


def test_what_differs_from_the_deployed_version_is_shown_and_runs_no_script(
    open_page: Open, platform: Platform, lab: Jupyter
) -> None:
    commit_all(lab.root, "as the tests before have saved it")
    rasen(platform.settings, "register", lab.root / "notebooks" / "flight_delay")
    done = rasen(platform.settings, "run", "flight_delay", "-p", "training_rows=20000", "--json")
    assert '"succeeded"' in done.stdout
    with open_page(DELAY) as page:
        shown = panel(page)
        shown.get_by_text("champion").wait_for(timeout=PATIENCE)
        text = "<script>parent.document.title = 'taken'</script> A new sentence."
        page.ask(f"notebook.model.cells.get(0).sharedModel.setSource({json.dumps(text)})")
        page.execute("rasen:compare-with-deployed")
        frame = page.page.frame_locator("iframe[srcdoc]")
        frame.get_by_text("A new sentence.").first.wait_for()
        assert "taken" not in page.page.title()
        page.keep_picture("comparison")
        check_faults(page)


def test_a_platform_that_is_down_is_said_to_be_and_comes_back(
    open_page: Open, platform: Platform, lab: Jupyter
) -> None:
    with open_page(DELAY) as page:
        shown = panel(page)
        shown.locator(".rasen-Runs-run").first.wait_for()
        platform.stop()
        page.page.evaluate("window.jupyterapp.commands.notifyCommandChanged()")
        page.execute("rasen:show-runs")
        shown.get_by_text("The platform does not answer").wait_for(timeout=PATIENCE)
        page.keep_picture("platform-down")
        again = Platform(platform.settings)
        try:
            shown.get_by_text("The platform does not answer").wait_for(state="detached", timeout=PATIENCE)
        finally:
            again.stop()


def test_a_notebook_without_a_pipeline_says_what_is_missing(
    open_page: Open, lab: Jupyter, tmp_path: Path
) -> None:
    shutil.copy(lab.root / SLOW, lab.root / "alone.ipynb")
    with open_page("alone.ipynb") as page:
        shown = panel(page)
        shown.get_by_text("belongs to no pipeline").wait_for()
        page.execute("rasen:run-as-batch")
        page.page.locator(".jp-Dialog", has_text="pipeline.yaml").wait_for()
        check_faults(page)
