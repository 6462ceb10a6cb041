"""The guard of conftest.py itself: what leaves this machine fails a test, what stays does not."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import NOT_CUT_OFF
from tests.support.browser import unavailable
from tests.support.processes import environment
from vqa_core import ROOT


def test_a_connection_outside_is_refused_and_remembered(outside_connections: list[str]) -> None:
    for reach in (
        lambda: socket.create_connection(("192.0.2.1", 443), timeout=1),
        lambda: socket.socket().connect_ex(("192.0.2.1", 443)),
        lambda: socket.getaddrinfo("huggingface.co", 443),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("192.0.2.1", 53)),
    ):
        with pytest.raises(OSError, match="may not leave this machine"):
            reach()
        assert outside_connections, "only remembered, the connection of a tracker that swallows errors is found"
        outside_connections.clear()


def test_loopback_and_unix_sockets_work(tmp_path: Path) -> None:
    for family, address in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, str(tmp_path / "socket"))):
        with socket.socket(family) as server, socket.socket(family) as client:
            server.bind(address)
            server.listen()
            client.connect(server.getsockname())


def test_hub_and_trackers_are_told_to_stay_offline() -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert os.environ["WANDB_MODE"] == "offline"


def test_no_way_leads_out_of_the_namespace_that_all_programs_of_the_tests_run_in() -> None:
    if NOT_CUT_OFF:
        unavailable(f"the network can't be cut off here: {NOT_CUT_OFF}.")
    code = "from tests.support.namespace import reaches_outside; print(reaches_outside())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"  # a process of its own, where no audit hook refuses


REFUSED = """
import sys, tests.support.namespace as namespace
def refuse(flags): raise OSError(1, "unshare: not allowed")
namespace._unshare = refuse
import pytest
sys.exit(pytest.main(["-q", "tests/repository/test_offline.py::test_hub_and_trackers_are_told_to_stay_offline"]))
"""


@pytest.mark.parametrize(("ci", "status", "told"), [("true", 4, "with CI=true"), ("", 0, "ran with the network there")])
def test_where_the_network_stays_that_is_said_and_ci_fails(ci: str, status: int, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REFUSED], cwd=ROOT, env=environment() | {"CI": ci}, capture_output=True, text=True
    )
    assert (done.returncode, told in done.stdout + done.stderr) == (status, True), done.stdout + done.stderr
    assert "unshare: not allowed" in done.stdout + done.stderr
