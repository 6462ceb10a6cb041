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

from vqa_core.files import InputError, read_json, sha256_of, write_json
from vqa_core.folders import replaced_folder

_MARKER = ".extracted.json"
_CHUNK = 1 << 20
_UTF8_NAME, _ENCRYPTED = 0x800, 0x1  # general purpose flag bits, PKWARE APPNOTE 4.4.4
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
    limits: ZipLimits = ZipLimits(),
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Unpack `path` into `target` (`NAME.extracted` beside it by default) and return that folder.

    If the target was unpacked earlier from the same bytes, returns it as it is. Reads file names without the UTF-8 flag
    as UTF-8 or CP949, as Korean Windows writes them; writes names in NFC. `progress` gets bytes done and bytes
    declared. Raises InputError, and leaves nothing behind, for entries that are encrypted, absolute, outside the
    target, links, devices or duplicates (also by case), for a zip beyond `limits`, and for a damaged one; also if the
    target exists and is not the unchanged result of an earlier call.
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
            _refuse_full_disk(path, target, sum(entry.file_size for entry in entries.values()))
            with replaced_folder(target) as building:
                size = _unpack(archive, entries, building, path, limits, progress)
                write_json(building / _MARKER, {"sha256": digest, "files": len(entries), "bytes": size})
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError) as error:
        raise InputError(
            f"{path} cannot be unpacked: {error}. Nothing was written; download or create the zip again."
        ) from None
    except OSError as error:
        place = error.filename or target
        raise InputError(f"{place} cannot be written: {error.strerror}. Name another folder with --data-dir.") from None
    return target


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
            f"{target} exists and was not unpacked from {path}. Move it away, or read it with --data {target}."
        )
    marker = read_json(target / _MARKER)
    sizes = [(Path(parent) / name).lstat().st_size for parent, _, names in os.walk(target) for name in names]
    totals = {"files": len(sizes) - 1, "bytes": sum(sizes) - (target / _MARKER).stat().st_size}
    if totals != {key: marker.get(key) for key in totals}:
        raise InputError(
            f"{target} was changed after it was unpacked from {path}. To use it as it is, read it with "
            f"--data {target}; to unpack it again, move it away."
        )
    return str(marker["sha256"])


def _check_entries(archive: zipfile.ZipFile, path: Path, limits: ZipLimits) -> dict[str, zipfile.ZipInfo]:
    """Relative path -> entry of every file, after all checks that need only the central directory."""
    infos = archive.infolist()
    if len(infos) > limits.entries:
        raise InputError(f"{path} has {len(infos):,} entries, more than the {limits.entries:,} allowed.")
    entries: dict[str, zipfile.ZipInfo] = {}
    folded: dict[str, str] = {}  # case-folded path -> path, for files and all folders above them
    for info in infos:
        parts = _split_name(info, path)
        if not parts or _JUNK.intersection(parts):
            continue
        name = "/".join(parts)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(f"{path}: entry {name!r} is a link or a device; only files and folders are unpacked.")
        if info.flag_bits & _ENCRYPTED:
            raise InputError(f"{path}: entry {name!r} is encrypted. Unpack the zip yourself and pass the folder.")
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


def _split_name(info: zipfile.ZipInfo, path: Path) -> tuple[str, ...]:
    """The parts of an entry's relative path, in NFC; some tools write backslashes."""
    name = unicodedata.normalize("NFC", _decode_name(info)).replace("\\", "/")
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\0" in name or (parts and parts[0][1:2] == ":"):
        raise InputError(f"{path}: entry {name!r} points outside the folder it is unpacked into.")
    return parts


def _decode_name(info: zipfile.ZipInfo) -> str:
    """The entry's name; `zipfile` reads names without the UTF-8 flag as CP437, which loses no byte."""
    if info.flag_bits & _UTF8_NAME:
        return info.orig_filename
    raw = info.orig_filename.encode("cp437")
    for encoding in ("utf-8", "cp949"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return info.orig_filename


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
) -> int:
    """Write every entry below `building`, checking the size that it really has; return the number of bytes."""
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
    return done
