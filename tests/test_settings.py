"""Settings: read from the environment, frozen, refused by name; and the README's table says what they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from downloader.download_settings import PREFIX
from downloader.errors import StartRefused
from downloader.settings import Settings, load_settings

README = Path(__file__).parent.parent / "README.md"


def test_defaults_are_the_contracts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    assert (settings.host, settings.port, settings.workers, settings.platform_concurrency) == ("0.0.0.0", 8000, 8, 4)
    assert settings.max_batch_urls == 1000
    assert settings.raw_dir == tmp_path / "storage" / "raw"


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNLOADER_PORT", "9001")
    monkeypatch.setenv("DOWNLOADER_YTDLP_OPTIONS", '{"format": "worst"}')
    monkeypatch.setenv("DOWNLOADER_PROXY", "")
    settings = load_settings()
    assert settings.port == 9001
    assert settings.ytdlp_options == {"format": "worst"}
    assert settings.proxy is None


def test_an_option_given_at_the_start_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNLOADER_PORT", "9001")
    assert load_settings(port=9002).port == 9002


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("PORT", "-1"),
        ("WORKERS", "0"),
        ("WORKERS", "many"),
        ("PLATFORM_CONCURRENCY", "0"),
        ("MAX_BATCH_URLS", "0"),
        ("SOCKET_TIMEOUT_SECONDS", "0"),
        ("SOCKET_TIMEOUT_SECONDS", "nan"),
        ("RETRIES", "-1"),
        ("PROXY", "127.0.0.1:3128"),
        ("PROXY", "http://"),
        ("PROXY", "http://user:hunter2@host:99999"),
        ("PROXY", "http://user:hunter2@[::1"),
        ("STORAGE_DIR", "~no-such-user/x"),
        ("COOKIES_DIR", "/no/such/folder"),
        ("LOG_LEVEL", "loud"),
        ("YTDLP_OPTIONS", "not json"),
        ("YTDLP_OPTIONS", "[1]"),
        ("YTDLP_OPTIONS", '{"outtmpl": "/etc/x"}'),
        ("YTDLP_OPTIONS", '{"enable_file_urls": true}'),
        ("YTDLP_OPTIONS", '{"proxy": "http://ada:hunter2@127.0.0.1:9"}'),
        ("YTDLP_OPTIONS", '{"geo_verification_proxy": "http://127.0.0.1:9"}'),
        ("YTDLP_OPTIONS", '{"source_address": "127.0.0.1"}'),
        ("YTDLP_OPTIONS", '{"external_downloader": "curl"}'),
        ("YTDLP_OPTIONS", '{"external_downloader_args": {"ffmpeg_i": []}}'),
        ("YTDLP_OPTIONS", '{"debug_printtraffic": true}'),
        ("YTDLP_OPTIONS", '{"netrc_cmd": "cat /etc/passwd"}'),
        ("YTDLP_OPTIONS", '{"remote_components": ["ejs:npm"]}'),
        ("YTDLP_OPTIONS", '{"cookiesfrombrowser": ["firefox"]}'),
        ("YTDLP_OPTIONS", '{"download_archive": "/etc/x"}'),
        ("YTDLP_OPTIONS", '{"print_to_file": {"video": [["x", "/etc/x"]]}}'),
        ("YTDLP_OPTIONS", '{"write_pages": true}'),
        ("YTDLP_OPTIONS", '{"cachedir": "/var/x"}'),
        ("YTDLP_OPTIONS", '{"load_info_filename": "/etc/x"}'),
        ("YTDLP_OPTIONS", '{"post_hooks": []}'),
        ("YTDLP_OPTIONS", '{"postprocessors": [{"key": "Exec", "exec_cmd": "id"}]}'),
        ("YTDLP_OPTIONS", '{"postprocessors": [{"key": "ExecAfterDownload", "exec_cmd": "id"}]}'),
        ("YTDLP_OPTIONS", '{"compat_opts": ["allow-unsafe-ext"]}'),
        ("ALLOW_PRIVATE_ADDRESSES", "perhaps"),
        ("UMASK", "private"),
        ("UMASK", "778"),
        ("UMASK", "777"),  # not even for ourselves
        ("UMASK", ""),
        ("MAX_FILE_BYTES", "0"),
        ("MAX_STORAGE_BYTES", "-1"),
        ("MAX_DURATION_SECONDS", "inf"),
        ("RETENTION_DAYS", "0"),
        ("RETENTION_DAYS", "nan"),
    ],
)
def test_a_bad_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(StartRefused) as refusal:
        load_settings()
    assert PREFIX + name in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_a_proxy_among_the_options_is_shown_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNLOADER_YTDLP_OPTIONS", '{"proxy": "http://127.0.0.1:9"}')
    with pytest.raises(StartRefused, match="an upstream proxy is set by DOWNLOADER_PROXY"):
        load_settings()


@pytest.mark.parametrize(
    "options",
    [
        '{"format": "worst", "ratelimit": 100000, "max_filesize": 1000, "http_headers": {"X": "y"}}',
        '{"postprocessors": [{"key": "FFmpegMetadata"}], "postprocessor_args": {"merger": ["-threads", "1"]}}',
        '{"js_runtimes": {"node": {}}, "ffmpeg_location": "/usr/bin/ffmpeg", "username": "ada", "password": "x"}',
        '{"compat_opts": ["no-certifi"], "nocheckcertificate": true, "writesubtitles": true, "impersonate": null}',
    ],
)
def test_what_makes_sense_for_an_operator_is_theirs_to_set(monkeypatch: pytest.MonkeyPatch, options: str) -> None:
    monkeypatch.setenv("DOWNLOADER_YTDLP_OPTIONS", options)
    assert load_settings().ytdlp_options


def test_a_refusal_does_not_repeat_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNLOADER_PROXY", "user:hunter2@proxy")
    with pytest.raises(StartRefused) as refusal:
        load_settings()
    assert "hunter2" not in str(refusal.value)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        setattr(load_settings(), "port", 1)  # noqa: B010 -- plain assignment is refused by the type checker already


def test_the_readme_has_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `DOWNLOADER_(\w+)` \|[^|]+\|([^|]*)\|[^|]+\|$", README.read_text(), re.MULTILINE)
    documented = {name.lower(): default.strip() for name, default in rows}
    assert documented.keys() == Settings.model_fields.keys()
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = f"`{default}`"
        if default is None or isinstance(default, bool):  # not by a look-up: 0 is equal to False
            shown = "" if default is None else f"`{str(default).lower()}`"
        if name == "storage_dir":
            shown = "`./storage`"
        assert documented[name] == shown, name
