"""The environment: service links and unknown names are told apart, and nothing of a value is repeated."""

from __future__ import annotations

import pytest

from downloader.egress.environment import child_environment, read_environment
from downloader.errors import StartRefused
from downloader.settings import Settings, load_settings

SERVICE = {
    # Kubernetes, for a Service called downloader, and one called downloader-web
    "DOWNLOADER_SERVICE_HOST": "10.43.0.7",
    "DOWNLOADER_SERVICE_PORT": "8000",
    "DOWNLOADER_SERVICE_PORT_HTTP": "8000",
    "DOWNLOADER_PORT_8000_TCP": "tcp://10.43.0.7:8000",
    "DOWNLOADER_PORT_8000_TCP_PROTO": "tcp",
    "DOWNLOADER_PORT_8000_TCP_PORT": "8000",
    "DOWNLOADER_PORT_8000_TCP_ADDR": "10.43.0.7",
    "DOWNLOADER_PORT_53_UDP": "udp://10.43.0.7:53",
    "DOWNLOADER_WEB_SERVICE_HOST": "10.43.0.8",
    "DOWNLOADER_WEB_PORT": "tcp://10.43.0.8:80",
    "DOWNLOADER_WEB_PORT_80_TCP_ADDR": "10.43.0.8",
    # Docker's links
    "DOWNLOADER_NAME": "/web/downloader",
    "DOWNLOADER_ENV_PYTHON_VERSION": "3.13",
    "DOWNLOADER_1_PORT_8000_TCP_START": "tcp://172.17.0.2:8000",
    "DOWNLOADER_1_NAME": "/web/downloader_1",
}


@pytest.mark.parametrize("link", ["tcp://10.43.0.7:8000", "TCP://10.43.0.7:8000", "udp://10.43.0.7:53", '"tcp://a:1"'])
def test_a_port_that_a_cluster_sets_is_left_aside_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, link: str
) -> None:
    for variable, value in {**SERVICE, "DOWNLOADER_PORT": link}.items():
        monkeypatch.setenv(variable, value)
    assert load_settings().port == 8000
    assert load_settings(port=9000).port == 9000
    assert {(record.levelname, vars(record)["variable"]) for record in caplog.records} == {
        ("WARNING", "DOWNLOADER_PORT")
    }


def test_only_a_port_is_left_aside() -> None:
    proxy = {"DOWNLOADER_PROXY": "tcp://10.0.0.1:3128"}
    assert read_environment(proxy, Settings.model_fields).values == {"proxy": "tcp://10.0.0.1:3128"}


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("DOWNLOADER_PROXYS", "There is no such setting: did you mean DOWNLOADER_PROXY?"),
        ("DOWNLOADER_WORKER", "There is no such setting: did you mean DOWNLOADER_WORKERS?"),
        ("DOWNLOADER_STORAGEDIR", "There is no such setting: did you mean DOWNLOADER_STORAGE_DIR?"),
        ("DOWNLOADER_MAX_FILE_SIZE", "There is no such setting: did you mean DOWNLOADER_MAX_FILE_BYTES?"),
        ("DOWNLOADER_HTTP_PORT", "There is no such setting: did you mean DOWNLOADER_PORT?"),
        ("DOWNLOADER_APIKEY", "There is no such setting: did you mean DOWNLOADER_API_KEY?"),
        ("downloader_workrs", "There is no such setting: did you mean DOWNLOADER_WORKERS?"),
        ("DOWNLOADER_NAME", "There is no such setting."),
        ("DOWNLOADER_X", "There is no such setting."),
        ("DOWNLOADER_", "There is no such setting."),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest_right_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str, said: str
) -> None:
    monkeypatch.setenv(variable, "hunter2")
    load_settings()
    [record] = caplog.records
    assert (record.levelname, vars(record)["variable"], vars(record)["detail"]) == ("WARNING", variable, said)
    assert "hunter2" not in repr(vars(record))


@pytest.mark.parametrize("variable", ["DOWNLOADERS_PORT", "PORT", "DOWNLOADER", "DOWNLOADER_CLIENT_KEY"])
def test_what_is_none_of_ours_is_not_told(variable: str) -> None:
    environment = read_environment({variable: "x"}, Settings.model_fields)
    assert (environment.values, environment.notes) == ({}, {})


def test_upper_case_counts_first() -> None:
    both = {"downloader_workers": "1", "DOWNLOADER_WORKERS": "2", "Downloader_Retries": "3"}
    assert read_environment(both, Settings.model_fields).values == {"workers": "2", "retries": "3"}


def test_a_lone_quotation_mark_is_refused_without_the_value() -> None:
    with pytest.raises(StartRefused, match="DOWNLOADER_API_KEY is set wrongly: write it without") as refusal:
        read_environment({"DOWNLOADER_API_KEY": '"hunter2'}, Settings.model_fields)
    assert "hunter2" not in str(refusal.value)


def test_programs_that_we_start_get_neither_settings_nor_proxies() -> None:
    secret = {"DOWNLOADER_API_KEY": "x", "downloader_webhook_url": "x", "HTTPS_PROXY": "x", "no_proxy": "x"}
    assert child_environment({**secret, "PATH": "/bin", "SSL_CERT_FILE": "/ca.pem"}) == {
        "PATH": "/bin",
        "SSL_CERT_FILE": "/ca.pem",
    }
