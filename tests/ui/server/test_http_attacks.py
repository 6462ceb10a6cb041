"""The server as it is started, asked for what it must not give. No browser: requests are sent byte by byte."""

import base64
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import CORPUS
from tests.support.browser import Server
from tests.support.workspaces import easy_workspace

pytestmark = pytest.mark.slow

TRAVERSAL = CORPUS / "traversal.txt"
CANARY = "canary-7c1f-must-not-be-seen"
REFUSED = {400, 403, 404, 405, 413, 414, 415, 422}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("attacked")
    (folder / "canary.txt").write_text(CANARY, encoding="utf-8")
    runs, data = easy_workspace(folder, train_images=8, test_images=4)
    (runs / "link").symlink_to(folder / "canary.txt")
    with Server(runs, data, env={"SECRET_OF_THE_TEST": CANARY}, forked=False) as server:
        yield server


def request(
    server: Server, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (names in lower case) and body; the path goes out as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest(method, path, skip_host="host" in headers, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    if body is not None:
        connection.putheader("content-length", str(len(body)))
    connection.endheaders(body)
    reply = connection.getresponse()
    found = reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    connection.close()
    return found


def upload(
    server: Server, name: str, data: bytes, prefix: str = "", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    body = (
        f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        + data
        + b"\r\n--b--\r\n"
    )
    given = {"content_type": "multipart/form-data; boundary=b"} | headers
    return request(server, "POST", f"{prefix}/gradio_api/upload", body, **given)


def payloads() -> list[str]:
    return TRAVERSAL.read_text(encoding="utf-8").splitlines()


def test_a_reply_is_sent_at_once(server: Server) -> None:
    """Where the system holds the last part of one back until the first is acknowledged, each takes 40 ms."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        connection.request("GET", "/picture/256/0/0")
        connection.getresponse().read()
        seconds.append(time.perf_counter() - started)
    connection.close()
    assert sorted(seconds)[10] < 0.03


def test_no_path_gets_out_of_what_the_page_serves(server: Server) -> None:
    assert len(payloads()) >= 40
    canary = server.runs.parent / "canary.txt"
    (own,) = [path for path in (server.runs / ".page" / "uploads").iterdir() if path.is_dir()]
    key = (server.runs / ".page" / "pictures" / "key").read_bytes()
    places = {
        "port": server.port,
        "canary": canary,
        "canary_relative": "../" * 9 + str(canary).lstrip("/"),
        "canary_base64": base64.urlsafe_b64encode(str(canary).encode()).decode(),
        "link": server.runs / "link",
        "runs": server.runs,
        "data": server.data,
        "uploads": own,
    }
    kept = [CANARY.encode(), b"root:x:0", b"TRAIN_000", b'"question_id"', b"import argparse", b"OMP_NUM_THREADS", key]
    for payload in payloads():
        path = payload.format(**places)
        for method in ("GET", "HEAD", "POST"):
            status, _, body = request(server, method, path, b"" if method == "POST" else None)
            itself = "?deep_link=" in path and status == 200  # the page, which reads no such thing
            assert status in REFUSED or itself, f"{method} {path}: {status} {body[:200]!r}"
            assert not [secret for secret in kept if secret in body], f"{method} {path} gave away {body[:200]!r}"


@pytest.mark.parametrize("prefix", ["", "/ko"])
def test_no_handler_is_reached_from_another_site(server: Server, prefix: str) -> None:
    """By name or by number, queued or not. (A program of this machine's user may: it could type the commands.)"""
    config = json.loads(request(server, "GET", f"{prefix}/config")[2])
    handlers = [(item["id"], item["api_name"]) for item in config["dependencies"]]
    assert len(handlers) > 12
    sites = ["http://evil.example", "null", f"http://127.0.0.1:{server.port + 1}"]
    kinds = ["application/json", "text/plain"]
    tried = [(*handlers[0], origin, kind) for origin in sites for kind in kinds]
    tried += [(*handler, sites[0], kinds[0]) for handler in handlers]
    for number, name, origin, kind in tried:
        body = json.dumps({"data": [], "fn_index": number, "session_hash": "x"}).encode()
        for route in ("queue/join", "run/predict", "api/predict", f"call/{name}", f"run/{name}", "cancel", "reset"):
            path = f"{prefix}/gradio_api/{route}"
            assert request(server, "POST", path, body, origin=origin, content_type=kind)[0] == 403
    assert upload(server, "x.png", b"x", prefix, origin="http://evil.example")[0] == 403
    assert request(server, "GET", f"{prefix}/config", host="evil.example")[0] == 403


def test_the_queue_is_not_passed_by_and_private_handlers_have_no_name(server: Server) -> None:
    config = json.loads(request(server, "GET", "/config")[2])
    queued = [item for item in config["dependencies"] if item["queue"] is not False and item["backend_fn"]]
    assert queued
    for item in queued:
        body = json.dumps({"data": [], "fn_index": item["id"], "session_hash": "x"}).encode()
        status, _, _ = request(server, "POST", "/gradio_api/run/predict", body, content_type="application/json")
        assert status == 404, "a direct call would run at once, however long the queue is"
    named = json.loads(request(server, "GET", "/gradio_api/info")[2])["named_endpoints"]
    public = {"/ask", "/ask_many", "/predict_start", "/job_status", "/job_cancel", "/score", "/submission"}
    assert named.keys() <= public


@pytest.mark.parametrize(
    "name", ["evil.svg", "evil.html", "evil.jpg", "evil.xml", "evil.xhtml", "evil.js", "evil.pdf", "evil"]
)
def test_an_upload_never_comes_back_as_a_document(server: Server, name: str) -> None:
    status, _, body = upload(server, name, b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>')
    assert status == 200
    status, headers, _ = request(server, "GET", f"/gradio_api/file={json.loads(body)[0]}")
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert headers["x-content-type-options"] == "nosniff"
    if status == 200 and not name.endswith(".jpg"):
        assert headers["content-disposition"].startswith("attachment"), headers
        assert headers["content-type"] not in ("text/html", "image/svg+xml", "application/xml")


@pytest.mark.parametrize(
    "name",
    [
        "../../../up.txt",
        "..",
        "/etc/up.txt",
        "a\\..\\up.txt",
        "한글 이름.png",
        "x" * 300 + ".png",
        "%2e%2e%2fup.txt",
        "\x01.png",
    ],
)
def test_an_upload_lands_in_the_folder_of_uploads(server: Server, name: str) -> None:
    before = set(server.runs.parent.rglob("*"))
    status, _, body = upload(server, name, b"mine")
    assert status in {200, *REFUSED}
    new = set(server.runs.parent.rglob("*")) - before
    assert all(path.is_relative_to(server.runs / ".page" / "uploads") for path in new), new
    assert status != 200 or Path(json.loads(body)[0]).read_bytes() == b"mine"


def form(*files: bytes) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="x.png"\r\n\r\n'
    return b"".join(head + data + b"\r\n" for data in files) + b"--b--\r\n"


def uploaded(server: Server) -> list[Path]:
    return [path for path in (server.runs / ".page" / "uploads").rglob("*") if path.is_file() and path.name != "lock"]


@pytest.mark.parametrize(
    ("prefix", "files", "told"),
    [
        ("", [bytes(31 << 20)], "Files are limited to 30 MB each."),
        ("/ko", [bytes(31 << 20)], "파일은 하나에 최대 30 MB까지 업로드할 수 있습니다."),
        ("/ko", [bytes(1 << 20), bytes(31 << 20)], "파일은 하나에 최대 30 MB까지 업로드할 수 있습니다."),
        ("/ko", [bytes(65 << 20)], "한 번에 최대 64 MB까지 업로드할 수 있습니다."),
        ("", [b"%d" % number for number in range(21)], "At most 20 files can be uploaded at once."),
    ],
)
def test_large_uploads_are_refused(server: Server, prefix: str, files: list[bytes], told: str) -> None:
    before = uploaded(server)
    kind = {"content_type": "multipart/form-data; boundary=b"}
    status, _, body = request(server, "POST", f"{prefix}/gradio_api/upload", form(*files), **kind)
    assert (status, body.decode()) == (413, told)
    assert uploaded(server) == before, "nothing of them is kept"


def test_several_files_may_be_more_together_than_one_alone(server: Server) -> None:
    kind = {"content_type": "multipart/form-data; boundary=b"}
    files = [bytes([number]) * (3 << 20) for number in range(20)]
    status, _, body = request(server, "POST", "/gradio_api/upload", form(*files), **kind)
    assert status == 200
    assert [Path(path).stat().st_size for path in json.loads(body)] == [3 << 20] * 20


def test_uploads_of_a_killed_server_are_swept_when_the_next_one_starts(server: Server) -> None:
    status, _, body = upload(server, "left.png", b"left behind")
    left = Path(json.loads(body)[0])
    assert (status, left.is_file()) == (200, True)
    server.kill()
    assert left.is_file()
    server.restart()
    assert not left.exists()


def test_two_servers_on_one_folder_leave_each_other_s_uploads(server: Server) -> None:
    _, _, body = upload(server, "mine.png", b"mine")
    with Server(server.runs, server.data):
        assert Path(json.loads(body)[0]).is_file()


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b'{"data": 1}', b'{"fn_index": -1}', b'{"fn_index": 1e9, "data": []}', b'{"data": []}'],
)
def test_nonsense_is_refused_without_a_trace_of_this_machine(server: Server, data: bytes) -> None:
    for path in ("/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/call/nothing", "/gradio_api/cancel"):
        status, _, body = request(server, "POST", path, data, content_type="application/json")
        assert status in {*REFUSED, 500}
        assert not [word for word in (b"Traceback", b"site-packages", str(server.runs).encode()) if word in body]


def test_no_reply_holds_what_stands_in_the_server_s_environment(server: Server) -> None:
    for path in (
        "/",
        "/ko/",
        "/config",
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/theme.css",
        "/manifest.json",
    ):
        status, headers, body = request(server, "GET", path)
        assert CANARY.encode() not in body
        assert "access-control-allow-origin" not in headers
        assert headers["x-content-type-options"] == "nosniff", (path, status)
