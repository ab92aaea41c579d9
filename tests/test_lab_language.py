"""Japanese: every text of the front end has an entry, in the form in which JupyterLab finds it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any  # a JSON file

import pytest

from stand.jupyter import environment
from stand.repository import PACKAGES

SOURCES = PACKAGES["rasen_labextension"].parent / "src"
CATALOGUES = sorted((PACKAGES["rasen_labextension"] / "locale").glob("*/LC_MESSAGES/rasen.json"))
_TEXT = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`"
CALL = re.compile(r"\btrans\s*\.\s*(__|_n|_p|_np)\(\s*(" + _TEXT + r")?")
PLACE = re.compile(r"%\d")


def read(path: Path) -> dict[str, Any]:
    catalogue: dict[str, Any] = json.loads(path.read_text())
    return catalogue


def texts() -> Iterator[tuple[str, bool]]:
    """Yield each text of the front end that can be translated, and whether it has a plural."""
    for path in sorted(SOURCES.rglob("*.ts*")):
        for call in CALL.finditer(path.read_text()):
            text = call[2]
            assert text is not None, f"{path.name}: a text must stand in the call itself: {call[0]!r}"
            assert "${" not in text, f"{path.name}: use %1, so that the text can be translated: {text}"
            yield re.sub(r"\\(.)", r"\1", text[1:-1]), call[1] in ("_n", "_np")


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_every_text_of_the_front_end_has_an_entry_and_no_entry_is_left_over(path: Path) -> None:
    entries = read(path)
    entries.pop("")
    wanted = dict(texts())
    assert sorted(set(wanted) - set(entries)) == [], f"write these into {path.name}"
    assert sorted(set(entries) - set(wanted)) == [], (
        f"nobody says these any more: take them out of {path.name}"
    )
    # JupyterLab takes an entry with one form for a text without a plural, and the other way round it finds none.
    wrong = [text for text, is_plural in wanted.items() if (len(entries[text]) > 1) is not is_plural]
    assert wrong == []


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_translation_keeps_what_is_filled_in(path: Path) -> None:
    for text, forms in read(path).items():
        for form in forms if text else ():
            assert form.strip(), text
            if len(forms) == 1:
                assert sorted(PLACE.findall(form)) == sorted(PLACE.findall(text)), text


def test_jupyterlab_finds_the_catalogue_where_our_package_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jupyterlab_server.translation_utils import get_installed_packages_locale

    environment(tmp_path)  # writes the entry point, as the wheel of the extension brings it
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    found, problem = get_installed_packages_locale("ja_JP")
    assert problem == ""
    assert found["rasen"]["Findings"] == ["指摘"]
    assert found["rasen"][""] | {"version": ""} == {
        "domain": "rasen",
        "language": "ja-JP",  # with a hyphen, else the front end finds no text
        "plural_forms": "nplurals=1; plural=0;",  # under another name the front end does not start at all
        "version": "",
    }
