"""Mutated and extreme pictures, made from a handful of small ones: the same for the same seed."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, features

HUGE = (0, 1, 2, 255, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)


def small_pictures() -> dict[str, bytes]:
    """One of each kind that is read, by a name with the suffix of its format."""
    rgb, rgba, grey = _picture("RGB"), _picture("RGBA"), _picture("L")
    deep = Image.fromarray((np.arange(24 * 32).reshape(24, 32) * 80).astype(np.uint16))
    real = Image.fromarray(np.linspace(-3, 900, 24 * 32, dtype=np.float32).reshape(24, 32))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a" * 300

    def several(format: str, **options: object) -> bytes:
        rest = [rgb.rotate(90), rgb.rotate(180)]  # anew: saving leaves options of one format in them
        return _encoded(rgb.copy(), format, save_all=True, append_images=rest, **options)

    made = {
        "plain.png": _encoded(rgb, "PNG"),
        "alpha.png": _encoded(rgba, "PNG"),
        "palette.png": _encoded(rgb.quantize(16), "PNG"),
        "bits.png": _encoded(grey.convert("1"), "PNG"),
        "deep.png": _encoded(deep, "PNG"),
        "moving.png": several("PNG"),
        "plain.jpg": _encoded(rgb, "JPEG"),
        "progressive.jpg": _encoded(rgb, "JPEG", progressive=True, exif=exif),
        "grey.jpg": _encoded(grey, "JPEG"),
        "inks.jpg": _encoded(rgb.convert("CMYK"), "JPEG"),
        "several.jpg": several("MPO"),
        "plain.gif": _encoded(rgb, "GIF"),
        "moving.gif": several("GIF", disposal=2),
        "plain.bmp": _encoded(rgb, "BMP"),
        "plain.webp": _encoded(rgb, "WEBP"),
        "alpha.webp": _encoded(rgba, "WEBP", lossless=True),
        "moving.webp": several("WEBP", exif=exif),
        "plain.tif": _encoded(rgb, "TIFF"),
        "lzw.tif": _encoded(rgb, "TIFF", compression="tiff_lzw", exif=exif),
        "jpeg.tif": _encoded(rgb, "TIFF", compression="jpeg"),
        "real.tif": _encoded(real, "TIFF"),
        "several.tif": several("TIFF"),
        "plain.ppm": _encoded(rgb, "PPM"),
        "text.ppm": b"P3\n# as text\n4 2\n255\n" + b" ".join(b"%d" % (10 * number) for number in range(24)) + b"\n",
    }
    if features.check("jpg_2000"):
        made["plain.jp2"] = _encoded(rgb, "JPEG2000")
        made["tiles.j2k"] = _encoded(rgb, "JPEG2000", no_jp2=True, tile_size=(16, 16))
    if features.check("avif"):
        made["plain.avif"] = _encoded(rgb, "AVIF")
    return made


def extreme_pictures() -> dict[str, bytes]:
    """Pictures that are whole, of shapes or with claims that no camera makes."""
    text = "a" * (1 << 23)
    bomb = zlib.compress(b"\0" * (1 << 24))
    made = {
        f"{width}x{height}.png": _flat_png(width, height)
        for width, height in [(1, 20_000), (20_000, 1), (1, 60_000), (2, 401), (199, 1), (1, 1), (1, 200), (30, 600)]
    }
    made |= {
        "wide.jpg": _encoded(Image.new("RGB", (60_000, 2)), "JPEG"),
        "high.gif": _encoded(Image.new("L", (1, 50_000)), "GIF"),
        "claims.png": _flat_png(100_000, 100_000, lines=3),
        "claims.gif": _gif(1, 1, 65_535, 65_535),
        "profile.png": _with_chunk(b"iCCP", b"x\0\0" + bomb),
        "words.png": _with_chunk(b"zTXt", b"x\0\0" + zlib.compress(text.encode())),
        "claims.ppm": b"P6\n70000 70000\n255\n\0\0\0",
        "tile.tif": tiled_tiff(4, 4, 60_000, 60_000),
        "tags.tif": tags_tiff(500, 1 << 20),
        "many.jpg": many_scans(400),
        "none.png": b"",
        "one.jpg": b"\xff",
        "page.png": b"<!doctype html><html><body>404 Not Found</body></html>",
        "svg.png": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "zip.jpg": b"PK\3\4" + bytes(60),
        "pointer.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n",
    }
    if features.check("jpg_2000"):
        made["parts.j2k"] = precincts_j2k(3000)
    return made


def mutated_pictures(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """`count` names and files: the extreme pictures, then mutated small ones."""
    rng = random.Random(seed)
    small = small_pictures()
    found = list(extreme_pictures().items())
    while len(found) < count:
        name = rng.choice(sorted(small))
        data = small[name]
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            data = rng.choice(MUTATIONS)(data, rng, small)
        found.append((name, data))
    for number, (name, data) in enumerate(found[:count]):
        yield f"{number:03}_{name}", data


Mutation = Callable[[bytes, random.Random, dict[str, bytes]], bytes]


def _cut(data: bytes, rng: random.Random, _: dict[str, bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _flip(data: bytes, rng: random.Random, _: dict[str, bytes]) -> bytes:
    changed = bytearray(data)
    for _bit in range(min(len(data), rng.choice((1, 3, 20)))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, rng: random.Random, _: dict[str, bytes]) -> bytes:
    at, length = rng.randrange(len(data) + 1), rng.randrange(1, 200)
    return data[:at] + bytes([rng.choice((0, 0xFF))]) * min(length, len(data) - at) + data[at + length :]


def _set_number(data: bytes, rng: random.Random, _: dict[str, bytes]) -> bytes:
    """A number of 2 or 4 bytes near the beginning or the end, where sizes stand, becomes another."""
    kind = rng.choice(("<H", ">H", "<I", ">I"))
    at = max(0, rng.choice((rng.randrange(120), len(data) - 1 - rng.randrange(120))))
    number = struct.pack(kind, rng.choice(HUGE) % (1 << 8 * struct.calcsize(kind)))
    return _with_checksum(data[:at] + number + data[at + len(number) :])


def _swap_head(data: bytes, rng: random.Random, small: dict[str, bytes]) -> bytes:
    other, at = small[rng.choice(sorted(small))], rng.randrange(4, 60)
    return other[:at] + data[at:]


def _repeat(data: bytes, rng: random.Random, _: dict[str, bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[max(0, at - rng.randrange(1, 300)) : at] * rng.choice((1, 2, 50)) + data[at:]


def _drop(data: bytes, rng: random.Random, _: dict[str, bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.randrange(1, 60) :]


MUTATIONS: tuple[Mutation, ...] = (_cut, _flip, _overwrite, _set_number, _swap_head, _repeat, _drop)


def _with_checksum(data: bytes) -> bytes:
    """A PNG with the checksum of its header put right, so that what it claims is believed."""
    if data[12:16] != b"IHDR":
        return data
    return data[:29] + struct.pack(">I", zlib.crc32(data[12:29])) + data[33:]


def _picture(mode: str) -> Image.Image:
    values = np.random.default_rng(7).integers(0, 256, (6, 8, 4), dtype=np.uint8)
    return Image.fromarray(values).resize((32, 24)).convert(mode)


def _encoded(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _flat_png(width: int, height: int, lines: int | None = None) -> bytes:
    """A grey PNG of one colour, of a few hundred bytes; with `lines`, of the first ones only."""
    pixels = zlib.compress((b"\0" + b"\x50" * width) * (height if lines is None else lines), 9)
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _with_chunk(kind: bytes, data: bytes) -> bytes:
    """A good PNG with another chunk behind its header."""
    whole = _flat_png(8, 6)
    return whole[:33] + _chunk(kind, data) + whole[33:]


def _gif(width: int, height: int, frame_width: int, frame_height: int) -> bytes:
    """A GIF whose first frame has a size of its own, and is to be cleared again."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0)
    control = b"!\xf9\x04" + bytes([0b1000]) + b"\0\0\0\0"
    frame = b"," + struct.pack("<HHHHB", 0, 0, frame_width, frame_height, 0)
    return head + control + frame + b"\x02\x02L\x01\0;"


