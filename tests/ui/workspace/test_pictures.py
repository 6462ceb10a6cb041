"""Pictures leave the server re-encoded, under addresses that only it can make: ui/workspace/pictures.py."""

import ast
import base64
import io
import os
import time
from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from ui.workspace import pictures as module
from ui.workspace.pictures import AT_ONCE, FULL, THUMB, WHOLE, Pictures, add_routes
from ui.workspace.workspace import Workspace
from vqa_core import ROOT
from vqa_core.data.images import ImageError
from vqa_core.runs.run_dir import RunDir


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    return Pictures(tmp_path / "kept")


@pytest.fixture
def get(pictures: Pictures) -> Callable[[str], object]:
    app = FastAPI()
    add_routes(app, pictures)
    return TestClient(app).get


def photo(path: Path, size: tuple[int, int] = (600, 300), **options: object) -> Path:
    Image.linear_gradient("L").resize(size).convert("RGB").save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(("side", "size"), [(THUMB, (256, 128)), (FULL, (2048, 1024)), (WHOLE, (3000, 1500))])
def test_a_picture_is_served_as_webp_of_the_size_asked_for(tmp_path, pictures, get, side, size) -> None:
    reply = get(pictures.url(photo(tmp_path / "한글 & 사진.jpg", (3000, 1500)), side))
    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/webp")
    with Image.open(io.BytesIO(reply.content)) as image:
        assert (image.format, image.size) == ("WEBP", size)


def test_a_large_photograph_becomes_a_thumbnail_quickly_and_upright(tmp_path: Path, pictures: Pictures) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    path = photo(tmp_path / "camera.jpg", (4000, 3000), exif=exif)
    started = time.perf_counter()
    with Image.open(pictures.encoded(path, THUMB)) as image:
        assert image.size == (192, 256)
        darkest_to_lightest = [image.convert("L").getpixel((x, 128)) for x in (185, 96, 6)]
    assert darkest_to_lightest == sorted(darkest_to_lightest)
    assert time.perf_counter() - started < 1
    with Image.open(pictures.encoded(path, FULL)) as image:
        assert image.size == (1536, 2048)


def test_only_addresses_made_here_work(tmp_path: Path, pictures: Pictures, get) -> None:
    path, other = photo(tmp_path / "a.png"), photo(tmp_path / "b.png")
    _, _, side, signature, name = pictures.url(path).split("/")
    foreign = base64.urlsafe_b64encode(str(other).encode()).decode()
    for forged in (
        f"/picture/{side}/{signature}/{foreign}",
        f"/picture/{FULL}/{signature}/{name}",
        f"/picture/100000/{signature}/{name}",
        f"/picture/{side}/{'0' * 32}/{name}",
        f"/picture/{side}/%C3%A9/{name}",
        f"/picture/{side}/{signature}/{name}=",
        Pictures(tmp_path / "another server").url(path),
    ):
        assert get(forged).status_code == 404, forged
    assert get(f"/picture/x/{signature}/{name}").status_code == 422
    assert Pictures(tmp_path / "kept").url(path) == pictures.url(path), "an open page outlives the server"
    assert (tmp_path / "kept" / "key").stat().st_mode & 0o77 == 0


