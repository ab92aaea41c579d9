"""Masks: what of a secret they find, and what they leave alone."""

from __future__ import annotations

import base64
import html
import json
import threading
from pathlib import Path
from urllib.parse import quote, quote_plus

import pandas as pd
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from rasen.batch.clean_staging import clean_staging
from rasen.batch.masking import Mask
from rasen.batch.output_mask import mask_text, mask_value
from rasen.errors import InvalidInput
from rasen.recorder import read_records

NASTY = "p<ä>\"s's&w\\ö/rd +%\t=x"


def mask_of(*values: str, patterns: bool = False) -> Mask:
    mask = Mask(patterns=patterns)
    for number, value in enumerate(values):
        mask.learn(f"secret://env/KEY_{number}", value)
    return mask


@pytest.mark.parametrize("value", ["canary-5f0c-value", NASTY, "x" * 300, "1234567890", "ключ-секрет"])
def test_a_secret_is_found_as_programs_write_it(value: str) -> None:
    mask = mask_of(value)
    data = value.encode()
    for written in (
        value,
        repr(value),
        repr({"key": [value]}),
        repr(data),
        ascii(value),
        json.dumps({"key": value}),
        json.dumps({"key": value}, ensure_ascii=False),
        json.dumps(json.dumps({"key": value})),
        f"https://example.com/?key={quote(value)}&x=1",
        quote(value, safe=""),
        quote_plus(value),
        html.escape(value),
        pd.DataFrame({"key": [html.escape(value)]}).to_html(escape=False),
        pd.DataFrame({"key": [value]}).to_json(),
        base64.b64encode(data).decode(),
        base64.urlsafe_b64encode(data).decode(),
        base64.b64encode(b"user:" + data).decode(),
        base64.b64encode(b"a:" + data + b"\n").decode(),
        base64.encodebytes(data).decode(),
        data.hex(),
        f"\x1b[0;31mValueError\x1b[0m: {value}",
        f"{value[:5]}\x1b[38;5;241m{value[5:]}\x1b[39m",
    ):
        masked = mask_text(mask, f"before {written} after")
        assert "[secret KEY_0]" in masked, written
        assert masked.startswith("before ")
        assert masked.endswith(" after")
        for part in (value, value[:9], value[-9:], quote(value)[:9], base64.b64encode(data).decode()[4:14]):
            assert part not in masked, written
        assert mask(masked) == masked


@given(
    st.text(min_size=8, alphabet=st.characters(blacklist_categories=["Cs", "Cc", "Z"])), st.text(), st.text()
)
def test_no_text_around_a_secret_hides_it_and_masking_twice_changes_nothing(
    value: str, before: str, after: str
) -> None:
    mask = mask_of(value)
    masked = mask(before + value + after)
    if value not in "[secret KEY_0]":
        assert value not in masked
        assert mask(masked) == masked


@given(st.text())
def test_texts_without_secrets_stay_as_they_are(text: str) -> None:
    assert mask_of("canary-5f0c-value", patterns=True)(text) == text


def test_a_secret_that_was_cut_short_is_found_too() -> None:
    value = "sk_live_" + "abcdefghij" * 5
    mask = mask_of(value)
    with pd.option_context("display.max_colwidth", 30):
        shown = repr(pd.DataFrame({"key": [value]}))
    assert "..." in shown
    assert "[secret KEY_0]..." in mask(shown)
    assert mask(f"'{value[:13]}...{value[-14:]}'") == "'[secret KEY_0]...[secret KEY_0]'"  # reprlib
    assert mask(value[:11]) == value[:11], "so little is no secret"


def test_what_is_found_first_is_the_longest() -> None:
    mask = mask_of("canary-value", "canary-value-longer")
    assert mask("canary-value-longer canary-value") == "[secret KEY_1] [secret KEY_0]"


