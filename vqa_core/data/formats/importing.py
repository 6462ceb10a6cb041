"""Import data in other formats as a competition folder, which every command and the page can read.

The folder has train.csv, test.csv, sample_submission.csv and, if answers are known, solution.csv, with the default
column names and a column `image`; annotations.json with all answers to questions with several; left_out.json with the
records that fit no example; source.json with the sources and the findings. Pictures of JSON files stay where they are,
behind a link; pictures inside a dataset are written to files.
"""

import csv
import io
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vqa_core.data.choices.forms import AUTO, settle_choices
from vqa_core.data.choices.tables import CHOICES_COLUMN, FORM_COLUMN, written_choices
from vqa_core.data.competition import ORIGIN, SAMPLE, SOLUTION, origin_of
from vqa_core.data.formats.hf_dataset import HUB, is_dataset, read_dataset
from vqa_core.data.formats.picture_paths import Pictures
from vqa_core.data.formats.readers import read_files
from vqa_core.data.formats.split_data import SplitData
from vqa_core.data.formats.table_rows import copy_companions, is_table
from vqa_core.data.references import ANNOTATIONS
from vqa_core.files import InputError, named, sha256_of, write_atomically, write_json
from vqa_core.folders import replaced_folder
from vqa_core.runs.examples import ColumnMap, Example

LEFT_OUT = "left_out.json"
UNANSWERED = "training questions without an answer"
_TEST = re.compile("(?<![a-z])test(?![a-z])")
_JSON = (".json", ".jsonl")


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
        return {
            "data": list(self.data),
            "test_data": list(self.test_data),
            "columns": asdict(self.columns),
            **{name: str(path.resolve()) if path else None for name, path in places.items()},
            **({"answer_form": self.answer_form} if self.answer_form != AUTO else {}),
            "files": [_stamp(path) for source in (*self.data, *self.test_data) for path in _all_files(source)],
        }


def is_foreign(source: str) -> bool:
    """Whether this module reads `source`, which then is no competition folder and no zip of one."""
    path = Path(source.partition("#")[0])
    tables = (path.glob(f"{place}{split}.csv") for place in ("", "*/") for split in ("train", "test"))
    if path.is_dir() and any(map(any, tables)) and not is_table(source):
        return False
    return is_dataset(source) or bool(_json_of(path) if path.is_dir() else path.suffix in _JSON)


def import_data(sources: Sources, folder: Path | None = None) -> Path:
    """Write the competition folder and return it: by default `data/NAME.imported`, or `data/NAME-asked.imported`
    without training data.

    Keeps an existing folder from the same sources in the same state; imports again if the sources, or how to read them,
    have changed. In a folder or dataset in `data`, files or splits with the word `test` in their name are test
    questions, and all others training data. Answers in `test_data` become the solution. Raises InputError if a source
    cannot be read, or if `folder` was made from other sources or changed by hand.
    """
    name = _name_of((*sources.data, *sources.test_data)[0])
    folder = folder or Path("data") / (f"{name}.imported" if sources.data else f"{name}-asked.imported")
    made_from = sources.record()
    if folder.exists():
        origin = origin_of(folder)
        if origin.get("made_from") == made_from:
            return folder
        _refuse_other_contents(folder, origin, made_from)
    with replaced_folder(folder) as building:
        train, test = _read(sources, building)
        if sources.data and test.examples and not train.examples and not train.left_out:
            raise InputError(
                f"--data {sources.data[0]} has questions without answers, and nothing to train on. Name training data "
                f"with --data and these with --test-data, or answer them with `python -m eval.predict --data`."
            )
        settled, choices = settle_choices({"train": train.examples, "test": test.examples}, form=sources.answer_form)
        train.examples, test.examples = settled["train"], settled["test"]
        if sources.data:
            _write_table(building / "train.csv", train.examples, answers=True)
        if test.examples:
            _write_table(building / "test.csv", test.examples, answers=False)
            _write_csv(building / SAMPLE, ("ID", "answer"), [(row.question_id, "") for row in test.examples])
        known = [(row.question_id, row.answer) for row in test.examples if row.answer is not None]
        if known:
            _write_csv(building / SOLUTION, ("ID", "answer"), known)
        copy_companions(sources.data, building)
        references = train.references | test.references
        answered = {row.question_id: row.answer for row in (*train.examples, *test.examples)}
        if any(answers != [answered.get(key)] for key, answers in references.items()):
            items = [{"question_id": key, "answers": answers} for key, answers in references.items()]
            write_json(building / ANNOTATIONS, {"annotations": items})
        left_out = train.left_out + test.left_out
        if left_out:
            write_json(building / LEFT_OUT, left_out)
        findings = train.findings() + test.findings() + choices
        write_json(building / ORIGIN, {"made_from": made_from, "findings": findings, "contents": _contents(building)})
    return folder


def columns_of_import(folder: Path) -> ColumnMap | None:
    """The column names of the datasets that `folder` was imported from; None if it was not imported."""
    origin = origin_of(folder)
    return ColumnMap(**origin["made_from"]["columns"]) if origin else None


