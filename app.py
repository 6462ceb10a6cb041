"""The page: python app.py --port 7860"""

import argparse
import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from vqa_core.files import InputError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _stay_offline() -> None:
    """Nothing leaves this machine but what a job fetches because it was asked to: a model of the hub."""
    os.environ |= {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "WANDB_ERROR_REPORTING": "false",
    }
    if "HF_HUB_OFFLINE" not in os.environ:
        os.environ["HF_HUB_OFFLINE"] = "1"
        import huggingface_hub.constants  # noqa: F401  # read once, for this process; jobs inherit the variables

        del os.environ["HF_HUB_OFFLINE"]


_stay_offline()  # before gradio is imported


def main(argv: Sequence[str] | None = None) -> None:
    """Serve the page until Ctrl-C or SIGTERM; jobs that it started go on."""
    args = _arguments(argv)
    password = _password(args)
    args.runs.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM is a Ctrl-C, now and while serving
    listening = _listen(args.host, args.port)

    from ui.server.uploads import UploadFolder, UploadLimit
    from ui.workspace.memory import keep_little

    keep_little()  # before there are threads

    uploads = UploadFolder(args.runs / ".page" / "uploads")
    os.environ["GRADIO_TEMP_DIR"] = tempfile.tempdir = str(uploads.path)  # Gradio serves what lies in either

    import uvicorn

    from ui.components.words import Words
    from ui.server.guard import Guard
    from ui.server.languages import PATHS
    from ui.server.page import build_server
    from ui.workspace.workspace import Workspace

    app = build_server(Workspace(args.runs, args.data), mcp=args.mcp)
    limited = UploadLimit(app, uploads, {path: Words(language) for language, path in PATHS.items()})
    guarded = Guard(limited, hosts=[*_names(args.host), *args.allow_host], password=password)
    # No proxy_headers: whoever asks over the loopback could name another address for each wrong password.
    config = uvicorn.Config(guarded, log_level="warning", timeout_graceful_shutdown=5, proxy_headers=False)
    server, address = uvicorn.Server(config), _address(args.host, args.port)
    if args.open is not None:
        threading.Timer(1, _show, [f"{address}/{args.open}"]).start()
    print(f"VQA workbench: {address}  (Ctrl-C stops the page; jobs go on)", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    uploads.close()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python app.py", description="Open the workbench's page.", allow_abbrev=False)
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (default 7860)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; others than this machine's need --auth"
    )
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="what the browser asks for, or set VQA_AUTH")
    parser.add_argument("--allow-host", action="append", default=[], metavar="NAME", help="further name of this server")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the runs")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR", help="folder of the datasets")
    parser.add_argument("--open", metavar="QUERY", help="show the page in a browser too, at ?tab=... or at ?")
    parser.add_argument("--mcp", action="store_true", help="offer the reading endpoints as MCP tools too")
    return parser.parse_args(argv)


def _address(host: str, port: int) -> str:
    """What a browser is given; an IPv6 address stands in brackets there."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _show(address: str) -> None:
    """Open a browser where there is a screen; text browsers would take over the terminal."""
    if sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(address)


def _password(args: argparse.Namespace) -> tuple[str, str] | None:
    inherited = os.environ.pop("VQA_AUTH", "")  # no job inherits it
    text = args.auth or inherited
    user, colon, password = text.partition(":")
    if text and not (user and colon and password):
        raise InputError("--auth takes USER:PASSWORD, both not empty.")
    if not text and args.host not in LOOPBACK:
        raise InputError(
            f"--host {args.host} can be reached by others, so --auth USER:PASSWORD is needed; "
            "without it the page stays on 127.0.0.1."
        )
    if not _names(args.host) and not args.allow_host:
        raise InputError(
            f"--host {args.host} is every address of this machine: say by --allow-host NAME how browsers will call it."
        )
    return (user, password) if text else None


def _names(host: str) -> list[str]:
    """What a browser calls a server that listens on `host`; nothing where that is every address."""
    return [] if host in ("", "0.0.0.0", "::") else [host]


def _listen(host: str, port: int) -> socket.socket:
    """Take the port at once, before the seconds that importing Gradio takes."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made = socket.create_server((host, port), family=family, backlog=128)
        # Made again by its number it knows that it is TCP, and only so asyncio sends at once: else the second part of a
        # reply waits up to 40 ms for the first to be acknowledged.
        return socket.socket(fileno=made.detach())
    except (OSError, OverflowError) as error:
        reason = str(getattr(error, "strerror", error)).partition(" (")[0]
        raise InputError(
            f"port {port} of {host} can't be had ({reason}); another page may use it: choose one with --port."
        ) from None


if __name__ == "__main__":
    from vqa_core.commands import run_command

    run_command(main)
