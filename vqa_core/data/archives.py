"""Unpack an untrusted zip: nothing outside the target, no links, bounded size, all or nothing, never twice."""

import os
import shutil
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vqa_core.commands import shell_word
from vqa_core.data.texts.entry_names import entry_names
from vqa_core.data.texts.file_names import is_refused
from vqa_core.files import InputError, read_json, sha256_of, write_json
from vqa_core.folders import replaced_folder

_MARKER = ".extracted.json"
_CHUNK = 1 << 20
_TABLES = ("train.csv", "test.csv")
_IMAGE_FOLDERS = ("image", "images", "train", "test", "train_images", "test_images")
_ENCRYPTED = 0x1  # general purpose flag bit, PKWARE APPNOTE 4.4.4
_OTHER_METHODS = {9: "Deflate64", 93: "Zstandard", 95: "XZ", 98: "PPMd", 99: "AES encryption"}  # APPNOTE 4.4.5
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_JUNK = {"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True, slots=True)
class ZipLimits:
    """Limits of a zip. `ratio` is unpacked over packed size of the whole zip, checked above `ratio_floor` bytes."""

    entries: int = 2_000_000
    total_bytes: int = 1 << 38  # 256 GiB
    ratio: int = 200
    ratio_floor: int = 64 << 20


def extract_zip(
    path: Path,
    target: Path | None = None,
    *,
    within: str = "",
    limits: ZipLimits = ZipLimits(),
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Unpack `path` into `target` (`NAME.extracted` beside it by default) and return that folder.

    If the target was unpacked earlier from the same bytes, returns it as it is. Reads file names as `entry_names` does;
    writes names in NFC. The folder `within` is left off if all entries lie in it. `progress` gets bytes done and bytes
    declared. Raises InputError, and leaves nothing behind, for entries that are encrypted, packed by an unknown method,
    absolute, outside the target, links, devices or duplicates (also by case), for a zip beyond `limits`, and for a
    damaged one; also if the target exists and is not the unchanged result of an earlier call.
    """
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is not a zip file." if path.is_file() else f"{path} does not exist.")
    target = target or path.with_name(path.name.removesuffix(path.suffix) + ".extracted")
    digest = sha256_of(path)
    if target.exists() and not _is_empty(target) and _read_hash(target, path) == digest:
        return target
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _check_entries(archive, path, limits)
            if within and all(name.startswith(f"{within}/") for name in entries):
                entries = {name.removeprefix(f"{within}/"): entry for name, entry in entries.items()}
            _refuse_full_disk(path, target, sum(entry.file_size for entry in entries.values()))
            with replaced_folder(target) as building:
                _unpack(archive, entries, building, path, limits, progress)
                for table in [name for name in entries if PurePosixPath(name).name in _TABLES]:
                    unpack_images((building / table).parent)
                write_json(building / _MARKER, {"sha256": digest, **_totals(building)})
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError) as error:
        raise InputError(
            f"{path} cannot be unpacked: {error}. Nothing was written; download or create the zip again."
        ) from None
    except OSError as error:
        place = error.filename or target
        raise InputError(f"{place} cannot be written: {error.strerror}. Name another folder with --data-dir.") from None
    return target


def unpack_images(root: Path) -> list[Path]:
    """Unpack the zips of images beside a dataset's CSV files, each to a folder of its name; return those folders.

    Leaves them if the dataset has image folders already. Raises InputError for what `extract_zip` refuses, and where
    nothing can be written.
    """
    packed = [root / f"{name}.zip" for name in _IMAGE_FOLDERS if (root / f"{name}.zip").is_file()]
    own = [root / name for name in _IMAGE_FOLDERS if (root / name).is_dir() and not (root / name / _MARKER).is_file()]
    if not packed or own:
        return []
    if not os.access(root, os.W_OK):
        raise InputError(
            f"{packed[0]} is to be unpacked in {root}, where nothing can be written. Copy that folder elsewhere, and "
            "name the copy."
        )
    return [extract_zip(path, path.with_suffix(""), within=path.stem) for path in packed]


def unpacked_from(target: Path) -> str:
    """The hash of the zip that `extract_zip` unpacked to `target`; "" if it did not, or its marker is damaged."""
    try:
        marker = read_json(target / _MARKER)
    except InputError:
        return ""
    return str(marker.get("sha256", "")) if isinstance(marker, dict) else ""


def _is_empty(target: Path) -> bool:
    return target.is_dir() and not any(target.iterdir())


def _read_hash(target: Path, path: Path) -> str:
    """The hash of the zip that `target` was unpacked from. Raises InputError if files were changed since."""
    if not (target / _MARKER).is_file():
        raise InputError(
            f"{target} exists and was not unpacked from {path}. Move it away, "
            f"or read it with --data {shell_word(target)}."
        )
    marker = read_json(target / _MARKER)
    totals = _totals(target)
    if totals != {key: marker.get(key) for key in totals}:
        raise InputError(
            f"{target} was changed after it was unpacked from {path}. To use it as it is, read it with "
            f"--data {shell_word(target)}; to unpack it again, move it away."
        )
    return str(marker["sha256"])


def _totals(target: Path) -> dict[str, int]:
    """The number of files below `target` and their bytes, without the marker."""
    sizes = [(Path(parent) / name).lstat().st_size for parent, _, names in os.walk(target) for name in names]
    marker = (target / _MARKER).stat().st_size if (target / _MARKER).is_file() else None
    return {"files": len(sizes) - (marker is not None), "bytes": sum(sizes) - (marker or 0)}


def _check_entries(archive: zipfile.ZipFile, path: Path, limits: ZipLimits) -> dict[str, zipfile.ZipInfo]:
    """Relative path -> entry of every file, after all checks that need only the central directory."""
    infos = archive.infolist()
    if len(infos) > limits.entries:
        raise InputError(f"{path} has {len(infos):,} entries, more than the {limits.entries:,} allowed.")
    entries: dict[str, zipfile.ZipInfo] = {}
    folded: dict[str, str] = {}  # case-folded path -> path, for files and all folders above them
    for info, entry in zip(infos, entry_names(archive)):
        parts = _split_name(entry, path)
        if not parts or _JUNK.intersection(parts):
            continue
        name = "/".join(parts)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(f"{path}: entry {name!r} is a link or a device; only files and folders are unpacked.")
        if info.flag_bits & _ENCRYPTED:
            raise InputError(f"{path}: entry {name!r} is encrypted. Unpack the zip yourself and pass the folder.")
        if info.compress_type not in _METHODS:
            method = _OTHER_METHODS.get(info.compress_type, f"method {info.compress_type}")
            raise InputError(
                f"{path}: entry {name!r} is packed with {method}, which Python cannot unpack. Unpack the zip yourself, "
                f"for example with 7-Zip or `unzip {path} -d FOLDER`, and pass the folder."
            )
        if info.is_dir() or info.filename.endswith("\\"):
            continue
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            if folded.setdefault(folder.casefold(), folder) != folder or folder in entries:
                raise InputError(
                    f"{path}: entries {folded[folder.casefold()]!r} and {folder!r} are the same on some systems."
                )
        if name.casefold() in folded:
            raise InputError(
                f"{path}: entries {folded[name.casefold()]!r} and {name!r} have the same name, or do on some systems."
            )
        folded[name.casefold()] = name
        entries[name] = info
    _refuse_size(sum(info.file_size for info in entries.values()), path, limits)
    return entries


def _split_name(entry: str, path: Path) -> tuple[str, ...]:
    """The parts of an entry's relative path, in NFC; some tools write backslashes."""
    name = unicodedata.normalize("NFC", entry).replace("\\", "/")
    parts = PurePosixPath(name).parts
    if any(map(is_refused, parts)):
        raise InputError(
            f"{path}: entry {name!r} has a name that Windows refuses. Rename it in the zip, or unpack the zip on "
            "another system and rename it there."
        )
    if name.startswith("/") or ".." in parts or "\0" in name or (parts and parts[0][1:2] == ":"):
        raise InputError(f"{path}: entry {name!r} points outside the folder it is unpacked into.")
    return parts


def _refuse_size(size: int, path: Path, limits: ZipLimits) -> None:
    if size > limits.total_bytes:
        raise InputError(f"{path} unpacks to more than the {limits.total_bytes:,} bytes allowed.")
    if size > max(limits.ratio_floor, limits.ratio * path.stat().st_size):
        raise InputError(f"{path} unpacks to more than {limits.ratio} times its size, as only a zip bomb does.")


def _refuse_full_disk(path: Path, target: Path, size: int) -> None:
    folder = next(parent for parent in (target.absolute(), *target.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(folder).free
    if size > free:
        raise InputError(
            f"{path} unpacks to {size:,} bytes, but {folder} has only {free:,} free. Name another folder with "
            "--data-dir."
        )


def _unpack(
    archive: zipfile.ZipFile,
    entries: dict[str, zipfile.ZipInfo],
    building: Path,
    path: Path,
    limits: ZipLimits,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Write every entry below `building`, checking the size that it really has."""
    done, declared = 0, sum(info.file_size for info in entries.values())
    for folder in sorted({PurePosixPath(name).parent for name in entries}):
        (building / folder).mkdir(parents=True, exist_ok=True)
    for name, info in entries.items():
        with archive.open(info) as source, (building / name).open("xb") as file:
            while chunk := source.read(_CHUNK):
                done += len(chunk)
                _refuse_size(done, path, limits)
                file.write(chunk)
        if progress:
            progress(done, declared)
