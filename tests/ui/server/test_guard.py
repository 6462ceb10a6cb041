"""Who may ask, and what a reply may do: ui/server/guard.py alone, and app.py's doors."""

import asyncio
import base64
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Serve, free_port
from tests.support.processes import environment
from ui.server.guard import ADDRESSES, BODY_LIMIT, HEADERS, KNOWN, TOOLS, TOOLS_LIMIT, WRONG_A_MINUTE, Guard
from vqa_core import ROOT

Reply = tuple[int, dict[str, str]]


async def answers(_scope: Any, _receive: Any, send: Any) -> None:
    """What the guard stands before: says yes to everything and, as Gradio does, shares with any origin."""
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"access-control-allow-origin", b"http://evil.example")],
        }
    )
    await send({"type": "http.response.body", "body": b"secret"})


def ask(
    guard: Guard,
    path: str = "/",
    method: str = "GET",
    *,
    host: str | None = "127.0.0.1:7860",
    address: str = "127.0.0.1",
    kind: str = "http",
    **headers: str,
) -> Reply:
    """Status and headers of the reply; 0 for a websocket that was closed."""
    given = {
        **({"host": host} if host is not None else {}),
        **{name.replace("_", "-"): v for name, v in headers.items()},
    }
    scope = {
        "type": kind, "method": method, "path": path, "query_string": b"", "client": (address, 1),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    asyncio.run(guard(scope, receive, send))  # type: ignore[arg-type]
    start = sent[0]
    if start["type"] == "websocket.close":
        return 0, {}
    return start["status"], {name.decode().lower(): value.decode() for name, value in start["headers"]}


PAIRS = [  # host, origin, who may
    ("127.0.0.1:7860", None, True),
    ("localhost:7860", "http://localhost:7860", True),
    ("[::1]:7860", "http://[::1]:7860", True),
    ("LOCALHOST:7860", "http://localhost:7860", True),
    ("lab.example:7860", "http://lab.example:7860", True),
    ("lab.example", "https://lab.example", True),
    ("127.0.0.1:7860", "http://localhost:7860", False),
    ("127.0.0.1:7860", "http://127.0.0.1:8888", False),  # another server of this machine
    ("127.0.0.1:7860", "http://evil.example", False),
    ("127.0.0.1:7860", "null", False),  # a sandboxed frame, a file
    ("127.0.0.1:7860", "", False),
    ("127.0.0.1:7860", "http://127.0.0.1:7860.evil.example", False),
    ("127.0.0.1:7860", "http://127.0.0.1:7860@evil.example", False),
    ("evil.example:7860", "http://evil.example:7860", False),  # a name made to point here: DNS rebinding
    ("evil.example:7860", None, False),
    ("0.0.0.0:7860", None, False),
    ("127.0.0.1.evil.example", None, False),
    ("localhost.", None, False),
    ("[::1", None, False),
    ("", None, False),
    (None, None, False),
]


@pytest.mark.parametrize(("host", "origin", "may"), PAIRS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_host_and_origin_decide(host: str | None, origin: str | None, may: bool, method: str) -> None:
    given = {"content_length": "2"} | ({} if origin is None else {"origin": origin})
    status, headers = ask(Guard(answers, ["lab.example"]), method=method, host=host, **given)
    assert status == (200 if may else 403)
    assert headers.keys() >= {name.lower() for name in HEADERS}, "refusals carry the headers too"
    assert "access-control-allow-origin" not in headers, "no other site may read what Gradio would share with it"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_may_link_here_but_not_post(site: str) -> None:
    guard = Guard(answers)
    assert ask(guard, sec_fetch_site=site)[0] == 200
    assert ask(guard, method="POST", sec_fetch_site=site, content_length="2")[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=https://x.hf.space/", "/gradio_api/file=http://127.0.0.1/x", "/gradio_api/file=file:///etc/x",
        "/ko/gradio_api/proxy=x", "/monitoring", "/monitoring/summary", "/login", "/gradio_api/run-history/connect",
        "/gradio_api/component_server", "/gradio_api/process_recording", "/gradio_api/deep_link", "/ko/login",
    ],
)  # fmt: skip
def test_routes_that_the_page_has_no_use_for_are_closed(path: str) -> None:
    assert ask(Guard(answers), path)[0] == 404


@pytest.mark.parametrize(
    "path", ["/", "/ko/", "/config", "/gradio_api/file=/a/b.png", "/gradio_api/run/ask", "/picture/1"]
)
def test_routes_of_the_page_are_open(path: str) -> None:
    assert ask(Guard(answers), path)[0] == 200


def test_a_body_says_its_length_and_is_short() -> None:
    guard, path = Guard(answers), "/gradio_api/queue/join"
    assert ask(guard, path, "POST")[0] == 413, "a stream without end"
    assert ask(guard, path, "POST", content_length=str(BODY_LIMIT + 1))[0] == 413
    assert ask(guard, path, "POST", content_length="-1")[0] == 413
    assert ask(guard, path, "POST", content_length=str(BODY_LIMIT))[0] == 200


def test_an_assistant_s_request_may_hold_a_picture() -> None:
    guard = Guard(answers)
    for path in (TOOLS, f"{TOOLS}/", f"{TOOLS}/http"):
        assert ask(guard, path, "POST", content_length=str(TOOLS_LIMIT))[0] == 200
        assert ask(guard, path, "POST", content_length=str(TOOLS_LIMIT + 1))[0] == 413
    assert ask(guard, f"{TOOLS}x", "POST", content_length=str(TOOLS_LIMIT))[0] == 413


def test_websockets_are_closed() -> None:
    assert ask(Guard(answers), kind="websocket")[0] == 0


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_a_password_covers_every_route_in_any_script() -> None:
    guard = Guard(answers, password=("사용자", "비밀번호:é"))
    for path in ("/", "/picture/1/2/3", "/theme.css", "/gradio_api/heartbeat/x", "/openapi.json"):
        assert ask(guard, path)[0] == 401
        assert ask(guard, path, authorization=basic("사용자:비밀번호:é"))[0] == 200
    for wrong in ("사용자:비밀번호", "사용자:", ":비밀번호:é", "", "x" * 10_000, "사용자:비밀번호:é "):
        assert ask(guard, authorization=basic(wrong), address=wrong[:9])[0] == 401
    for broken in ("Basic", "Basic ü", "Bearer x", "Basic a"):
        assert ask(guard, authorization=broken, address=broken)[0] == 401


def test_ten_wrong_passwords_a_minute_close_the_door_to_that_address_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    guard, right, wrong = Guard(answers, password=("me", "right")), basic("me:right"), basic("me:wrong")
    _, headers = ask(guard, authorization=right, address="stranger's")
    cookie = headers["set-cookie"].partition(";")[0]
    assert cookie.startswith(f"{KNOWN}=")
    assert "HttpOnly" in headers["set-cookie"]

    for _ in range(WRONG_A_MINUTE):
        assert ask(guard, authorization=wrong, address="stranger's")[0] == 401
    assert ask(guard, authorization=right, address="stranger's")[0] == 429, "nothing is looked at any more"
    assert ask(guard, authorization=right, address="elsewhere")[0] == 200
    assert ask(guard, authorization=right, address="stranger's", cookie=cookie)[0] == 200, "the owner, same address"
    assert ask(guard, authorization=wrong, address="stranger's", cookie=cookie)[0] == 401
    assert ask(guard, authorization=right, address="stranger's", cookie=f"{KNOWN}=made-up")[0] == 429
    now[0] += 61
    assert ask(guard, authorization=right, address="stranger's")[0] == 200


def test_six_hundred_guesses_are_not_looked_at_and_cost_no_memory() -> None:
    guard = Guard(answers, password=("me", "right"))
    statuses = [ask(guard, authorization=basic(f"me:{guess}"))[0] for guess in range(600)]
    assert statuses.count(401) == WRONG_A_MINUTE
    for number in range(ADDRESSES + 50):
        ask(guard, authorization=basic("me:wrong"), address=str(number))
    assert guard.door
    assert len(guard.door._wrong) == ADDRESSES


@pytest.mark.slow
def test_a_guesser_who_names_another_address_each_time_is_one_guesser(tmp_path: Path, serve: Serve) -> None:
    server = serve(tmp_path / "runs", tmp_path / "data", env={"VQA_AUTH": "me:right"})
    statuses = []
    for guess in range(WRONG_A_MINUTE + 5):
        named = {"X-Forwarded-For": f"192.0.2.{guess}", "X-Forwarded-Proto": "https"}
        asked = urllib.request.Request(server.url, headers={"Authorization": basic(f"me:{guess}"), **named})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked, timeout=30)
        statuses.append(refused.value.code)
    assert statuses == [401] * WRONG_A_MINUTE + [429] * 5


