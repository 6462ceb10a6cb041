"""A dataset folder whose pictures lie elsewhere becomes a folder of links to its files and to those pictures.

Nothing is copied and nothing is written into the user's folders, and image paths stay relative to one folder.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from vqa_core.data.competition import dataset_root
from vqa_core.data.pictures.image_folders import LINKED
from vqa_core.data.pictures.links import make_link
from vqa_core.files import InputError, read_json, write_json
from vqa_core.folders import replaced_folder

_NOTES = ".links.json"  # name -> target of what had to be linked in another way than by a symbolic link


def link_images(folder: Path, images: Mapping[str, Path], to: Path | None = None, mark: str = "") -> Path:
    """Write to `to` links to every file of the dataset in `folder`, and to the images of each split; return `to`.

    By default it is data/NAME.linked, with `mark` behind NAME, and a hash of the folders if that is taken by others.
    An existing folder of such links is kept, or made again if the dataset has other files now. Raises InputError if
    there is no dataset, if images are in no folder, or if `to` is anything else.
    """
    root = dataset_root(folder)
    for place in images.values():
        if not place.is_dir():
            raise InputError(f"{place} is not a folder. Name the folder of the images with --images or --test-images.")
    links = {entry.name: root / entry.name for entry in os.scandir(root) if not entry.name.startswith(".")}
    known = links.pop(LINKED, None)  # the dataset is itself such a folder
    inner = {place.name: place.resolve() for place in sorted(known.iterdir())} if known else {}
    links |= {f"{LINKED}/{split}": place for split, place in inner.items()}
    links |= {f"{LINKED}/{split}": place.resolve() for split, place in images.items()}
    to = to or _default_folder(f"{root.name}{mark}", links)
    if to.exists() and _links(to) == links and not (to / _NOTES).exists():
        return to
    if _is_of_others(to, links):
        raise InputError(
            f"{to} exists and was made from other sources. Remove it, or name another folder with --data-dir."
        )
    with replaced_folder(to) as building:
        for name, place in links.items():
            (building / name).parent.mkdir(exist_ok=True)
            make_link(building / name, place)
        others = {name: os.fspath(place) for name, place in links.items() if not (building / name).is_symlink()}
        if others:  # they may be copies, which are made again each time, as what they were made of may have changed
            write_json(building / _NOTES, others)
    return to


def _default_folder(name: str, links: Mapping[str, Path]) -> Path:
    usual = Path("data") / f"{name}.linked"
    if not _is_of_others(usual, links):
        return usual
    homes = sorted((split, os.fsdecode(place)) for split, place in _homes(links))
    digest = hashlib.sha256(json.dumps(homes).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return usual.with_name(f"{name}-{digest}.linked")


def _is_of_others(folder: Path, links: Mapping[str, Path]) -> bool:
    """Whether a folder exists that has anything else than links to the same folders."""
    there = _links(folder) if folder.is_dir() else None
    return folder.exists() and (there is None or _homes(there) != _homes(links))


def _homes(links: Mapping[str, Path]) -> set[tuple[str, Path]]:
    """The folder of the dataset, and the folders of its images with their splits."""
    return {(name, place) if name.startswith(f"{LINKED}/") else ("", place.parent) for name, place in links.items()}


def _links(folder: Path) -> dict[str, Path] | None:
    """Name -> target of every link in a folder that `link_images` wrote; None for any other folder."""
    found = {}
    noted = _read_notes(folder)
    for place in (*folder.iterdir(), *(folder / LINKED).glob("*")):
        name = place.relative_to(folder).as_posix()
        if place.is_symlink():
            found[name] = place.readlink()
        elif name in noted:
            found[name] = Path(noted[name])
        elif name not in (LINKED, _NOTES):
            return None
    return found


def _read_notes(folder: Path) -> dict[str, str]:
    try:
        noted = read_json(folder / _NOTES)
    except InputError:
        return {}
    return noted if isinstance(noted, dict) else {}