def tiled_tiff(width: int, height: int, tile_width: int, tile_height: int) -> bytes:
    """A small TIFF in one large tile, compressed with Deflate."""
    data = zlib.compress(bytes(1 << 16))
    tags = [
        (256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1), (322, 4, tile_width),
        (323, 4, tile_height), (324, 4, 8), (325, 4, len(data)),
    ]  # fmt: skip
    return _tiff(tags, data)


def tags_tiff(count: int, length: int) -> bytes:
    """A good TIFF with `count` further tags, all of which mean the same `length` bytes."""
    tags = [(256, 4, 4), (257, 4, 4), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (279, 4, 16)]
    return _tiff(tags, bytes(length), [(40_000 + number, 7, length) for number in range(count)])


def _tiff(tags: list[tuple[int, int, int]], data: bytes, others: list[tuple[int, int, int]] | None = None) -> bytes:
    """A little-endian TIFF: its header, `data` at byte 8, and the tags; the values of `others` are `data`."""
    entries = [struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags]
    entries += [struct.pack("<HHII", tag, kind, count, 8) for tag, kind, count in others or []]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory


def many_scans(count: int, size: tuple[int, int] = (32, 24)) -> bytes:
    """A progressive JPEG whose last scan is there `count` times."""
    data = _encoded(Image.linear_gradient("L").resize(size), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def precincts_j2k(side: int) -> bytes:
    """A JPEG 2000 codestream of side x side pixels in one tile, each of which is a precinct of its own."""
    data = bytearray(_encoded(Image.new("L", (64, 64)), "JPEG2000", no_jp2=True, num_resolutions=1))
    for at in (8, 24):  # of the picture, of a tile
        struct.pack_into(">II", data, at, side, side)
    at = data.index(b"\xff\x52")
    length = struct.unpack(">H", data[at + 2 : at + 4])[0]
    coding = bytes([data[at + 4] | 1]) + bytes(data[at + 5 : at + 2 + length]) + b"\0"
    return bytes(data[:at]) + b"\xff\x52" + struct.pack(">H", len(coding) + 2) + coding + bytes(data[at + 2 + length :])


def exif_jpeg(count: int, length: int) -> bytes:
    """A JPEG with an EXIF block of `count` tags that all mean the same `length` bytes, over several segments."""
    block = tags_tiff(count, length)
    plain = _encoded(Image.new("RGB", (8, 8)), "JPEG")
    jfif = 4 + struct.unpack(">H", plain[4:6])[0]  # without the density, so that Pillow asks the EXIF block for one
    parts = [block[start : start + 65_000] for start in range(0, len(block), 65_000)]
    segments = (b"\xff\xe1" + struct.pack(">H", len(part) + 8) + b"Exif\0\0" + part for part in parts)
    return plain[:2] + b"".join(segments) + plain[jfif:]