def test_the_address_of_an_ipv6_host_is_one_that_a_browser_can_open() -> None:
    probe = "import app; print(app._address('::1', 7860), app._address('localhost', 7860))"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.stdout.split() == ["http://[::1]:7860", "http://localhost:7860"], done.stderr


def app(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run app.py with arguments that it refuses."""
    command = [sys.executable, str(ROOT / "app.py"), *args]
    return subprocess.run(command, cwd=ROOT, env=environment() | env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--host", "0.0.0.0"], "--auth USER:PASSWORD is needed"),
        (["--host", "192.0.2.7"], "--auth USER:PASSWORD is needed"),
        (["--host", "0.0.0.0", "--auth", "me:right"], "--allow-host NAME"),
        (["--auth", "nocolon"], "--auth takes USER:PASSWORD"),
        (["--auth", "me:"], "--auth takes USER:PASSWORD"),
        (["--prot", "7860"], "unrecognized arguments: --prot"),
        (["--port", "http"], "invalid int value: 'http'"),
        (["--port", "99999"], "port 99999 of 127.0.0.1 can't be had"),
        (["--host", "nowhere.invalid", "--auth", "me:right"], "port 7860 of nowhere.invalid can't be had"),
    ],
)
def test_app_refuses_with_a_sentence(args: list[str], said: str, tmp_path: Path) -> None:
    done = app("--runs", str(tmp_path), *args)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = app("--runs", str(tmp_path), "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "can't be had (Address already in use); another page may use it: choose one with --port." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_ends_the_page_as_ctrl_c_does(by: signal.Signals, tmp_path: Path, serve: Serve) -> None:
    server = serve(tmp_path / "runs", tmp_path / "data", forked=False)
    uploads = tmp_path / "runs" / ".page" / "uploads"
    assert [path for path in uploads.iterdir() if path.is_dir()]
    assert server.stop(by) == 0
    assert "Traceback" not in server.log
    assert not [path for path in uploads.iterdir() if path.is_dir()], "its uploads went with it"


@pytest.mark.slow
def test_the_password_reaches_no_child(tmp_path: Path, serve: Serve) -> None:
    server = serve(tmp_path / "runs", tmp_path / "data", env={"VQA_AUTH": "me:right"})
    assert server.answers()
    code = "import os, app; app._password(app._arguments([])); print(os.environ.get('VQA_AUTH'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment() | {"VQA_AUTH": "me:right"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "None", done.stderr


def test_free_ports_differ_from_taken_ones() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        assert free_port() != taken.getsockname()[1]
