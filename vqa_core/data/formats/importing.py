"""Import data in other formats as a competition folder, which every command and the page can read.

The folder has train.csv, val.csv if the sources have a validation split, test.csv, sample_submission.csv and, if
answers are known, solution.csv, with the default column names and a column `image`; annotations.json with all answers
to questions with several; left_out.json with the records that fit no example; source.json with the sources and the
findings. Pictures of JSON files stay where they are, behind a link; pictures inside a dataset are written to files.
"""

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vqa_core.commands import shell_word
from vqa_core.data.choices.forms import AUTO, settle_choices
from vqa_core.data.choices.tables import CHOICES_COLUMN, FORM_COLUMN, written_choices
from vqa_core.data.columns.table_reader import SOURCE_ID
from vqa_core.data.competition import ORIGIN, SAMPLE, SOLUTION, VAL_TABLES, origin_of
from vqa_core.data.formats.hf_dataset import HUB, is_dataset, read_dataset
from vqa_core.data.formats.joining import join_parts, says_more, use_val_to_train
from vqa_core.data.formats.layouts.json_values import SUFFIXES, is_json, refuse_pickle
from vqa_core.data.formats.picture_paths import Pictures
from vqa_core.data.formats.readers import read_files
from vqa_core.data.formats.roles import ROLES, is_test_name, pair_up, role_of
from vqa_core.data.formats.rows.tables import copy_companions, is_table
from vqa_core.data.formats.split_data import SplitData
from vqa_core.data.pictures.links import make_link
from vqa_core.data.references import ANNOTATIONS
from vqa_core.files import InputError, named, sha256_of, write_atomically, write_json
from vqa_core.folders import replaced_folder
from vqa_core.runs.examples import ColumnMap, Example

LEFT_OUT = "left_out.json"
REPEATED = (
    "test ids that several questions have: numbered here, and written back as they were by --format llava; a "
    "submission.csv can't have them"
)


@dataclass(frozen=True, slots=True)
class Sources:
    """What to read: files, folders or hub ids to train on and to answer; column names; folders of the pictures.

    `images` defaults to the folder of the first file, `test_images` to `images`.
    """

    data: Sequence[str]
    test_data: Sequence[str] = ()
    images: Path | None = None
    test_images: Path | None = None
    columns: ColumnMap = field(default_factory=ColumnMap)
    answer_form: str = AUTO

    def record(self) -> dict[str, Any]:
        """JSON-ready: the sources as given, and size and modification time of every file that they name."""
        places = {"images": self.images, "test_images": self.test_images}
        held_out = [path for source in self.data for path in _validation_files(source)]
        return {
            "data": list(self.data),
            "test_data": list(self.test_data),
            "columns": {name: value for name, value in asdict(self.columns).items() if value or name != "encoding"},
            **{name: str(path.resolve()) if path else None for name, path in places.items()},
            **({"answer_form": self.answer_form} if self.answer_form != AUTO else {}),
            "files": [_stamp(path) for source in (*self.data, *self.test_data) for path in _all_files(source)],
            **({"validation": held_out} if held_out else {}),  # folders made before there was val.csv are made again
        }


def is_foreign(source: str) -> bool:
    """Whether this module reads `source`, which then is no competition folder and no zip of one."""
    path = Path(source.partition("#")[0])
    tables = (path.glob(f"{place}{split}.csv") for place in ("", "*/") for split in ("train", "test"))
    if path.is_dir() and any(map(any, tables)) and not is_table(source):
        return False
    return is_dataset(source) or bool(_json_of(path) if path.is_dir() else is_json(path))