def _refuse_other_contents(folder: Path, origin: dict[str, Any], made_from: dict[str, Any]) -> None:
    """Raise InputError unless this module wrote everything in `folder`, from the sources in `made_from`."""
    sources = [origin.get("made_from", {}).get(key) for key in ("data", "test_data")]
    if "contents" not in origin or sources != [made_from["data"], made_from["test_data"]]:
        raise InputError(
            f"{folder} exists and was made from other sources. Remove it, or name another folder with --data-dir."
        )
    if origin["contents"] != _contents(folder):
        raise InputError(
            f"{folder} was changed by hand, and its sources or options changed too. To use it as it is, read it with "
            f"--data {folder}; to import again, move it away."
        )


def _contents(folder: Path) -> dict[str, Any]:
    """JSON-ready: the contents of `folder` without ORIGIN, to detect whether anyone added or changed anything."""
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != ORIGIN}
    pictures = sum(len(names) + len(folders) for _, folders, names in os.walk(folder / "image"))
    return {"files": files, "pictures": pictures}


def _read(sources: Sources, building: Path) -> tuple[SplitData, SplitData]:
    splits = {"train": SplitData(), "test": SplitData()}
    images = sources.images or _folder_beside(sources.data) or _folder_beside(sources.test_data)
    folders = {"train": images, "test": sources.test_images or images}
    names = {"train": "linked", "test": "linked" if folders["test"] == images else "linked-test"}
    for role, of_role in (("train", sources.data), ("test", sources.test_data)):
        files: dict[str, list[Path]] = {"train": [], "test": []}
        for source in of_role:
            if is_dataset(source):
                is_test = (lambda _: True) if role == "test" else _is_test
                given = sources.test_images or sources.images if role == "test" else sources.images
                for split, data in read_dataset(source, sources.columns, building / "image", is_test, given):
                    splits["test" if is_test(split) else "train"].add(_prefix_images("image", data))
                continue
            for path in _json_files(source):
                to_answer = role == "test" or (Path(source).is_dir() and _is_test(path.name.lower()))
                files["test" if to_answer else "train"].append(path)
        for name, paths in files.items():
            if paths:
                folder = folders[name]
                assert folder is not None  # there is a file, and so the folder that it is in
                data = read_files(paths, folder, name)
                _refuse_no_picture(data, folder, "--test-images" if name == "test" and sources.data else "--images")
                _write_pictures(building / "image", data)
                splits[name].add(_prefix_images(f"image/{names[name]}", data))
                _link(building / "image" / names[name], folder)
    train = splits["train"]
    for row in [row for row in train.examples if row.answer is None]:
        train.leave_out(UNANSWERED, row.question_id, row.to_dict())
    train.examples = [row for row in train.examples if row.answer is not None]
    return train, splits["test"]


def _is_test(name: str) -> bool:
    """Whether a split or file of that name holds test questions."""
    return _TEST.search(name) is not None


def _refuse_no_picture(data: SplitData, images: Path, flag: str) -> None:
    """Raise InputError if there are questions, but none of their pictures is below `images`."""
    wanted = [row.image or row.image_id for row in data.examples]
    files = Pictures(images)
    if wanted and not any(row.image in data.pictures or files.matches(row.image) for row in data.examples if row.image):
        raise InputError(
            f"None of the images ({named(list(dict.fromkeys(wanted)))}) is in {images}. Name the folder that their "
            f"paths are relative to with {flag}."
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
    if not link.is_symlink():
        link.symlink_to(target.resolve(), target_is_directory=True)


def _json_files(source: str) -> list[Path]:
    """A file, or the JSON files of a folder."""
    path = Path(source)
    if path.is_dir():
        if files := _json_of(path):
            return files
        raise InputError(f"--data {source} cannot be read with other sources: it has no JSON files and no dataset.")
    if not path.is_file():
        raise InputError(f"--data {source} does not exist. Name a file, a folder, or a dataset of the hub as hub:NAME.")
    if path.suffix not in _JSON:
        raise InputError(
            f"--data {source} cannot be read together with other sources: it is not JSON, JSONL or a dataset."
        )
    return [path]


def _json_of(folder: Path) -> list[Path]:
    """The JSON files of a folder, without hidden ones: an unpacked zip has such a marker."""
    return sorted(file for file in folder.iterdir() if file.suffix in _JSON and not file.name.startswith("."))


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
    columns = ("ID", "image_id", "image", "question", *(("answer",) if answers else ()))
    rows: list[tuple[str, ...]] = [
        (row.question_id, row.image_id, row.image, row.question, *((row.answer or "",) if answers else ()))
        for row in examples
    ]
    if any(row.choices for row in examples):
        columns += (CHOICES_COLUMN, FORM_COLUMN)
        rows = [(*fields, *written_choices(row)) for fields, row in zip(rows, examples)]
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
