"""The command line: its words and their options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from downloader.download_settings import CLIENT_KEY, CLIENT_SERVER
from downloader.jobs import TRANSITIONS

_DESCRIPTION = (
    "Batch video downloader: run a server, or send links to one. Without a word it serves, and takes --host and --port"
    " as `serve` does."
)
_STATUSES = (
    "The status is 0 if all went well, 1 if something could not be downloaded, saved or used, 2 if the command is"
    " wrong, 3 if the server did not do what it was asked, and 130 after Ctrl-C."
)


def parse(arguments: Sequence[str] | None, *, version: str) -> argparse.Namespace:
    """Return what *arguments* say, by default those of the process.

    Ends the process with a message if they are wrong, and where they ask for help or the *version*.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help", "--version")):
        given.insert(0, "serve")
    parser = argparse.ArgumentParser(description=_DESCRIPTION, epilog=_STATUSES)
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    words = parser.add_subparsers(dest="word", metavar="WORD", required=True)
    _add_local(words)
    _add_add(words)
    _add_list(words)
    _add_get(words)
    return parser.parse_args(given)


_Words = argparse._SubParsersAction  # the only name that it has


def _add_local(words: _Words[argparse.ArgumentParser]) -> None:
    serve = words.add_parser(
        "serve",
        help="run a server (default)",
        description="Run a server. Other settings are environment variables: see the documentation.",
    )
    check = words.add_parser(
        "check",
        help="say what is wrong with this set-up",
        description="Check this machine with the settings of the environment, as a server would start with. Prints a"
        " line for each thing, with OK, WARNING or FAULT; the status is 1 if there is a fault.",
    )
    words.add_parser(
        "worker",
        help="run downloads for a server on another machine",
        description="Run downloads for the server that has the same DOWNLOADER_BROKER_URL, in the same storage folder."
        " All settings are environment variables: see the documentation.",
    )
    for parser in (serve, check):
        parser.add_argument("--host", help="address to listen on (default: 0.0.0.0, every interface)")
        parser.add_argument("--port", help="TCP port to listen on (default: 8000; 0 picks a free one)")


def _add_add(words: _Words[argparse.ArgumentParser]) -> None:
    parser = words.add_parser(
        "add",
        help="send links to a server",
        description="Send links to a server, and print the id of their batch. If the command is stopped, the same"
        " command continues where it was, for a week, and adds nothing twice.",
        epilog=_STATUSES,
    )
    parser.add_argument(
        "links", nargs="+", metavar="LINK|FILE|-", help="a link, a file with links, or - for links from standard input"
    )
    _add_server(parser)
    parser.add_argument("--preset", help="what to get: video, 1080p, 720p, 480p, smallest, audio, mp3, …")
    parser.add_argument("--subtitles", metavar="CODES", help="languages of subtitles, such as en,pt-BR")
    parser.add_argument("--folder", help="folder on the server, below the one of all files")
    parser.add_argument("--again", action="store_true", help="download also what is there already")
    parser.add_argument("--no-photos", action="store_true", help="leave out the pictures of posts")
    parser.add_argument(
        "--expand", type=int, metavar="N", help="take playlists, channels and profiles apart: the N newest entries"
    )
    parser.add_argument("--wait", action="store_true", help="wait until all has ended, and say what failed")


def _add_list(words: _Words[argparse.ArgumentParser]) -> None:
    parser = words.add_parser(
        "list",
        help="list a server's jobs",
        description="List a server's jobs, newest first: job, batch, state, title or link.",
        epilog=_STATUSES,
    )
    _add_server(parser)
    parser.add_argument("--state", action="append", choices=list(TRANSITIONS), help="only this state; may be repeated")
    parser.add_argument("--batch", metavar="ID", help="only this batch")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="at most N jobs (default: 50; 0: all)")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each job, on a line of its own")


def _add_get(words: _Words[argparse.ArgumentParser]) -> None:
    parser = words.add_parser(
        "get",
        help="save the files of a job or a batch here",
        description="Save the files of a job, or of all of a batch, and print where. Nothing is overwritten: a file"
        " whose name is taken gets a number. If the command is stopped, the same command continues where it was.",
        epilog=_STATUSES,
    )
    parser.add_argument("id", metavar="ID", help="of a job or a batch, as `add` and `list` print it")
    _add_server(parser)
    parser.add_argument("-o", "--output", default=".", metavar="DIR", help="folder to save them in (default: this one)")


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server",
        metavar="URL",
        help=f"the server's address (default: ${CLIENT_SERVER}, or http://localhost:8000)",
    )
    parser.add_argument(
        "--key",
        help=f"the server's key (default: ${CLIENT_KEY}, which is safer: other users of this machine can see the"
        " options of a running command)",
    )