def import_data(sources: Sources, folder: Path | None = None) -> Path:
    """Write the competition folder and return it: by default `data/NAME.imported`, or `data/NAME-asked.imported`
    without training data, with a hash of the sources behind NAME if that folder was made from others.

    Keeps an existing folder from the same sources in the same state; imports again if the sources, or how to read them,
    have changed. In a folder or dataset in `data`, files or splits with the word `test` in their name are test
    questions. Files or splits named `val`, `validation` or `dev` become val.csv, and all others training data. Answers
    in `test_data` become the solution. Raises InputError if a source cannot be read, if nothing is left to train on, or
    if `folder` was made from other sources or changed by hand.
    """
    made_from = sources.record()
    folder = folder or _default_folder(sources, made_from)
    if folder.exists():
        origin = origin_of(folder)
        if origin.get("made_from") == made_from:
            return folder
        _refuse_other_contents(folder, origin, made_from)
    with replaced_folder(folder) as building:
        splits = _read(sources, building)
        settled, told = settle_choices({role: data.examples for role, data in splits.items()}, form=sources.answer_form)
        for role, data in splits.items():
            data.examples = settled[role]
        train, val, test = (splits[role] for role in ROLES)
        if sources.data and test.examples and not (train.examples or val.examples or train.left_out):
            raise InputError(
                f"--data {sources.data[0]} has questions without answers, and nothing to train on. Name training data "
                f"with --data and these with --test-data, or answer them with `python -m eval.predict --data`."
            )
        if sources.data:
            _write_table(building / "train.csv", train.examples, answers=True)
        if val.examples:
            _write_table(building / VAL_TABLES[0], val.examples, answers=True)
        if test.examples:
            _write_table(building / "test.csv", test.examples, answers=False)
            repeated = [row.id_in_source for row in test.examples if row.source_id is not None]
            for question_id in repeated:
                test.warn(REPEATED, question_id)
            if not repeated:
                _write_csv(building / SAMPLE, ("ID", "answer"), [(row.question_id, "") for row in test.examples])
        known = [(row.question_id, row.answer) for row in test.examples if row.answer is not None]
        if any((answer or "").strip() for _, answer in known):
            _write_csv(building / SOLUTION, ("ID", "answer"), known)
        copy_companions(sources.data, building)
        if any(map(says_more, splits.values())):
            references = train.references | val.references | test.references
            items = [{"question_id": key, "answers": answers} for key, answers in references.items()]
            write_json(building / ANNOTATIONS, {"annotations": items})
        left_out = [record for role in ROLES for record in splits[role].left_out]
        if left_out:
            write_json(building / LEFT_OUT, left_out)
        findings = [finding for role in ROLES for finding in splits[role].findings()] + told
        write_json(building / ORIGIN, {"made_from": made_from, "findings": findings, "contents": _contents(building)})
    return folder


def columns_of_import(folder: Path) -> ColumnMap | None:
    """The column names of the datasets that `folder` was imported from; None if it was not imported."""
    origin = origin_of(folder)
    return ColumnMap(**origin["made_from"]["columns"]) if origin else None


def _default_folder(sources: Sources, made_from: dict[str, Any]) -> Path:
    """Where these sources were imported to before, else a name that no others have."""
    given = (*sources.data, *sources.test_data)
    name = _name_of(given[0])
    paths = [source if source.startswith(HUB) else str(Path(source).resolve()) for source in given]
    digest = hashlib.sha256(json.dumps([len(sources.data), *paths]).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    end = ".imported" if sources.data else "-asked.imported"
    usual, other = (Path("data") / f"{each}{end}" for each in (name, f"{name}-{digest}"))
    return usual if not usual.exists() or _has_these_sources(origin_of(usual), made_from) else other


def _has_these_sources(origin: dict[str, Any], made_from: dict[str, Any]) -> bool:
    return all(origin.get("made_from", {}).get(key) == made_from[key] for key in ("data", "test_data"))


def _refuse_other_contents(folder: Path, origin: dict[str, Any], made_from: dict[str, Any]) -> None:
    """Raise InputError unless this module wrote everything in `folder`, from the sources in `made_from`."""
    if "contents" not in origin or not _has_these_sources(origin, made_from):
        raise InputError(
            f"{folder} exists and was made from other sources. Remove it, or name another folder with --data-dir."
        )
    if origin["contents"] != _contents(folder):
        raise InputError(
            f"{folder} was changed by hand, and its sources or options changed too. To use it as it is, read it with "
            f"--data {shell_word(folder)}; to import again, move it away."
        )


def _contents(folder: Path) -> dict[str, Any]:
    """JSON-ready: the contents of `folder` without ORIGIN, to detect whether anyone added or changed anything."""
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != ORIGIN}
    pictures = sum(len(names) + len(folders) for _, folders, names in os.walk(folder / "image"))
    return {"files": files, "pictures": pictures}