def test_every_line_and_every_long_text_of_json_is_a_secret_of_its_own() -> None:
    key = (
        Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    )
    account = json.dumps(
        {"type": "service_account", "id": "short", "private_key": key, "uri": "https://example.com/x"}
    )
    mask = mask_of(account)
    for shown in (account, key, key.splitlines()[1], f"key is {key.splitlines()[1]} indeed"):
        assert key.splitlines()[1] not in mask(shown)
    assert mask("https://example.com/x short") == "https://example.com/x short"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("id AKIAIOSFODNN7EXAMPLE.", "id [secret AWS key]."),
        (f"token ghp_{'a1' * 18}", "token [secret GitHub token]"),
        (f"X-Api-Key: rasen_0123456789ab.{'x' * 43}", "X-Api-Key: [secret Rasen key]"),
        (
            f"Authorization: Bearer rasen_0123456789ab.{'-' * 43}!",
            "Authorization: Bearer [secret Rasen key]!",
        ),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [secret token]"),
        (
            "{'Authorization': 'Bearer abcdef.ghi', 'x': 1}",
            "{'Authorization': 'Bearer [secret token]', 'x': 1}",
        ),
        (
            '{\\"authorization\\": \\"Basic dXNlcjpwYXNz\\"}',
            '{\\"authorization\\": \\"Basic [secret token]\\"}',
        ),
        (
            "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabcd==\n-----END RSA PRIVATE KEY-----\nb",
            "a\n[secret private key]\nb",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIEabcd\nabcd", "[secret private key]"),
        ("-----BEGIN PUBLIC KEY-----\nMIIE", "-----BEGIN PUBLIC KEY-----\nMIIE"),
        ("the authorization of AKIA and gh_ is high", "the authorization of AKIA and gh_ is high"),
    ],
)
def test_what_looks_like_a_secret_is_masked_unless_it_is_turned_off(text: str, left: str) -> None:
    assert Mask(patterns=True)(text) == left
    assert Mask(patterns=True)(left) == left
    assert Mask(patterns=False)(text) == text


def test_a_mask_may_learn_while_others_use_it() -> None:
    mask = Mask()
    values = [f"secret-number-{number:04d}" for number in range(50)]
    learned = threading.Event()
    seen: list[str] = []

    def read() -> None:
        while not learned.is_set():
            seen.append(mask(values[0]))

    reader = threading.Thread(target=read)
    reader.start()
    for number, value in enumerate(values):
        mask.learn(f"secret://env/KEY_{number}", value)
        assert mask(value) == f"[secret KEY_{number}]"
    learned.set()
    reader.join()
    assert set(seen) <= {values[0], "[secret KEY_0]"}


def test_json_is_masked_in_its_names_too() -> None:
    value = {"a": [1, None, True, "x canary-5f0c-value"], "canary-5f0c-value": {"b": "y"}}
    assert mask_value(mask_of("canary-5f0c-value"), value) == {
        "a": [1, None, True, "x [secret KEY_0]"],
        "[secret KEY_0]": {"b": "y"},
    }


def test_records_are_masked_and_their_files_renamed(tmp_path: Path) -> None:
    mask = mask_of("canary5f0cvalue")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "canary5f0cvalue.png").write_bytes(b"pixels")
    records = [
        {"kind": "metric", "name": "canary5f0cvalue", "value": 1, "slice": {"x": "canary5f0cvalue"}},
        {"kind": "figure", "name": "canary5f0cvalue", "path": "figures/canary5f0cvalue.png"},
        {"kind": "figure", "name": "canary5f0cvalue", "path": "figures/canary5f0cvalue.png"},
    ]
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    assert clean_staging(tmp_path, mask) == ""
    metric, figure, again = read_records(tmp_path)
    assert metric == {
        "kind": "metric",
        "name": "[secret KEY_0]",
        "value": 1,
        "slice": {"x": "[secret KEY_0]"},
    }
    assert (
        figure == again == {"kind": "figure", "name": "[secret KEY_0]", "path": "figures/_secret_KEY_0_.png"}
    )
    assert (tmp_path / "figures" / "_secret_KEY_0_.png").read_bytes() == b"pixels"
    assert not any(b"canary5f0c" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_of_a_step_that_saved_a_secret_nothing_is_kept(tmp_path: Path) -> None:
    mask = mask_of("canary-5f0c-value")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.cloudpickle").write_bytes(
        bytes((1 << 20) - 7) + b"canary-5f0c-value" + bytes(99)
    )
    (tmp_path / "records.jsonl").write_text('{"kind": "metric", "name": "a", "value": 1, "slice": {}}\n')
    assert "'model/model.cloudpickle' holds 'KEY_0'" in clean_staging(tmp_path, mask)
    assert [*tmp_path.iterdir()] == []


def test_records_that_lead_elsewhere_are_refused_before_anything_is_renamed(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text(
        '{"kind": "figure", "name": "a", "path": "../canary-5f0c-value"}\n'
    )
    with pytest.raises(InvalidInput, match="outside"):
        clean_staging(tmp_path, mask_of("canary-5f0c-value"))
