"""Runs a word of the command line, and says in a sentence why it failed."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable
from http import HTTPStatus

from downloader.cli.add import add
from downloader.cli.api import Server, ServerError, UsageError
from downloader.cli.get import get
from downloader.cli.listing import list_jobs
from downloader.download_settings import CLIENT_KEY, CLIENT_SERVER
from downloader.util.printable import visible

_WORDS: dict[str, Callable[[Server, Namespace], int]] = {"add": add, "list": list_jobs, "get": get}

#: Exit statuses.
INCOMPLETE, WRONG_COMMAND, SERVER_FAILED, STOPPED = 1, 2, 3, 130


def run(options: Namespace) -> int:
    """Do what *options* say; return the exit status."""
    try:
        url, key = _server_and_key(options)
        return _WORDS[options.word](Server(url, key), options)
    except UsageError as error:
        return _failed(WRONG_COMMAND, str(error))
    except ServerError as error:
        return _failed(WRONG_COMMAND if error.status == HTTPStatus.BAD_REQUEST else SERVER_FAILED, str(error))
    except BrokenPipeError:  # as by `list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INCOMPLETE
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        sentence = "The server answered in a way that this version does not know"
        return _failed(SERVER_FAILED, f"{sentence} ({type(error).__name__}: {visible(str(error))}).")
    except KeyboardInterrupt:
        return _failed(STOPPED, "Stopped. The same command continues from here.")


def _server_and_key(options: Namespace) -> tuple[str, str | None]:
    """Return the URL and the key of the server that is meant."""
    url = options.server or os.environ.get(CLIENT_SERVER)
    key = options.key or os.environ.get(CLIENT_KEY)
    return url or "http://localhost:8000", key or None


def _failed(status: int, sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return status
