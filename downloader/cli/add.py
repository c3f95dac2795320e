"""`add`: sends links, and waits for them where that is wanted."""

from __future__ import annotations

import sys
from argparse import Namespace
from http import HTTPStatus
from typing import Any

from downloader.cli.api import Server, ServerError
from downloader.cli.links import read_links
from downloader.cli.receipts import Receipt
from downloader.cli.waiting import failures, wait
from downloader.util.printable import visible

#: Most links of one request, whatever the server takes.
MAX_LINKS = 1000


def add(server: Server, options: Namespace) -> int:
    """Send the links of *options*; return 0, or 1 if some have failed."""
    links = read_links(options.links)
    wanted = _wanted(options)
    receipt = Receipt([server.url, links, wanted])
    batch_ids: list[str] = []
    try:
        _submit(server, links, wanted, receipt, batch_ids)
        if options.wait:
            wait(server, batch_ids)
        failed = list(failures(server, batch_ids))
    except KeyboardInterrupt:
        sys.stderr.write(_how_to_continue("Stopped", receipt, batch_ids))
        return 130
    except ServerError as error:
        # Nothing was added; or the server no longer takes it for the same.
        if error.status == HTTPStatus.CONFLICT or not (error.may_pass or batch_ids):
            receipt.discard()
        if not error.may_pass:
            raise
        sys.stderr.write(f"{error}\n{_how_to_continue('Not done', receipt, batch_ids)}")
        return 3
    receipt.discard()
    for link, sentence in failed:
        sys.stderr.write(f"{visible(link)}: {visible(sentence)}\n")
    if options.wait and failed:
        sys.stderr.write(f"{len(failed)} failed.\n")
    return 1 if failed else 0


def _wanted(options: Namespace) -> dict[str, Any]:
    """Return what a request says beside its links; what is not given is up to the server."""
    wanted: dict[str, Any] = {"retry_failed_once": True}
    if options.preset is not None:
        wanted["preset"] = options.preset
    if options.subtitles is not None:
        wanted["subtitles"] = [code.strip() for code in options.subtitles.split(",")]
    if options.folder is not None:
        wanted["folder"] = options.folder
    if options.again:
        wanted["again"] = True
    if options.no_photos:
        wanted["photos"] = False
    if options.expand is not None:
        wanted["expand"] = {"limit": options.expand}
    return wanted


def _submit(server: Server, links: list[str], wanted: dict[str, Any], receipt: Receipt, batch_ids: list[str]) -> None:
    """Send *links* in as many batches as it takes; add each one's id to *batch_ids* and print it."""
    size = MAX_LINKS if len(links) == 1 else min(MAX_LINKS, _max_batch_urls(server))
    for start in range(0, len(links), size):
        some = links[start : start + size]
        answer = server.ask(
            "/api/v1/batches",
            body={"urls": some, **wanted},
            headers={"Idempotency-Key": f"{receipt.key}-{start}-{len(some)}"},
        )
        batch_ids.append(str(answer["batch"]["id"]))
        sys.stdout.write(f"{visible(batch_ids[-1])}\n")
        sys.stdout.flush()


def _max_batch_urls(server: Server) -> int:
    settings = {each["name"]: each["value"] for each in server.ask("/api/v1/settings")["settings"]}
    return max(1, int(settings["DOWNLOADER_MAX_BATCH_URLS"]))


def _how_to_continue(what: str, receipt: Receipt, batch_ids: list[str]) -> str:
    continues = "The downloads continue on the server. " if batch_ids else ""
    if receipt.kept:
        return f"{what}. {continues}The same command continues from here.\n"
    return f"{what}. {continues}The same command would begin again: this user has no folder to keep its state in.\n"
