"""The guard of conftest.py itself: what leaves this machine fails a test, what stays does not."""

import os
import socket
from pathlib import Path

import pytest


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
