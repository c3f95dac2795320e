"""The guard cannot be walked around: real yt-dlp, every engine, names that lie, an environment that tempts."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import textwrap
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from downloader import create_downloader_app
from downloader.batch_downloader import wrapper_of
from downloader.egress import guard as egress
from downloader.egress.dialer import Dialer, connect
from downloader.egress.guard import check_proxies
from downloader.egress.policy import Address, address_refusal, literal
from downloader.egress.proxy import EgressProxy, Grant
from downloader.engines.pool import PoolLimits
from downloader.engines.processes import ProcessEngine
from downloader.engines.threads import ThreadEngine
from downloader.errors import StartRefused
from downloader.jobs import Progress, Work
from downloader.models import Outcome
from downloader.platform_detector import parse_link
from downloader.platforms import PLATFORMS as DECLARED
from downloader.platforms import PlatformType
from downloader.settings import Settings
from downloader.ytdlp.client import FetchContext, fetch_context
from downloader.ytdlp.collections import list_collection
from downloader.ytdlp.transport import Transport
from tests.conftest import simulated
from tests.simulator import instagram, tiktok, twitter, youtube
from tests.simulator.client import Simulator
from tests.simulator.lists import list_url

REPOSITORY = Path(__file__).parents[2]

LOOPBACK = literal("127.0.0.1")
assert LOOPBACK is not None

MEDIA_HOSTS: dict[PlatformType, frozenset[str]] = {
    "tiktok": frozenset(tiktok._MEDIA_HOSTS),
    "instagram": frozenset({instagram.MEDIA_HOST}),
    "twitter": frozenset({twitter._MEDIA}),
    "youtube": frozenset({youtube.MEDIA_HOST}),
}


class DirectInternet:
    """The simulator as an internet without a proxy in between: names resolve, addresses are connected to."""

    def __init__(self, simulator: Simulator) -> None:
        self.at = urlsplit(simulator.proxy)
        self.names: dict[str, str] = {}  #: by address
        self.answers: dict[str, list[Sequence[str]]] = {}  #: what a name resolves to, time after time, before its own
        self.connected: list[Address] = []

    async def resolve(self, name: str) -> Sequence[str]:
        if later := self.answers.get(name):
            answer = later.pop(0)
            if answer:
                return answer
        number = len(self.names) + 1
        address = f"93.184.{number // 250}.{number % 250 + 1}"
        self.names[address] = name
        return [address]

    async def connect(self, address: Address, port: int) -> socket.socket:
        self.connected.append(address)
        if str(address) not in self.names:  # somewhere on loopback: what must never happen, and what the canary sees
            return await connect(address, port)
        assert LOOPBACK is not None
        sock = await connect(LOOPBACK, self.at.port or 0)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, f"CONNECT {self.names[str(address)]}:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += await loop.sock_recv(sock, 1)
        assert b" 200 " in answer
        return sock

    def proxy(self) -> EgressProxy:
        return EgressProxy(Dialer(resolve=self.resolve, connect=self.connect))


@pytest.fixture
def internet(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[DirectInternet]:
    """Return the internet that the guard of this process sees for the length of a test."""
    internet = DirectInternet(simulator)
    monkeypatch.setattr(egress, "_make_proxy", internet.proxy)
    monkeypatch.setattr(egress, "_GUARD", None)
    yield internet
    end_guard()


def end_guard() -> None:
    guard = egress._GUARD
    if guard is not None and guard.thread.is_alive():
        proxy = guard.proxy
        proxy._loop.call_soon_threadsafe(proxy._accepting.cancel)
        guard.thread.join(30)
        assert not guard.thread.is_alive()


#: On the loop that `engine` lives on.
shares_engine = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(params=["threads", "processes"], scope="module", loop_scope="module")
async def engine(
    request: pytest.FixtureRequest, running_simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Any]:
    """Return an engine for all tests, since a worker takes half a second of CPU to start; each has its own guard."""
    settings = simulated(running_simulator, tmp_path_factory.mktemp("engine"), proxy=None).for_downloads()
    engine = ThreadEngine(settings) if request.param == "threads" else ProcessEngine(settings, PoolLimits(attempts=2))
    await engine.start()
    yield engine
    await engine.close()


def ignore(progress: Progress) -> None: ...


def work(
    simulator: Simulator, tmp_path: Path, platform: Any, scenario: str = "ok", *, serial: int = 0, **form: Any
) -> Work:
    name = f"{platform}-{scenario}-{serial}"
    return Work(
        job_id=name,
        platform=platform,
        link=simulator.url(platform, scenario, serial, **form),
        output_dir=str(tmp_path / "raw"),
        work_dir=str(tmp_path / "work" / name),
    )


PLATFORMS: tuple[PlatformType, ...] = ("tiktok", "instagram", "twitter", "youtube")


# Names that lie


@shares_engine
@pytest.mark.parametrize("platform", PLATFORMS)
async def test_a_download_needs_nothing_but_public_addresses(
    engine: Any, internet: DirectInternet, simulator: Simulator, tmp_path: Path, platform: PlatformType
) -> None:
    outcome = await engine.run(work(simulator, tmp_path, platform), ignore)
    assert outcome[0], outcome.detail
    assert len(internet.connected) >= 2
    assert all(address_refusal(address) is None for address in internet.connected)
    # Each connection that the simulator saw was made by the guard.
    assert set(simulator.stats().hosts) == set(internet.names.values())


@shares_engine
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["::1"], ["93.184.216.34", "10.0.0.1"], ["64:ff9b::7f00:1"]])
async def test_media_on_a_name_with_a_private_address_are_refused(
    engine: Any,
    internet: DirectInternet,
    simulator: Simulator,
    tmp_path: Path,
    platform: PlatformType,
    addresses: list[str],
) -> None:
    for host in MEDIA_HOSTS[platform]:
        internet.answers[host] = [addresses] * 50
    outcome = await engine.run(work(simulator, tmp_path, platform), ignore)
    assert outcome.error_code == "blocked_address", outcome.detail
    assert all(address_refusal(address) is None for address in internet.connected)
    assert simulator.stats().canary_hits == 0


@shares_engine
@pytest.mark.parametrize(
    ("platform", "host"),
    [
        ("tiktok", "www.tiktok.com"),
        ("instagram", "www.instagram.com"),
        ("twitter", "api.x.com"),
        ("youtube", "www.youtube.com"),
    ],
)
async def test_a_page_on_a_name_with_a_private_address_is_refused(
    engine: Any, internet: DirectInternet, simulator: Simulator, tmp_path: Path, platform: PlatformType, host: str
) -> None:
    internet.answers[host] = [["169.254.169.254"]] * 50
    outcome = await engine.run(work(simulator, tmp_path, platform), ignore)
    assert outcome.error_code == "blocked_address", outcome.detail
    assert simulator.stats().hosts.keys().isdisjoint({host})


@shares_engine
async def test_a_name_that_turns_private_between_two_requests_is_refused_then(
    engine: Any, internet: DirectInternet, simulator: Simulator, tmp_path: Path
) -> None:
    for host in MEDIA_HOSTS["tiktok"]:
        internet.answers[host] = [[], ["127.0.0.1"], ["127.0.0.1"], ["127.0.0.1"]]  # the first is a good one
    outcome = await engine.run(work(simulator, tmp_path, "tiktok", "cut"), ignore)
    assert outcome.error_code == "blocked_address", outcome.detail
    assert simulator.stats().media_bytes_sent["tiktok"] > 0
    assert all(address_refusal(address) is None for address in internet.connected)


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_a_name_that_turns_private_between_two_jobs_is_refused_with_the_next_tunnel(
    internet: DirectInternet,
    simulator: Simulator,
    make_settings: Callable[..., Settings],
    tmp_path: Path,
    platform: PlatformType,
) -> None:
    engine = ProcessEngine(make_settings(proxy=None).for_downloads(), PoolLimits(attempts=1))
    await engine.start()
    try:
        assert (await engine.run(work(simulator, tmp_path, platform), ignore))[0]
        for host in simulator.stats().hosts:
            internet.answers[host] = [["10.0.0.1"]] * 20
        resolved = len(internet.connected)
        # No name is resolved: the connections lead to where the names were checked to be.
        assert (await engine.run(work(simulator, tmp_path, platform, serial=1), ignore))[0]
        assert len(internet.connected) == resolved
        engine.pool.ready[0].revoke_grants()
        outcome = await engine.run(work(simulator, tmp_path, platform, serial=2), ignore)
        assert outcome.error_code == "blocked_address", outcome.detail
        # The refusal is that attempt's own.
        internet.answers.clear()
        assert (await engine.run(work(simulator, tmp_path, platform, serial=3), ignore))[0]
        assert (
            await engine.run(work(simulator, tmp_path, platform, "removed"), ignore)
        ).error_code != "blocked_address"
    finally:
        await engine.close()


@shares_engine
@pytest.mark.parametrize("platform", PLATFORMS)
async def test_a_name_without_an_address_is_a_matter_of_the_network(
    engine: Any,
    internet: DirectInternet,
    simulator: Simulator,
    tmp_path: Path,
    platform: PlatformType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def nothing(name: str) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(internet, "resolve", nothing)
    outcome = await engine.run(work(simulator, tmp_path, platform), ignore)
    assert outcome.error_code == "network", outcome.detail


@shares_engine
@pytest.mark.parametrize("platform", PLATFORMS)
async def test_an_address_that_does_not_answer_times_out(
    engine: Any,
    internet: DirectInternet,
    simulator: Simulator,
    tmp_path: Path,
    platform: PlatformType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def too_late(address: Address, port: int) -> socket.socket:
        raise TimeoutError

    monkeypatch.setattr(internet, "connect", too_late)
    outcome = await engine.run(work(simulator, tmp_path, platform), ignore)
    assert outcome.error_code == "timeout", outcome.detail


# Addresses in what strangers wrote


WAYS_IN: list[tuple[PlatformType, str]] = [
    *((platform, name) for platform in PLATFORMS for name in ("page_to_loopback", "redirect_to_loopback")),
    *((platform, name) for platform in PLATFORMS for name in ("page_to_loopback_by_tls", "private_media")),
    *(("twitter", name) for name in ("private_segment", "private_playlist", "private_key")),
    *((platform, "private_picture") for platform in PLATFORMS if platform != "youtube"),
    *((platform, "picture_redirects") for platform in PLATFORMS if platform != "youtube"),
    *(("tiktok", f"redirect_to_{spelling}") for spelling in ("metadata", "decimal", "octal", "ipv6")),
]

SUBTITLES_IN: list[tuple[PlatformType, str, int]] = [
    *(
        (platform, f"subtitles_{way}", 0)
        for platform in ("tiktok", "twitter", "youtube")
        for way in ("to_loopback", "private")
    ),
    ("twitter", "subtitles_private", 1),  # only the segments
    ("twitter", "subtitles_playlist", 0),
]


@shares_engine
@pytest.mark.parametrize(("platform", "scenario"), WAYS_IN)
async def test_a_way_into_this_machine_is_refused_before_it_is_taken(
    engine: Any, internet: DirectInternet, simulator: Simulator, tmp_path: Path, platform: PlatformType, scenario: str
) -> None:
    outcome = await engine.run(work(simulator, tmp_path, platform, scenario), ignore)
    assert outcome.error_code == "blocked_address", outcome.detail
    assert simulator.stats().canary_hits == 0
    assert all(address_refusal(address) is None for address in internet.connected)


@shares_engine
@pytest.mark.parametrize(("platform", "scenario", "serial"), SUBTITLES_IN)
async def test_subtitles_inside_this_machine_are_refused_and_the_video_comes(
    engine: Any,
    internet: DirectInternet,
    simulator: Simulator,
    tmp_path: Path,
    platform: PlatformType,
    scenario: str,
    serial: int,
) -> None:
    wanted = replace(work(simulator, tmp_path, platform, scenario, serial=serial), subtitles=("en",))
    outcome = await engine.run(wanted, ignore)
    assert outcome[0], outcome.detail
    assert outcome.media.subtitles_missing == ("en",)
    assert simulator.stats().canary_hits == 0
    assert all(address_refusal(address) is None for address in internet.connected)


@shares_engine
async def test_a_short_link_into_this_machine_is_refused(
    engine: Any, internet: DirectInternet, simulator: Simulator, tmp_path: Path
) -> None:
    outcome = await engine.run(work(simulator, tmp_path, "tiktok", "private_short_link", form="short"), ignore)
    assert outcome.error_code == "blocked_address", outcome.detail
    assert simulator.stats().canary_hits == 0


@pytest.mark.parametrize(
    ("url", "code"),
    [
        (list_url("youtube", "inward"), "blocked_address"),
        (list_url("youtube", "inlater"), "blocked_address"),
        (list_url("youtube", "navigates"), "no_video"),  # an address that no extractor takes
        (list_url("tiktok", "inward"), "blocked_address"),
        (list_url("tiktok", "inlater"), "blocked_address"),
        ("https://www.instagram.com/stories/highlights/9/", "blocked_address"),
    ],
)
def test_a_collection_that_leads_into_this_machine_is_refused(
    simulator: Simulator,
    internet: DirectInternet,
    make_settings: Callable[..., Settings],
    tmp_path: Path,
    url: str,
    code: str,
) -> None:
    line = ".instagram.com\tTRUE\t/\tTRUE\t4102444800\tsessionid\tsimulated\n"
    (tmp_path / "instagram.txt").write_text(f"# Netscape HTTP Cookie File\n{line}")
    context = FetchContext(settings=make_settings(proxy=None, cookies_dir=tmp_path).for_downloads())
    link = parse_link(url)
    assert link is not None
    outcome = list_collection(DECLARED[link.platform], url, context, limit=1_000, report=lambda _: None)
    assert outcome.error_code == code, outcome.detail
    assert simulator.stats().canary_hits == 0
    assert all(address_refusal(address) is None for address in internet.connected)


@pytest.mark.usefixtures("internet")
def test_a_thumbnail_inside_this_machine_is_refused(
    simulator: Simulator, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    options = {"compat_opts": ["no-certifi"], "writethumbnail": True}
    outcome = fetch("twitter", simulator.url("twitter", "private_thumbnail"), make_settings(ytdlp_options=options))
    assert outcome.error_code == "blocked_address"
    assert simulator.stats().canary_hits == 0


THUMBNAIL_HOSTS: dict[PlatformType, str] = {
    "tiktok": tiktok._COVERS,
    "instagram": instagram.MEDIA_HOST,
    "twitter": twitter._PICTURES,
    "youtube": youtube.THUMBNAIL_HOST,
}


@pytest.fixture
def server(internet: DirectInternet, make_settings: Callable[..., Settings]) -> Iterator[FlaskClient]:
    """Return a client of a server that reaches *internet* by itself."""
    app = create_downloader_app(make_settings(proxy=None))
    yield app.test_client()
    app.extensions["downloader"].close(grace_seconds=0)


def thumbnail(server: FlaskClient, url: str, before: Callable[[], object] = lambda: None) -> TestResponse:
    """Download *url*, call *before*, and return the response to a request for its thumbnail."""
    record = server.post("/download", json={"url": url}).get_json()
    assert record["success"], record
    before()
    return server.get(record["thumbnail_url"])


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_thumbnail_needs_nothing_but_public_addresses(
    server: FlaskClient, internet: DirectInternet, simulator: Simulator, platform: PlatformType
) -> None:
    assert thumbnail(server, simulator.url(platform, "ok")).status_code == 200  # type: ignore[arg-type]
    assert THUMBNAIL_HOSTS[platform] in internet.names.values()
    assert all(address_refusal(address) is None for address in internet.connected)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("scenario", ["private_thumbnail", "thumbnail_to_loopback"])
def test_a_thumbnail_in_this_machine_is_refused(
    server: FlaskClient, internet: DirectInternet, simulator: Simulator, platform: PlatformType, scenario: str
) -> None:
    assert thumbnail(server, simulator.url(platform, scenario)).status_code == 404  # type: ignore[arg-type]
    assert simulator.stats().canary_hits == 0
    assert all(address_refusal(address) is None for address in internet.connected)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["64:ff9b::7f00:1"]])
def test_a_thumbnail_on_a_name_that_turns_private_is_refused(
    server: FlaskClient,
    internet: DirectInternet,
    simulator: Simulator,
    platform: PlatformType,
    addresses: list[str],
) -> None:
    def turn() -> None:
        internet.answers[THUMBNAIL_HOSTS[platform]] = [addresses] * 50

    assert thumbnail(server, simulator.url(platform, "ok"), turn).status_code == 404  # type: ignore[arg-type]
    assert simulator.stats().canary_hits == 0
    assert all(address_refusal(address) is None for address in internet.connected)


def fetch(platform: PlatformType, url: str, settings: Settings) -> Outcome:
    with fetch_context(FetchContext(settings=settings.for_downloads())):
        return Outcome.of(wrapper_of(platform)(url, str(settings.raw_dir)))


def test_trusted_set_ups_may_fetch_from_anywhere(
    simulator: Simulator, make_settings: Callable[..., Settings], internet: DirectInternet
) -> None:
    settings = make_settings(proxy=None, allow_private_addresses=True)
    outcome = fetch("tiktok", simulator.url("tiktok", "redirect_to_loopback"), settings)
    assert outcome.error_code == "not_a_video"
    assert simulator.stats().canary_hits > 0


# What yt-dlp's libraries would rather do


HANDLERS = ("Guarded", "GuardedCurl")
TEMPTATIONS = ("no_proxy", "NO_PROXY")


@pytest.fixture
def session(make_settings: Callable[..., Settings]) -> Iterator[Grant]:
    with egress.open_egress(make_settings().for_downloads()) as session:
        yield session


@pytest.mark.parametrize("name", HANDLERS)
@pytest.mark.parametrize(
    "environment",
    [{}, {"no_proxy": "*"}, {"NO_PROXY": "*"}, {"NO_PROXY": "127.0.0.1,localhost", "HTTP_PROXY": "{canary}"}],
)
@pytest.mark.parametrize("path", ["http", "https"])
def test_no_library_goes_another_way(
    simulator: Simulator,
    session: Grant,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    environment: dict[str, str],
    path: str,
) -> None:
    import yt_dlp
    from yt_dlp.networking.common import Request
    from yt_dlp.networking.exceptions import RequestError

    for variable, value in environment.items():
        monkeypatch.setenv(variable, value.format(canary=simulator.canary))
    options = {"quiet": True, "proxy": session.url, "http_headers": {"Ytdl-request-proxy": simulator.canary}}
    with yt_dlp.YoutubeDL(options, auto_init=False) as ydl:
        transport = Transport(session.url)
        transport.install(ydl)
        handlers = ydl._request_director.handlers
        for other in set(handlers) - {name}:
            del handlers[other]
        request = Request(
            simulator.canary.replace("http:", f"{path}:"),
            proxies={"all": None},
            headers={"Ytdl-request-proxy": simulator.canary},
        )
        with pytest.raises(RequestError) as error:
            ydl.urlopen(request)
    assert "403" in str(error.value)
    assert simulator.stats().canary_hits == 0
    assert session.refusal(Outcome(False, error_code="network"))


@pytest.mark.parametrize("url", ["ws://{at}/", "wss://{at}/", "ftp://{at}/x", "file:///etc/hostname", "rtmp://{at}/"])
def test_no_other_protocol_gets_out(simulator: Simulator, session: Grant, url: str) -> None:
    import yt_dlp
    from yt_dlp.networking.exceptions import RequestError

    with yt_dlp.YoutubeDL({"quiet": True, "proxy": session.url}, auto_init=False) as ydl:
        Transport(session.url).install(ydl)
        with pytest.raises(RequestError):
            ydl.urlopen(url.format(at=urlsplit(simulator.canary).netloc))
    assert simulator.stats().canary_hits == 0


async def test_workers_know_of_no_proxy_but_the_guard(
    simulator: Simulator, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("http_proxy", "HTTPS_PROXY", "All_Proxy", "ftp_proxy"):
        monkeypatch.setenv(name, simulator.proxy.replace("//", "//ada:hunter2@"))
    monkeypatch.setenv("NO_PROXY", "nothing.example")
    engine = ProcessEngine(make_settings(proxy=None).for_downloads(), PoolLimits(attempts=1))
    await engine.start()
    try:
        process = engine.pool.ready[0].process
        assert b"_proxy=" not in Path(f"/proc/{process.pid}/environ").read_bytes().lower()
        assert "hunter2" not in repr(process.config)
        # And yet it is used: the names resolve there alone.
        assert (await engine.run(work(simulator, tmp_path, "tiktok"), ignore))[0]
    finally:
        await engine.close()


async def test_workers_and_what_they_start_know_no_secret_of_the_services_own(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = {
        "proxy": "http://ada:hunter2@proxy.example:3128",
        "database_url": "postgresql://ada:hunter2@localhost/queue",
        "api_key": ("hunter2-hunter2-hunter2",),
    }
    settings = make_settings().model_copy(update=secrets).for_downloads()
    for name in secrets:
        monkeypatch.setenv(f"DOWNLOADER_{name.upper()}", "hunter2-hunter2-hunter2")
    monkeypatch.setenv("EVERYTHING_ELSE", "stays")
    engine = ProcessEngine(settings, PoolLimits(attempts=1))
    await engine.start()
    try:
        process = engine.pool.ready[0].process
        environment = Path(f"/proc/{process.pid}/environ").read_text()
    finally:
        await engine.close()
    assert "hunter2" not in environment + repr(asdict(process.config.settings))
    assert "EVERYTHING_ELSE=stays" in environment


# The guard's own life


async def test_when_the_guard_dies_downloads_fail_at_once_and_the_next_gets_another(
    simulator: Simulator, internet: DirectInternet, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    engine = ThreadEngine(make_settings(proxy=None, socket_timeout_seconds=30, retries=0).for_downloads())
    running = asyncio.ensure_future(engine.run(work(simulator, tmp_path, "tiktok", "hang"), ignore))
    await asyncio.to_thread(simulator.wait_until_hanging, 1)
    first = egress._GUARD
    await asyncio.to_thread(end_guard)
    outcome = await asyncio.wait_for(running, 30)
    assert outcome.error_code == "network", outcome.detail
    assert (await engine.run(work(simulator, tmp_path, "tiktok"), ignore))[0]
    assert egress._GUARD is not first
    await engine.close()


async def test_when_the_guard_dies_what_was_kept_of_it_is_not_used(
    simulator: Simulator, internet: DirectInternet, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    engine = ProcessEngine(make_settings(proxy=None).for_downloads(), PoolLimits(attempts=1))
    await engine.start()
    try:
        assert (await engine.run(work(simulator, tmp_path, "tiktok"), ignore))[0]
        await asyncio.to_thread(end_guard)
        assert (await engine.run(work(simulator, tmp_path, "tiktok", serial=1), ignore))[0]
    finally:
        await engine.close()


def test_a_crash_of_the_guard_is_in_the_log(
    internet: DirectInternet, make_settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    with egress.open_egress(make_settings().for_downloads()):
        guard = egress._GUARD
        assert guard is not None
        proxy = guard.proxy

        async def crash() -> None:
            raise RuntimeError("a fault")

        def replace() -> None:
            proxy._accepting.cancel()
            proxy._accepting = proxy._loop.create_task(crash())

        proxy._loop.call_soon_threadsafe(replace)
        guard.thread.join(30)
    assert not guard.thread.is_alive()
    assert "the egress proxy ended" in caplog.text


def test_many_downloads_share_one_guard(make_settings: Callable[..., Settings]) -> None:
    urls: list[str] = []

    def use() -> None:
        with egress.open_egress(make_settings().for_downloads()) as session:
            urls.append(session.url)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({urlsplit(url).port for url in urls}) == 1
    assert len({urlsplit(url).password for url in urls}) == 8


def test_a_forked_child_has_a_guard_of_its_own() -> None:
    script = """
        import os, sys
        from downloader.egress.guard import open_egress
        from downloader.settings import Settings
        from urllib.parse import urlsplit
        from urllib.request import urlopen
        settings = Settings().for_downloads()
        with open_egress(settings) as ours:
            child = os.fork()
            with open_egress(settings) as session:
                at = urlsplit(session.url)
                import http.client
                connection = http.client.HTTPConnection(at.hostname, at.port, timeout=5)
                connection.request("GET", "http://127.0.0.1/")
                assert connection.getresponse().status == 407
                if child == 0:
                    assert at.port != urlsplit(ours.url).port
        if child:
            sys.exit(os.waitpid(child, 0)[1])
    """
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)], check=True, timeout=30, cwd=REPOSITORY
    )


Code = Literal["network", "rate_limited", "interrupted"]


@pytest.mark.parametrize(("code", "explained"), [("network", True), ("rate_limited", False), ("interrupted", False)])
def test_a_refusal_explains_a_failure_but_not_every_one(session: Grant, code: Code, explained: bool) -> None:
    assert session.refusal(Outcome(False, error_code=code)) is None
    session.refusals.append("127.0.0.1:80 (this machine)")
    assert bool(session.refusal(Outcome(False, error_code=code))) is explained
    assert session.refusal(Outcome(True, "/a.mp4")) is None


def test_a_broken_proxy_in_the_environment_is_a_failure_that_says_so(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://ada:hunter2@proxy")
    outcome = fetch("tiktok", "https://www.tiktok.com/@ada/video/7", make_settings(proxy=None))
    assert outcome.error_code == "internal"
    assert "not the URL of a proxy" in (outcome.detail or "")
    assert (outcome[2] or "").startswith("HTTPS_PROXY is set wrongly")
    assert "hunter2" not in (outcome.detail or "") + (outcome[2] or "")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("HTTPS_PROXY", '"http://ada:hunter2@proxy:3128"', "not the URL of a proxy, such as .*; write it without quot"),
        ("https_proxy", "'http://ada:hunter2@proxy:3128'", "not the URL of a proxy, such as .*; write it without quot"),
        (
            "HTTP_PROXY",
            "nonsense://ada:hunter2@proxy",
            "not the URL of a proxy, such as http://user:password@host:3128",
        ),
        ("http_proxy", "none", "not the URL of a proxy"),
        ("ALL_PROXY", "proxy", "not the URL of a proxy"),
        ("all_proxy", "socks5://", "not the URL of a proxy"),
        ("NO_PROXY", '"localhost,.example"', "not a list of hosts; write it without quotation marks"),
    ],
)
def test_a_bad_proxy_of_the_environment_stops_the_start_by_its_name(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(StartRefused, match=f"^{variable} is set wrongly: it is {said}") as refusal:
        create_downloader_app(make_settings(proxy=None))
    assert "hunter2" not in "".join(traceback.format_exception(refusal.value))
    check_proxies(make_settings().for_downloads())  # with DOWNLOADER_PROXY those of the environment do not count


def test_a_bad_proxy_of_ours_stops_the_start_by_its_name(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(proxy="http://ada:hunter2@pro xy:3128")
    with pytest.raises(StartRefused, match="DOWNLOADER_PROXY is set wrongly") as refusal:
        create_downloader_app(settings)
    assert "hunter2" not in "".join(traceback.format_exception(refusal.value))


def test_a_proxy_without_a_scheme_is_taken_for_http_and_told(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("https_proxy", "ada:hunter2@proxy:3128")
    check_proxies(make_settings(proxy=None).for_downloads())
    [record] = caplog.records
    assert record.getMessage() == "a proxy without a scheme is taken for http"
    assert vars(record)["variable"] == "https_proxy"
    assert "hunter2" not in repr(vars(record))