def _read(sources: Sources, building: Path) -> dict[str, SplitData]:
    """The questions of the sources by role, one of ROLES; no two have the same id in train and val."""
    images = sources.images or _folder_beside(sources.data) or _folder_beside(sources.test_data)
    test_images = sources.test_images or images
    folders = {"train": images, "val": images, "test": test_images}
    names = {role: "linked" if folder == images else "linked-test" for role, folder in folders.items()}
    parts: dict[str, list[SplitData]] = {role: [] for role in ROLES}
    named_val: list[str] = []  # how to name each validation split by itself
    for given, of_given in (("train", sources.data), ("test", sources.test_data)):
        files: dict[str, list[Path]] = {role: [] for role in ROLES}
        for source in of_given:
            if is_dataset(source):
                is_test = (lambda _: True) if given == "test" else is_test_name
                below = sources.test_images or sources.images if given == "test" else sources.images
                for split, data in read_dataset(source, sources.columns, building / "image", is_test, below):
                    role = "test" if given == "test" else role_of(split, source)
                    parts[role].append(_prefix_images("image", data))
                    whole = "#" in source or Path(source).suffix == ".parquet" or is_table(source)
                    named_val += [source if whole else f"{source}#{split}"] if role == "val" else []
                continue
            for path in _json_files(source):
                inside = path.name if path == Path(source) else path.relative_to(source).as_posix()
                role = role_of(inside) if given == "train" else "test"
                if role == "test" and given == "train" and path == Path(source):
                    role = "train"  # the user names it as training data
                files[role].append(path)
        pair_up(files)
        named_val += map(str, files["val"])
        for role, paths in files.items():
            if paths:
                folder = folders[role]
                assert folder is not None  # there is a file, and so the folder that it is in
                found = read_files(paths, folder, role, sources.columns.encoding)
                flag = "--test-images" if role == "test" and sources.data else "--images"
                _refuse_no_picture(found.values(), folder, flag)
                for split, data in found.items():
                    _write_pictures(building / "image", data)
                    parts[split].append(_prefix_images(f"image/{names[role]}", data))
                named_val += map(str, paths if role != "val" and "val" in found else ())
                _link(building / "image" / names[role], folder)
    use_val_to_train(parts, named_val, sources.data)
    return join_parts(parts)


def _validation_files(source: str) -> list[str]:
    """The files of a source whose path below it, or whose own name, says that they are for validation."""
    if source.startswith(HUB):
        return []
    root = Path(source.partition("#")[0])
    found = _all_files(source)
    inner = [path.relative_to(root) if root.is_dir() else Path(path.name) for path in found]
    return [path.as_posix() for path in inner if any(role_of(part) == "val" for part in path.parts)]


def _refuse_no_picture(found: Collection[SplitData], images: Path, flag: str) -> None:
    """Raise InputError if there are questions, but none of their pictures is below `images`."""
    wanted = [row.image or row.image_id for data in found for row in data.examples]
    files, inside = Pictures(images), {name for data in found for name in data.pictures}
    paths = (row.image for data in found for row in data.examples if row.image)
    if wanted and not any(path in inside or files.matches(path) for path in paths):
        numbers = all(name.isdecimal() for name in wanted)
        hint = " A number is sought as COCO names pictures, such as 000000000007.jpg." if numbers else ""
        raise InputError(
            f"None of the images ({named(list(dict.fromkeys(wanted)))}) is in {images}. Name the folder that their "
            f"paths are relative to with {flag}.{hint}"
        )


