"""The tests' world: no hub, no tracker's server, nothing beyond this machine, one torch thread unless asked for."""

import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import browser, open_page, page, serve  # noqa: F401
from tests.support.namespace import cut_off

# Before anything imports torch or transformers; child processes inherit it.
os.environ |= {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}

# What one of the tests' many processes has compiled, the others and the next run take.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# So does the network: from here on there is only loopback, for browsers and programs that no hook can see, too.
NOT_CUT_OFF = cut_off()

LOCAL_HOSTS = {"", "localhost", "localhost.localdomain", "::1", "::", "0.0.0.0"}
_outside: list[str] = []


def pytest_configure() -> None:
    if NOT_CUT_OFF and os.environ.get("CI", "").lower() in ("true", "1"):
        raise pytest.UsageError(f"with CI=true the tests run without a network, which can't be had: {NOT_CUT_OFF}")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take longest first, so that no process is left with one of them at the end."""
    slow: Counter[Path] = Counter()
    for item in items:
        if mark := item.get_closest_marker("slow"):
            slow[item.path] += mark.kwargs.get("seconds", 3)
    items.sort(key=lambda item: -slow[item.path])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Said even with `-q`: what a green run has not shown."""
    if NOT_CUT_OFF:
        terminalreporter.section("the network was there")
        terminalreporter.line(f"The tests ran with the network there, as it can't be cut off here: {NOT_CUT_OFF}.")


def _watch(event: str, args: tuple[Any, ...]) -> None:
    """An audit hook: refuse and note every connection and name lookup that leaves this machine."""
    if event in ("socket.connect", "socket.sendto"):
        address = args[1]
        host = address[0] if isinstance(address, tuple) else ""  # a unix socket's address is its path
    elif event == "socket.getaddrinfo":
        host = args[0] or ""
    else:
        return
    host = host.decode() if isinstance(host, bytes) else str(host)
    if host not in LOCAL_HOSTS and not host.startswith("127.") and host != os.uname().nodename:
        _outside.append(f"{event} {host}")
        raise OSError(f"tests may not leave this machine: {event} {host}")


sys.addaudithook(_watch)  # unlike a patched socket class it sees C code's calls and can't be imported round


@pytest.fixture(autouse=True)
def outside_connections() -> Iterator[list[str]]:
    """What the test tried to reach outside; anything left in it fails the test, even where its code took the error."""
    _outside.clear()
    yield _outside
    assert not _outside, f"the test tried to leave this machine: {_outside}"


@pytest.fixture(autouse=True)
def one_torch_thread() -> Iterator[None]:
    """A test that asks for more torch threads leaves one to the next."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def logger_as_it_was() -> Iterator[None]:
    """A command's `main` called here points the `vqa` logger at a terminal that is gone after the test."""
    yield
    logger = logging.getLogger("vqa")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)
