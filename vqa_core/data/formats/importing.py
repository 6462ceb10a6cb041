"""Other people's data, turned into a competition folder that every command and the page know how to read.

The folder has train.csv, test.csv, sample_submission.csv and, where answers are known, solution.csv, with the default
column names and a column `image`; annotations.json with all answers of questions that came with several; left_out.json
with the records no example can hold; source.json with what it was made from and what was said about it. Pictures named
by JSON files stay where they are, behind a link; those inside a dataset are written out.
"""

import csv
import io
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vqa_core.data.competition import ORIGIN, SAMPLE, SOLUTION, origin_of
from vqa_core.data.formats.hf_dataset import HUB, is_dataset, read_dataset
from vqa_core.data.formats.llava import read_conversation_records, read_question_records
from vqa_core.data.formats.split_data import SplitData
from vqa_core.data.formats.vqav2 import read_vqav2
from vqa_core.data.references import ANNOTATIONS
from vqa_core.files import InputError, named, read_json, read_json_lines, sha256_of, write_atomically, write_json
from vqa_core.folders import replaced_folder
from vqa_core.runs.examples import ColumnMap, Example

LEFT_OUT = "left_out.json"
UNANSWERED = "questions without an answer among those to train on"
_TEST = re.compile("(?<![a-z])test(?![a-z])")
_JSON = (".json", ".jsonl")


@dataclass(frozen=True, slots=True)
class Sources:
    """What to read: files, folders, hub ids to train on and to answer; columns of datasets; where pictures lie.

    `images` is by default the folder of the first file, `test_images` as `images`.
    """

    data: Sequence[str]
    test_data: Sequence[str] = ()
    images: Path | None = None
    test_images: Path | None = None
    columns: ColumnMap = field(default_factory=ColumnMap)

    def record(self) -> dict[str, Any]:
        """JSON-ready: the sources as named, and size and time of change of every file they stand for."""
        places = {"images": self.images, "test_images": self.test_images}
        return {
            "data": list(self.data),
            "test_data": list(self.test_data),
            "columns": asdict(self.columns),
            **{name: str(path.resolve()) if path else None for name, path in places.items()},
            "files": [_stamp(path) for source in (*self.data, *self.test_data) for path in _all_files(source)],
        }


def is_foreign(source: str) -> bool:
    """Whether `source` is something that this module reads, rather than a competition folder or a zip of one."""
    path = Path(source.partition("#")[0])
    tables = (path.glob(f"{place}{split}.csv") for place in ("", "*/") for split in ("train", "test"))
    if path.is_dir() and any(map(any, tables)):
        return False
    return is_dataset(source) or bool(_json_of(path) if path.is_dir() else path.suffix in _JSON)


def import_data(sources: Sources, folder: Path | None = None) -> Path:
    """Write the competition folder and return it: `data/NAME.imported`, or `NAME-asked` where all is asked.

    One of the same making is kept; one of the same sources, read otherwise or changed since, is made anew. Of a folder
    or dataset in `data`, files or splits with the word `test` in their name are to be answered, all others to be
    trained on. Answers in `test_data` become the solution. Raises InputError where a source cannot be read, and where
    `folder` was made from something else or changed by hand.
    """
    name = _name((*sources.data, *sources.test_data)[0])
    folder = folder or Path("data") / (f"{name}.imported" if sources.data else f"{name}-asked.imported")
    made_from = sources.record()
    if folder.exists():
        origin = origin_of(folder)
        if origin.get("made_from") == made_from:
            return folder
        _refuse_others(folder, origin, made_from)
    with replaced_folder(folder) as building:
        train, test = _read(sources, building)
        if sources.data:
            _write_table(building / "train.csv", train.examples, answers=True)
        if test.examples:
            _write_table(building / "test.csv", test.examples, answers=False)
            _write_csv(building / SAMPLE, ("ID", "answer"), [(row.question_id, "") for row in test.examples])
        known = [(row.question_id, row.answer) for row in test.examples if row.answer is not None]
        if known:
            _write_csv(building / SOLUTION, ("ID", "answer"), known)
        references = train.references | test.references
        answered = {row.question_id: row.answer for row in (*train.examples, *test.examples)}
        if any(answers != [answered.get(key)] for key, answers in references.items()):
            items = [{"question_id": key, "answers": answers} for key, answers in references.items()]
            write_json(building / ANNOTATIONS, {"annotations": items})
        left_out = train.left_out + test.left_out
        if left_out:
            write_json(building / LEFT_OUT, left_out)
        findings = train.findings() + test.findings()
        write_json(building / ORIGIN, {"made_from": made_from, "findings": findings, "contents": _contents(building)})
    return folder


def columns_of_import(folder: Path) -> ColumnMap | None:
    """The columns that the datasets in `folder` were read by; None of a folder that was not imported."""
    origin = origin_of(folder)
    return ColumnMap(**origin["made_from"]["columns"]) if origin else None


def _refuse_others(folder: Path, origin: dict[str, Any], made_from: dict[str, Any]) -> None:
    """Raise InputError unless all that is in `folder` was written here, of the sources that `made_from` names."""
    sources = [origin.get("made_from", {}).get(key) for key in ("data", "test_data")]
    if "contents" not in origin or sources != [made_from["data"], made_from["test_data"]]:
        raise InputError(f"{folder} exists and was made from something else. Remove it, or name another by --data-dir.")
    if origin["contents"] != _contents(folder):
        raise InputError(
            f"{folder} was changed by hand, and so was what it was made from. To use it as it is, read it with --data "
            f"{folder}; to make it again, move it away."
        )


def _contents(folder: Path) -> dict[str, Any]:
    """JSON-ready: what stands in `folder` beside ORIGIN, to tell whether anyone added or changed anything."""
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != ORIGIN}
    pictures = sum(len(names) + len(folders) for _, folders, names in os.walk(folder / "image"))
    return {"files": files, "pictures": pictures}


