"""Keys: read with commas or as hashes, refused when weak, and never seen again."""

from __future__ import annotations

import base64
import hashlib
import pickle
import traceback

import pytest

from downloader.access.keys import ApiKeys, parse_keys, sent_key
from downloader.errors import StartRefused
from downloader.settings import Settings, load_settings

KEY = "correct horse battery".replace(" ", "-")
OTHER = "0123456789abcdef"


def sha256(key: str) -> str:
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (KEY, [KEY]),
        (f" {KEY} , {OTHER}", [KEY, OTHER]),
        (f"{KEY},{KEY}", [KEY]),
        (sha256(KEY), [KEY]),
        (sha256(KEY).upper(), [KEY]),
        (f"{sha256(KEY)},{OTHER}", [KEY, OTHER]),
        ("schlüssel-mit-ümlaut", ["schlüssel-mit-ümlaut"]),
    ],
)
def test_keys_are_read(text: str, keys: list[str]) -> None:
    assert list(parse_keys(text)) == [sha256(key) for key in keys]


@pytest.mark.parametrize(
    "text",
    [
        "fifteen-letters",
        " ",
        ",",
        f"{KEY},",
        f"{KEY},short",
        "with a space in the middle",
        "with\ttab-and-enough-letters",
        "with\x01control-and-enough-letters",
        "sha256:",
        "sha256:abcdef0123456789abcdef0123456789",
        sha256(KEY) + "0",
        sha256(KEY)[:-1] + "g",
    ],
)
def test_what_is_no_key_is_refused_without_repeating_it(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNLOADER_API_KEY", text)
    with pytest.raises(StartRefused, match="DOWNLOADER_API_KEY") as refusal:
        load_settings()
    told = "".join(traceback.format_exception(refusal.value))
    for part in text.split(","):
        assert len(part) < 8 or part not in told


def test_an_empty_variable_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNLOADER_API_KEY", "")
    assert load_settings().api_key is None


def test_settings_hold_no_key() -> None:
    settings = Settings.model_validate({"api_key": f"{KEY},{OTHER}"})
    assert KEY not in repr(settings)
    assert KEY.encode() not in pickle.dumps(settings)
    assert hashlib.sha256(KEY.encode()).hexdigest() not in repr(settings)
    assert len(settings.api_key or ()) == 2


def test_each_key_is_found_and_no_other() -> None:
    keys = ApiKeys(parse_keys(f"{KEY},{OTHER}"))
    assert keys
    assert keys.find(KEY.encode()) == hashlib.sha256(KEY.encode()).digest()
    assert keys.find(OTHER.encode()) == hashlib.sha256(OTHER.encode()).digest()
    for wrong in (
        b"",
        KEY[:-1].encode(),
        KEY.encode() + b" ",
        KEY.upper().encode(),
        sha256(KEY).encode(),
        b"\xff" * 99,
    ):
        assert keys.find(wrong) is None
    assert not ApiKeys(())
    assert ApiKeys(()).find(b"") is None


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (f"Bearer {KEY}", KEY), (f"bearer  {KEY} ", KEY), (f"Api-Key {KEY}", KEY), (f"API-KEY {KEY}", KEY),
        (basic(f":{KEY}"), KEY), (basic(f"ada:{KEY}"), KEY), (basic("ada:a:b"), "a:b"), (basic("ada"), ""),
        (basic(":schlüssel"), "schlüssel"), (basic(KEY).replace("Basic", "basic"), KEY[:0]), ("Basic", ""),
        ("Basic \xff", ""), (f"Basic {KEY}", ""), ("Bearer", ""), ("", None), (KEY, None), (f"Digest {KEY}", None),
    ],
)  # fmt: skip
def test_the_key_is_read_as_clients_send_it(header: str, key: str | None) -> None:
    assert sent_key(header) == (None if key is None else key.encode())