def _prefix_images(folder: str, data: SplitData) -> SplitData:
    """The same data with `folder` in front of the image paths; pictures that were inside are in `image`."""
    data.examples = [
        replace(row, image=f"{'image' if row.image in data.pictures else folder}/{row.image}") if row.image else row
        for row in data.examples
    ]
    return data


def _write_pictures(folder: Path, data: SplitData) -> None:
    """Write the pictures that were inside a file."""
    folder.mkdir(exist_ok=True)
    for name, content in data.pictures.items():
        (folder / name).write_bytes(content)


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(exist_ok=True)
    if not os.path.lexists(link):
        make_link(link, target.resolve())


def _json_files(source: str) -> list[Path]:
    """A file, or the JSON files of a folder."""
    path = Path(source)
    if path.is_dir():
        if files := _json_of(path):
            return files
        raise InputError(f"--data {source} cannot be read with other sources: it has no JSON files and no dataset.")
    if not path.is_file():
        raise InputError(f"--data {source} does not exist. Name a file, a folder, or a dataset of the hub as hub:NAME.")
    refuse_pickle(path)
    if not is_json(path):
        raise InputError(
            f"--data {source} cannot be read together with other sources: it is not JSON, a dataset, or a table with "
            f"its pictures inside. Name the folder that it is in, alone."
        )
    return [path]


def _json_of(folder: Path) -> list[Path]:
    """The JSON files of a folder, or the metadata.jsonl of each folder in it, as `datasets` has them in an imagefolder.

    Leaves out hidden ones: an unpacked zip has such a marker.
    """
    files = [file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
    return sorted(files or folder.glob("*/metadata.jsonl"))


def _folder_beside(sources: Sequence[str]) -> Path | None:
    """The folder with the first source that is a JSON file or a folder of them."""
    paths = (Path(source) for source in sources if not is_dataset(source))
    return next((path if path.is_dir() else path.parent for path in paths), None)


def _name_of(source: str) -> str:
    """`hub:org/name:config#split` -> name-config, `a/train.json` -> train."""
    plain = re.split("[#@]", source.removeprefix(HUB))[0]
    return plain.rstrip("/").rpartition("/")[2].replace(":", "-") if source.startswith(HUB) else Path(plain).stem


def _all_files(source: str) -> list[Path]:
    if source.startswith(HUB):
        return []
    path = Path(source.partition("#")[0])
    if not path.is_dir():
        return [path] if path.is_file() else []
    return sorted(file for file in path.rglob("*") if file.is_file()) if is_dataset(source) else _json_files(source)


def _stamp(path: Path) -> list[Any]:
    stat = path.stat()
    return [str(path.resolve()), stat.st_size, stat.st_mtime_ns]


def _write_table(path: Path, examples: Sequence[Example], *, answers: bool) -> None:
    """Write the examples; the columns of multiple choice and of repeated ids only where one of them needs these."""
    choices, repeated = (any(row.choices for row in examples), any(row.source_id is not None for row in examples))
    columns = [
        *("ID", "image_id", "image", "question"),
        *(("answer",) if answers else ()),
        *((CHOICES_COLUMN, FORM_COLUMN) if choices else ()),
        *((SOURCE_ID,) if repeated else ()),
    ]
    rows = [
        (
            *(row.question_id, row.image_id, row.image, row.question),
            *((row.answer or "",) if answers else ()),
            *(written_choices(row) if choices else ()),
            *((row.source_id or "",) if repeated else ()),
        )
        for row in examples
    ]
    _write_csv(path, columns, rows)


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
    """Write every field in quotes, so that any text is read back unchanged, including white space and line ends."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([columns, *rows])
    try:  # without the byte-order mark, a zero byte would be taken for UTF-16
        write_atomically(path, text.getvalue().encode("utf-8-sig" if "\0" in text.getvalue() else "utf-8"))
    except UnicodeEncodeError as error:
        half = error.object[max(0, error.start - 40) : error.start]
        raise InputError(f"A text cannot be written as UTF-8: half a character after {half!r}. Correct it.") from None