@pytest.mark.parametrize(
    "data",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', b"<!doctype html><script>alert(1)</script>",
        b"GIF89a<script>alert(1)</script>", b"%PDF-1.4", b"", b"\x89PNG\r\n\x1a\n cut", b"PK\x03\x04",
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused_whatever_its_name(tmp_path: Path, pictures: Pictures, get, data: bytes) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(data)
    reply = get(pictures.url(path))
    assert (reply.status_code, reply.headers["content-type"]) == (415, "application/json")
    assert str(tmp_path) not in reply.text


def test_a_picture_that_is_a_document_too_is_served_as_neither(tmp_path: Path, pictures: Pictures, get) -> None:
    path = photo(tmp_path / "polyglot.html", format="JPEG")
    path.write_bytes(path.read_bytes() + b"<script>window.__pwn = 1</script>")
    reply = get(pictures.url(path))
    assert reply.headers["content-type"] == "image/webp"
    assert b"script" not in reply.content


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_oversized_picture_is_refused_quickly(tmp_path: Path, pictures: Pictures, get) -> None:
    Image.new("1", (13_000, 13_000)).save(tmp_path / "bomb.png")
    started = time.perf_counter()
    assert get(pictures.url(tmp_path / "bomb.png")).status_code == 415
    assert time.perf_counter() - started < 0.5


def test_a_file_that_is_gone_is_not_found_and_a_new_one_is_seen(tmp_path: Path, pictures: Pictures, get) -> None:
    path = photo(tmp_path / "a.png")
    first = get(pictures.url(path)).content
    photo(path, (300, 600))
    os.utime(path, (1, 1))
    assert get(pictures.url(path)).content != first
    path.unlink()
    assert get(pictures.url(path)).status_code == 404
    assert get(pictures.url(tmp_path)).status_code == 415, "a folder"


def test_a_pipe_is_no_picture_and_nobody_waits_for_it(tmp_path: Path, pictures: Pictures, get) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with ThreadPool(1) as pool:
        assert pool.apply_async(get, [pictures.url(tmp_path / "pipe.png")]).get(20).status_code == 415


def test_the_second_look_decodes_nothing(tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    path = photo(tmp_path / "a.png")
    kept = pictures.encoded(path, THUMB)
    monkeypatch.setattr(module, "open_image", lambda _path, **_: pytest.fail("decoded again"))
    assert pictures.encoded(path, THUMB) == kept


def test_kept_pictures_stay_below_a_number_of_bytes(
    tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = pictures.encoded(photo(tmp_path / "0.png", (256, 256)), THUMB).stat().st_size
    monkeypatch.setattr(module, "KEPT_BYTES", size * 8)
    last = Path()
    for number in range(1, 30):
        last = pictures.encoded(photo(tmp_path / f"{number}.png", (256, 256)), THUMB)
        assert sum(path.stat().st_size for path in (tmp_path / "kept").rglob("*.webp")) <= size * 8
        os.utime(last, (number, number))
    assert last.is_file(), "the newest stays"


DECODERS = ("open_image", "check_image", "workspace.open_image", "self._decode")
WRAPPERS = ("workspace/workspace.py",)  # their callers hold DECODING


@pytest.mark.parametrize(
    "file", sorted((ROOT / "ui").rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT / "ui"))
)
def test_the_page_decodes_a_few_pictures_at_a_time_wherever_it_does(file: Path) -> None:
    def unheld(node: ast.AST, held: bool) -> list[int]:
        if isinstance(node, ast.Lambda):
            return []  # called elsewhere
        if isinstance(node, ast.With):
            held = held or any(ast.unparse(item.context_expr) == "DECODING" for item in node.items)
        decodes = isinstance(node, ast.Call) and ast.unparse(node.func) in DECODERS
        below = [line for child in ast.iter_child_nodes(node) for line in unheld(child, held)]
        return below + ([node.lineno] if decodes and not held else [])  # type: ignore[attr-defined]

    if file.relative_to(ROOT / "ui").as_posix() in WRAPPERS:
        return
    assert not unheld(ast.parse(file.read_text(encoding="utf-8")), held=False)


def test_no_more_pictures_are_decoded_at_once_than_there_are_slots(
    tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, most, decode = [], [], module.open_image

    def slow(path: Path, **options: int) -> Image.Image:
        inside.append(path)
        most.append(len(inside))
        time.sleep(0.05)
        inside.pop()
        return decode(path, **options)

    monkeypatch.setattr(module, "open_image", slow)
    paths = [photo(tmp_path / f"{number}.png") for number in range(3 * AT_ONCE)]
    others = Pictures(tmp_path / "of another workspace")
    with ThreadPool(len(paths)) as pool:
        pool.starmap(lambda kept, path: kept.encoded(path, THUMB), zip([pictures, others] * len(paths), paths))
    assert max(most) == AT_ONCE


def test_a_picture_that_a_run_allows_is_shown_however_large(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("1", (10_000, 5100)).save(path)
    workspace = Workspace(tmp_path / "runs", tmp_path / "data")
    with pytest.raises(ImageError, match="--pixel-limit 51000000"):
        workspace.pictures.encoded(path, THUMB)
    RunDir(tmp_path / "runs/mine").write_section("data", {"pixel_limit": 51_000_000})
    with Image.open(workspace.pictures.encoded(path, THUMB)) as shown:
        assert shown.size == (256, 131)
