"""Settings: read from the environment, frozen, refused by name; and a table in the docs says what they are."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from downloader.download_settings import PREFIX
from downloader.errors import StartRefused
from downloader.presets import PRESETS, Preset
from downloader.settings import Settings, load_settings

DOCS = Path(__file__).parent.parent / "docs" / "settings.md"


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
        ("WORKERS", " 8 9"),
        ("WORKERS", '"8'),
        ("WORKERS", "'8\""),
        ("WORKERS", '"'),
        ("API_KEY", '"hunter2-hunter2-hunter2","other-hunter2-hunter2"'),
        ("API_KEY", " "),
        ("API_KEY", '""'),
        ("PORT", "8000/tcp"),
        ("PORT", "0.0.0.0:8000"),
        ("HOST", '"0.0.0.0'),
        ("PROXY", "tcp://ada:hunter2@10.0.0.1:3128"),
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
        ("PRESETS", "not json"),
        ("PRESETS", "[1]"),
        ("PRESETS", '{"x": 1}'),
        ("PRESETS", '{"x": {}}'),
        ("PRESETS", '{"x": {"ytdlp_options": "worst"}}'),
        ("PRESETS", '{"x": {"ytdlp_options": {"outtmpl": "/etc/x"}}}'),
        ("PRESETS", '{"x": {"ytdlp_options": {"postprocessors": [{"key": "Exec", "exec_cmd": "id"}]}}}'),
        ("PRESETS", '{"x": {"ytdlp_options": {"proxy": "http://ada:hunter2@127.0.0.1:9"}}}'),
        ("PRESETS", '{"x": {"label": 1, "ytdlp_options": {}}}'),
        ("PRESETS", '{"x": {"kind": "picture", "ytdlp_options": {}}}'),
        ("PRESETS", '{"x": {"max_height": 720, "ytdlp_options": {}}}'),
        ("PRESETS", '{"video": {"ytdlp_options": {}}}'),
        ("PRESETS", '{"../x": {"ytdlp_options": {}}}'),
        ("PRESETS", '{"": {"ytdlp_options": {}}}'),
        ("PRESETS", '{"X": {"ytdlp_options": {}}}'),
        ("DEFAULT_PRESET", "best"),
        ("NAME_TEMPLATE", "/{id}"),
        ("NAME_TEMPLATE", "../{id}"),
        ("NAME_TEMPLATE", "{id}\\{title}"),
        ("NAME_TEMPLATE", "{uploader_id}"),
        ("NAME_TEMPLATE", "{title.__class__}"),
        ("NAME_TEMPLATE", "%(title)s:{id}"),
        ("ALLOW_PRIVATE_ADDRESSES", "perhaps"),
        ("UMASK", "private"),
        ("UMASK", "778"),
        ("UMASK", "777"),  # not even for ourselves
        ("MAX_FILE_BYTES", "0"),
        ("MAX_STORAGE_BYTES", "-1"),
        ("MAX_DURATION_SECONDS", "inf"),
        ("RETENTION_DAYS", "0"),
        ("RETENTION_DAYS", "nan"),
        ("WEBHOOK_URL", "example.org/hunter2"),
        ("BROKER_URL", "redis://ada:hunter2@host/0"),
        ("BROKER_URL", "amqp:///hunter2"),
        ("EGRESS", "Office"),
        ("EGRESS", "a" * 33),
        ("MACHINE", "ada@host"),
        ("WEBHOOK_URL", "ftp://example.org/hunter2"),
        ("WEBHOOK_URL", "http:///hunter2"),
        ("WEBHOOK_URL", "http://ada:hunter2@host:99999/"),
        ("WEBHOOK_URL", "http://example.org/hunter2 x"),
        ("WEBHOOK_URL", "http://example.org\\@hunter2/"),
        ("WEBHOOK_URL", "http://a..b/hunter2"),
        ("WEBHOOK_SECRET", "hunter2"),
        ("NOTIFY", "hunter2"),
        ("NOTIFY", "ntfy://example.org/topic, mail hunter2"),
        ("NOTIFY", "ntfy://example.org/topic syslog://"),
        ("NOTIFY", "exec://hunter2"),
        ("NOTIFY", "file:///hunter2"),
        ("NOTIFY", "DBUS://"),
        ("NOTIFY", "windows://"),
        ("NOTIFY_ON", "never"),
    ],
)
def test_a_bad_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(StartRefused) as refusal:
        load_settings()
    assert PREFIX + name in str(refusal.value)
    assert "hunter2" not in str(refusal.value)
    assert ".. " not in str(refusal.value)


@pytest.mark.parametrize("value", ["", " ", "\r", '""', "''", '" "'])
@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name != "api_key"])
def test_empty_is_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str) -> None:
    monkeypatch.chdir(tmp_path)
    unset = load_settings()
    monkeypatch.setenv(PREFIX + name.upper(), value)
    assert load_settings() == unset


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PROXY", '"http://ada:hunter2@proxy:3128"', "http://ada:hunter2@proxy:3128"),
        ("PROXY", "'http://proxy:3128'", "http://proxy:3128"),
        ("PROXY", " http://proxy:3128\r", "http://proxy:3128"),
        ("WORKERS", '"8"', 8),
        ("LOG_LEVEL", "\u201cDEBUG\u201d", "DEBUG"),
        ("HOST", "\u2018127.0.0.1\u2019", "127.0.0.1"),
        ("MAX_FILE_BYTES", '"5G"', 5 * 10**9),
        ("YTDLP_OPTIONS", '"{"format": "worst"}"', {"format": "worst"}),
        ("YTDLP_OPTIONS", '\'{"format": "it\'s"}\'', {"format": "it's"}),
        ("ALLOW_PRIVATE_ADDRESSES", "'true'", True),
        ("UMASK", '"027"', "027"),
    ],
)
def test_quotation_marks_around_a_value_are_left_out_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: str, expected: object
) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    assert getattr(load_settings(), name.lower()) == expected
    told = [(vars(record)["variable"], vars(record)["detail"]) for record in caplog.records]
    quoted = not value.startswith(" ")
    assert told == ([(PREFIX + name, "The quotation marks around the value are ignored.")] if quoted else [])
    assert "hunter2" not in repr([vars(record) for record in caplog.records])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5368709120", 5_368_709_120),
        ("5_000", 5000),
        ("5G", 5 * 10**9),
        ("5g", 5 * 10**9),
        ("5GB", 5 * 10**9),
        ("5 GB", 5 * 10**9),
        ("5 gb", 5 * 10**9),
        ("500M", 500 * 10**6),
        ("0.5G", 500 * 10**6),
        ("20k", 20_000),
        ("2T", 2 * 10**12),
        ("1.5 GiB", 1_610_612_736),
        ("5Gi", 5 * 1024**3),
        ("5gib", 5 * 1024**3),
        ("64KiB", 64 * 1024),
        ("5000 bytes", 5000),
        ("5000B", 5000),
        ("5000.0", 5000),
    ],
)
@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name.endswith("_bytes")])
def test_sizes_take_units(monkeypatch: pytest.MonkeyPatch, name: str, text: str, expected: int) -> None:
    monkeypatch.setenv(PREFIX + name.upper(), text)
    assert getattr(load_settings(), name) == expected


@pytest.mark.parametrize(
    "text", ["G", "5X", "5,5G", "-5G", "-1", "1.5", "5iB", "5 G B", "much", "1e9", "\u0665G", "5GG"]
)
@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name.endswith("_bytes")])
def test_what_is_no_size_is_refused_in_peoples_words(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(PREFIX + name.upper(), text)
    with pytest.raises(StartRefused) as refusal:
        load_settings()
    low = {"min_free_bytes": 0, "max_request_bytes": 1024}.get(name, 1)
    assert str(refusal.value) == (
        f"{PREFIX}{name.upper()} is set wrongly: must be a size in bytes, {low} or more, such as 500000000, 500M or 5G."
        " Correct it and start again."
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "http", "must be a whole number from 0 to 65535, such as 8000"),
        ("PORT", "65536", "must be a whole number from 0 to 65535, such as 8000"),
        ("WORKERS", "1.5", "must be a whole number from 1 to 256, such as 8"),
        ("SOCKET_TIMEOUT_SECONDS", "20s", "must be a number of seconds above 0, at most 3600, such as 20"),
        ("PLATFORM_INTERVAL_SECONDS", "-1", "must be a number of seconds from 0 to 3600, such as 0"),
        ("MAX_DURATION_SECONDS", "inf", "must be a number of seconds above 0, such as 3600"),
        ("RETENTION_DAYS", "a week", "must be a number of days above 0, at most 36500, such as 30"),
        ("ALLOW_PRIVATE_ADDRESSES", "perhaps", "must be true or false"),
        ("YTDLP_OPTIONS", "[" * 100_000, 'must be a JSON object, such as {"format": "worst"}'),
        ("YTDLP_OPTIONS", "null", 'must be a JSON object, such as {"format": "worst"}'),
        ("DEFAULT_PRESET", "8k", "must be one of the presets: video, 1080p, 720p, 480p, smallest, audio, mp3"),
        ("PRESETS", '{"audio": {"ytdlp_options": {}}}', "'audio' is one of the service's own presets"),
        ("UMASK", "private", "must be three octal digits of which the first is 0, such as 077 or 027"),
        ("NOTIFY_ON", "never", "must be always or problems"),
        ("NOTIFY", "exec://x", "exec:// would use files, programs or devices of this machine, which is refused"),
        ("NOTIFY", "x", "must be Apprise URLs, such as ntfy://example.org/topic, separated by commas"),
        ("WEBHOOK_URL", "x", "must be a URL such as https://example.org/hook"),
        ("WEBHOOK_SECRET", "x", "must have at least 16 characters"),
        ("RATE_LIMIT", "many", "must be a number per second, minute, hour or day, such as 1200/minute, or off"),
    ],
)
def test_a_refusal_is_in_peoples_words(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(StartRefused) as refusal:
        load_settings()
    assert str(refusal.value) == f"{PREFIX}{name} is set wrongly: {words}. Correct it and start again."


@pytest.mark.parametrize("value", ["off", "OFF", "none"])
def test_a_rate_limit_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DOWNLOADER_RATE_LIMIT", value)
    assert load_settings().rate_limit is None


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


def test_an_operators_presets_come_after_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = {"label": "Tiny", "description": "A thumbnail that moves.", "ytdlp_options": {"format": "worst"}}
    theirs = {"tiny": tiny, "opus": {"kind": "audio", "ytdlp_options": {"format": "ba[acodec=opus]"}}}
    monkeypatch.setenv("DOWNLOADER_PRESETS", json.dumps(theirs))
    monkeypatch.setenv("DOWNLOADER_DEFAULT_PRESET", "opus")
    settings = load_settings()
    assert settings.default_preset == "opus"
    assert settings.presets == {
        **PRESETS,
        "tiny": Preset(
            name="tiny", label="Tiny", description="A thumbnail that moves.", ytdlp_options={"format": "worst"}
        ),
        "opus": Preset(name="opus", label="opus", kind="audio", ytdlp_options={"format": "ba[acodec=opus]"}),
    }
    carried = pickle.loads(pickle.dumps(settings.for_downloads()))  # as it is sent to a worker
    assert carried.presets == settings.presets


def test_a_bad_template_is_refused_with_its_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNLOADER_NAME_TEMPLATE", "{channel}/{title}")
    with pytest.raises(StartRefused) as refusal:
        load_settings()
    assert str(refusal.value) == (
        "DOWNLOADER_NAME_TEMPLATE is set wrongly: it has an unknown field; it is a path of text and the fields"
        " {platform}, {id}, {title}, {uploader}, {date}, {preset}, {index}. Correct it and start again."
    )


@pytest.mark.parametrize(
    ("value", "urls"),
    [
        ("ntfy://example.org/a,b", ("ntfy://example.org/a,b",)),
        (
            " mailto://ada:x@example.org?to=a,b , json://localhost:8080/\ntgram://1:a/2,",
            ("mailto://ada:x@example.org?to=a,b", "json://localhost:8080/", "tgram://1:a/2"),
        ),
        ("json://a json://a", ("json://a",)),
        ("", None),
    ],
)
def test_apprise_urls_are_separated_by_commas_or_blanks(
    monkeypatch: pytest.MonkeyPatch, value: str, urls: tuple[str, ...] | None
) -> None:
    monkeypatch.setenv("DOWNLOADER_NOTIFY", value)
    settings = load_settings()
    assert settings.notify == urls
    assert "json" not in repr(settings)


def test_a_refusal_does_not_repeat_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNLOADER_PROXY", "user:hunter2@proxy")
    with pytest.raises(StartRefused) as refusal:
        load_settings()
    assert "hunter2" not in str(refusal.value)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        setattr(load_settings(), "port", 1)  # noqa: B010 -- plain assignment is refused by the type checker already


def test_the_docs_have_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `DOWNLOADER_(\w+)` \|[^|]+\|([^|]*)\|[^|]+\|$", DOCS.read_text(), re.MULTILINE)
    documented = {name.lower(): default.strip() for name, default in rows}
    assert documented.keys() == Settings.model_fields.keys()
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = f"`{default}`"
        if default is None or isinstance(default, bool):  # not by a look-up: 0 is equal to False
            shown = "" if default is None else f"`{str(default).lower()}`"
        if default == "":
            shown = ""
        if name == "storage_dir":
            shown = "`./storage`"
        assert documented[name] == shown, name


@pytest.mark.parametrize(
    ("host", "is_open"),
    [("127.0.0.1", False), ("localhost", False), ("::1", False), ("0.0.0.0", True), ("::", True), ("nas.local", True)],
)
def test_who_is_reached_over_the_network_and_wants_no_key_is_open_to_all(
    host: str, is_open: bool, tmp_path: Path
) -> None:
    assert Settings(storage_dir=tmp_path, host=host).is_open_to_all is is_open
    assert not Settings(storage_dir=tmp_path, host=host, api_key="a-key-that-no-one-guesses").is_open_to_all


def test_the_brokers_password_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOWNLOADER_BROKER_URL", "amqps://ada:hunter2@rabbit.example.org/videos")
    settings = load_settings()
    assert settings.broker_url is not None
    assert "hunter2" not in repr(settings)
