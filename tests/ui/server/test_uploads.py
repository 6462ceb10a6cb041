"""How much may be uploaded: ui/server/uploads.py, with limits small enough to reach."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers

from ui.components.words import LANGUAGES, Words
from ui.server import uploads
from ui.server.uploads import FILES_AT_ONCE, REQUEST_LIMIT, UploadFolder, UploadLimit
from vqa_core import ROOT

HOUR = 3600


def put(folder: UploadFolder, name: str, size: int, age_s: float = 0.0) -> Path:
    path = folder.path / name / "picture.png"
    path.parent.mkdir()
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - age_s, time.time() - age_s))
    return path


def test_bytes_of_all_uploads_are_limited_and_old_ones_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "QUOTA", 1000)
    folder = UploadFolder(tmp_path)
    old, older, new = put(folder, "a", 300, 2 * HOUR), put(folder, "b", 300, 3 * HOUR), put(folder, "c", 300)
    assert folder.room_for(100)
    assert old.exists(), "no more than needed is removed"
    assert older.exists()
    assert folder.room_for(400)
    assert (older.exists(), old.exists(), new.exists()) == (False, True, True)
    assert not folder.room_for(900), "what was sent this hour is in use"
    assert new.exists()


def test_the_number_of_uploads_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "FILES", 3)
    folder = UploadFolder(tmp_path)
    for name in "abc":
        assert folder.room_for(1)
        put(folder, name, 1)
    assert not folder.room_for(1)


def test_all_files_of_an_upload_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "FILES", FILES_AT_ONCE + 1)
    folder = UploadFolder(tmp_path)
    limit = UploadLimit(lambda *_: asyncio.sleep(0), folder, {"/": Words("en")})  # type: ignore[arg-type]
    put(folder, "a", 1)
    assert folder.room_for(1, FILES_AT_ONCE)
    put(folder, "b", 1)
    assert not folder.room_for(1, FILES_AT_ONCE)
    assert send(limit, "1")[0] == 507


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_parts_are_counted_however_the_body_comes(size: int) -> None:
    body = b'--bb\r\nContent-Disposition: form-data; name="files"\r\n\r\n---bb--b\r\n--bb\r\n\r\n--bb--\r\n'
    count = uploads._line_counter(Headers({"content-type": "multipart/form-data; boundary=bb"}))
    assert [count(body[at : at + size]) for at in range(0, len(body), size)][-1] == body.count(b"--bb")


def test_the_disk_keeps_its_floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = UploadFolder(tmp_path)
    assert folder.room_for(1)
    monkeypatch.setattr(uploads, "DISK_FLOOR", 1 << 60)
    assert not folder.room_for(1)


def test_only_folders_of_dead_servers_are_swept(tmp_path: Path) -> None:
    code = "from pathlib import Path; from ui.server.uploads import UploadFolder"
    code += f"; f = UploadFolder(Path({str(tmp_path)!r}))"
    code += "; print(f.path, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        theirs = Path(other.stdout.readline().decode().strip())
        mine = UploadFolder(tmp_path)
        assert theirs.is_dir()
        other.kill()
    assert theirs.is_dir()
    UploadFolder(tmp_path)
    assert not theirs.exists()
    assert mine.path.is_dir()
    mine.close()
    assert not mine.path.exists()


def send(limit: UploadLimit, length: str | None, path: str = "/gradio_api/upload") -> tuple[int, str]:
    sent: list[dict[str, Any]] = []

    async def out(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [] if length is None else [(b"content-length", length.encode())]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    asyncio.run(limit(scope, None, out))  # type: ignore[arg-type]
    return sent[0]["status"], sent[1]["body"].decode()


def test_the_route_refuses_in_the_reader_s_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "QUOTA", 1000)

    async def yes(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"kept"})

    limit = UploadLimit(yes, UploadFolder(tmp_path), {"/": Words("en"), "/ko": Words("ko")})
    assert send(limit, "900") == (200, "kept")
    assert send(limit, "900")[0] == 200, "an upload that is over is no longer on its way"
    assert send(limit, "1001")[0] == 507
    assert send(limit, str(REQUEST_LIMIT + 1)) == (413, "Uploads are limited to 64 MB.")
    assert send(limit, None)[0] == 413, "a stream without end"
    assert send(limit, "1001", "/ko/gradio_api/upload") == (507, Words("ko")("uploads.full"))
    assert send(limit, "1001", "/gradio_api/other")[0] == 200
    assert {"en", "ko"} == set(LANGUAGES)


def test_uploads_under_way_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "QUOTA", 1000)
    statuses = []

    async def second(scope: Any, receive: Any, _send: Any) -> None:
        async def note(message: dict[str, Any]) -> None:
            statuses.append(message.get("status"))

        await limit({**scope, "path": "/gradio_api/upload"}, receive, note)

    limit = UploadLimit(second, UploadFolder(tmp_path), {"/": Words("en")})
    scope = {"type": "http", "method": "POST", "path": "/gradio_api/upload", "headers": [(b"content-length", b"600")]}
    asyncio.run(limit(scope, None, None))  # type: ignore[arg-type]
    assert statuses[0] == 507