def _read(sources: Sources, building: Path) -> tuple[SplitData, SplitData]:
    found = {"train": SplitData(), "test": SplitData()}
    images = sources.images or _beside(sources.data) or _beside(sources.test_data)
    folders = {"train": images, "test": sources.test_images or images}
    names = {"train": "linked", "test": "linked" if folders["test"] == images else "linked-test"}
    for role, given in (("train", sources.data), ("test", sources.test_data)):
        files: dict[str, list[Path]] = {"train": [], "test": []}
        for source in given:
            if is_dataset(source):
                asked = (lambda _: True) if role == "test" else _asked
                for split, data in read_dataset(source, sources.columns, building / "image", asked):
                    found["test" if asked(split) else "train"].add(_below("image", data))
                continue
            for path in _json_files(source):
                to_answer = role == "test" or (Path(source).is_dir() and _asked(path.name.lower()))
                files["test" if to_answer else "train"].append(path)
        for where, paths in files.items():
            if paths:
                place = folders[where]
                assert place is not None  # there is a file, so there is one beside it
                read = _read_files(paths, place, where)
                _refuse_no_picture(read, place, "--test-images" if where == "test" and sources.data else "--images")
                found[where].add(_below(f"image/{names[where]}", read))
                _link(building / "image" / names[where], place)
    unanswered = [row for row in found["train"].examples if row.answer is None]
    for row in unanswered:
        found["train"].leave_out(UNANSWERED, row.question_id, asdict(row))
    found["train"].examples = [row for row in found["train"].examples if row.answer is not None]
    return found["train"], found["test"]


def _asked(name: str) -> bool:
    """Whether a split or file of that name is to be answered."""
    return _TEST.search(name) is not None


def _read_files(paths: Sequence[Path], images: Path, role: str) -> SplitData:
    """What each file is, its content says: conversations, questions to answer, VQA questions or annotations."""
    if not images.is_dir():
        raise InputError(f"--images {images} is not a folder. Name the folder that the images' paths are relative to.")
    data = SplitData()
    questions: list[Path] = []
    annotations: list[Path] = []
    for path in paths:
        if path.suffix == ".jsonl":
            rows = list(read_json_lines(path))
            if rows and "conversations" in rows[0]:
                data.add(read_conversation_records(rows, str(path), images))
            elif rows and role == "train":
                raise InputError(f"{path} holds questions without answers. Name it with --test-data.")
            else:
                data.add(read_question_records(rows, str(path), images))
            continue
        content = read_json(path)
        if isinstance(content, list):
            data.add(read_conversation_records(content, str(path), images))
        elif isinstance(content, dict) and isinstance(content.get("questions"), list):
            questions.append(path)
        elif isinstance(content, dict) and isinstance(content.get("annotations"), list):
            annotations.append(path)
        else:
            raise InputError(f"{path} is neither LLaVA's list of conversations nor VQA questions nor VQA annotations.")
    if annotations and not questions:
        raise InputError(f"{annotations[0]} has answers and no questions. Name the file of its questions too.")
    data.add(read_vqav2(questions, annotations, images))
    if not data.examples and not data.left_out:
        raise InputError(f"{', '.join(map(str, paths[:3]))}: there is no question in it. Name a file that has some.")
    return data


def _refuse_no_picture(data: SplitData, images: Path, flag: str) -> None:
    """Raise InputError where there are questions, and of all their pictures not one is below `images`."""
    sought = [row.image or row.image_id for row in data.examples]
    if sought and not any(row.image and (images / row.image).is_file() for row in data.examples):
        raise InputError(
            f"None of the images ({named(list(dict.fromkeys(sought)))}) is found in {images}. Name the folder that "
            f"their paths are relative to with {flag}."
        )


def _below(folder: str, data: SplitData) -> SplitData:
    """The same data with image paths relative to the folder above `folder`."""
    data.examples = [
        Example(row.question_id, row.image_id, f"{folder}/{row.image}" if row.image else "", row.question, row.answer)
        for row in data.examples
    ]
    return data


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
        raise InputError(f"--data {source} cannot be read with other sources: it holds no JSON and no dataset.")
    if not path.is_file():
        raise InputError(f"--data {source} does not exist. Name a file, a folder, or a dataset of the hub as hub:NAME.")
    if path.suffix not in _JSON:
        raise InputError(
            f"--data {source} cannot be read together with other sources: it is no JSON, JSONL or dataset."
        )
    return [path]


def _json_of(folder: Path) -> list[Path]:
    """The JSON files of a folder, hidden ones left out: a zip that was unpacked has one."""
    return sorted(file for file in folder.iterdir() if file.suffix in _JSON and not file.name.startswith("."))


def _beside(sources: Sequence[str]) -> Path | None:
    """The folder of the first source that is a file or folder of JSON."""
    paths = (Path(source) for source in sources if not is_dataset(source))
    return next((path if path.is_dir() else path.parent for path in paths), None)


def _name(source: str) -> str:
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
    rows = [
        (row.question_id, row.image_id, row.image, row.question, *((row.answer or "",) if answers else ()))
        for row in examples
    ]
    _write_csv(path, columns, rows)


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
    """Every field in quotes, so that any text comes back as it was, white space and line ends included."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([columns, *rows])
    try:  # a zero byte would be taken for UTF-16, but for the mark
        write_atomically(path, text.getvalue().encode("utf-8-sig" if "\0" in text.getvalue() else "utf-8"))
    except UnicodeEncodeError as error:
        half = error.object[max(0, error.start - 40) : error.start]
        raise InputError(f"A text cannot be written as UTF-8: half a character after {half!r}. Correct it.") from None
