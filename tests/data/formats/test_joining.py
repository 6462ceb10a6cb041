"""Splits and ids of other people's data: each split keeps its role, and no two questions of a run have one id."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from tests.support.exported import notes_of
from train.prepare import main
from vqa_core.data.competition import Competition, read_competition
from vqa_core.data.formats.importing import REPEATED, Sources, _contents, import_data
from vqa_core.data.formats.joining import ONLY_VAL
from vqa_core.data.references import read_annotations
from vqa_core.files import InputError, write_json, write_json_lines
from vqa_core.runs.examples import Example, read_examples
from vqa_core.runs.predictions import Prediction
from vqa_core.runs.run_dir import RunDir
from vqa_core.submission.results import write_run_results
from vqa_core.submission.submit import submit


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures 0.png to 9.png; the test's own folder is the current one."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(10):
        Image.new("RGB", (8, 8), (20 * number, 0, 0)).save(folder / f"{number}.png")
    return folder


def record(number: int, answer: str = "yes", **fields: Any) -> dict[str, Any]:
    """A conversation of one turn about the picture of that number."""
    turns = [{"from": "human", "value": f"<image>\nQ{number}?"}, {"from": "gpt", "value": answer}]
    return {"image": f"{number}.png", "conversations": turns} | fields


def write_parquet(path: Path, pictures: Path, numbers: range, **columns: list[Any]) -> Path:
    rows = {
        "image": [{"bytes": (pictures / f"{number}.png").read_bytes(), "path": None} for number in numbers],
        "question": [f"Q{number}?" for number in numbers],
        "answer": [f"a{number}" for number in numbers],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    features = datasets.Dataset.from_dict(rows | columns).cast_column("image", datasets.Image())
    features.to_parquet(path)
    return path


def imported(*data: Path | str, test: tuple[Path, ...] = (), images: Path | None = None) -> Competition:
    return read_competition(import_data(Sources([*map(str, data)], [*map(str, test)], images)))


def ids(rows: list[Example]) -> list[str]:
    return [row.question_id for row in rows]


def answers(rows: list[Example]) -> dict[str, str | None]:
    return {row.question: row.answer for row in rows}


# -- splits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev", "Val", "my_val", "val2014", "dev-v2"])
def test_a_json_file_named_so_is_the_validation_split(name: str, pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    write_json(folder / "train.json", [record(0, id="t0"), record(1, id="t1")])
    write_json(folder / f"{name}.json", [record(2, id="v2")])
    read = imported(folder, images=pictures)
    assert (ids(read.train), ids(read.val), ids(read.test)) == (["t0", "t1"], ["v2"], [])
    assert read.val[0].image == "image/linked/2.png"
    shutil.rmtree("data")
    read = imported(folder / "train.json", folder / f"{name}.json", images=pictures)
    assert (ids(read.train), ids(read.val)) == (["t0", "t1"], ["v2"])


@pytest.mark.parametrize("name", ["devices", "evaluated", "interval", "train_val", "trainval", "validity", "train-dev"])
def test_other_names_are_training_data(name: str, pictures: Path, tmp_path: Path) -> None:
    write_json(tmp_path / f"given/{name}.json", [record(2, id="v2")])
    assert ids(imported(tmp_path / "given", images=pictures).train) == ["v2"]


@pytest.mark.parametrize("name", ["testdev", "test-dev2015", "teststd", "test_dev"])
def test_a_testdev_split_is_a_test(name: str, pictures: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "given/train.json", [record(0, id="t0")])
    write_json_lines(
        tmp_path / f"given/{name}.jsonl", [{"question_id": "x", "image": "1.png", "text": "Q?", "category": "c"}]
    )
    read = imported(tmp_path / "given", images=pictures)
    assert (ids(read.train), ids(read.val), ids(read.test)) == (["t0"], [], ["x"])


def test_the_splits_of_a_dataset_keep_their_roles(pictures: Path, tmp_path: Path) -> None:
    splits = {"train": range(3), "dev": range(3, 5), "validation_matched": range(5, 6), "test": range(6, 8)}
    as_dict = datasets.DatasetDict(
        {
            name: datasets.Dataset.from_dict(
                {
                    "image": [str(pictures / f"{n}.png") for n in numbers],
                    "question": [f"Q{n}?" for n in numbers],
                    "answer": ["yes"] * len(numbers),
                }
            ).cast_column("image", datasets.Image())
            for name, numbers in splits.items()
        }
    )
    as_dict.save_to_disk(tmp_path / "given")
    read = imported(tmp_path / "given")
    assert ids(read.train) == ["train_0", "train_1", "train_2"]
    assert ids(read.val) == ["dev_0", "dev_1", "validation_matched_0"]
    assert ids(read.test) == ["test_0", "test_1"]


def test_parquet_files_keep_their_roles_in_a_folder_and_by_name(pictures: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    write_parquet(given / "data/train-00000-of-00001.parquet", pictures, range(3))
    write_parquet(given / "data/validation-00000-of-00001.parquet", pictures, range(3, 5))
    read = imported(given)
    assert (ids(read.train), ids(read.val)) == (["train_0", "train_1", "train_2"], ["validation_0", "validation_1"])
    files = sorted((given / "data").iterdir())
    read = imported(*files)
    assert sorted(answers(read.train).values(), key=str) == ["a0", "a1", "a2"]
    assert sorted(answers(read.val).values(), key=str) == ["a3", "a4"]
    read = imported(f"{given}#train")
    assert (len(read.train), len(read.val)) == (3, 0)


def vqa(folder: Path, year: str, numbers: range) -> list[Path]:
    """VQAv2's two files of a split."""
    questions = [{"question_id": n * 10, "image_id": n, "question": f"Q{n}?", "image": f"{n}.png"} for n in numbers]
    items = [
        {"question_id": n * 10, "image_id": n, "multiple_choice_answer": "yes", "answers": ["yes"]} for n in numbers
    ]
    paths = [folder / f"v2_OpenEnded_mscoco_{year}_questions.json", folder / f"v2_mscoco_{year}_annotations.json"]
    write_json(paths[0], {"data_subtype": year, "questions": questions})
    write_json(paths[1], {"annotations": items})
    return paths


def test_vqas_own_validation_files_are_the_validation_split(pictures: Path, tmp_path: Path) -> None:
    files = [*vqa(tmp_path / "vqa", "train2014", range(3)), *vqa(tmp_path / "vqa", "val2014", range(3, 5))]
    for given in ([tmp_path / "vqa"], files):
        read = imported(*given, images=pictures)
        assert (ids(read.train), ids(read.val)) == (["0", "10", "20"], ["30", "40"])
        assert {row.answer for row in read.val} == {"yes"}
    files[1] = files[1].rename(tmp_path / "vqa/answers.json")
    read = imported(files[0], files[1], images=pictures)  # one file says `train2014`, the other nothing
    assert ids(read.train) == ["0", "10", "20"]
    files[3] = files[3].rename(tmp_path / "vqa/all_annotations.json")
    read = imported(files[2], files[3], images=pictures)
    assert ids(read.train) == ["30", "40"]


def test_validation_questions_alone_are_trained_on_only_where_the_user_names_them(
    pictures: Path, tmp_path: Path
) -> None:
    write_json(tmp_path / "given/val.json", [record(n, id=f"v{n}") for n in range(3)])
    with pytest.raises(
        InputError, match=r"validation questions and none to train on.*--data (\S*val\.json)\."
    ) as error:
        imported(tmp_path / "given", images=pictures)
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").iterdir())
    named = str(error.value).rpartition("--data ")[2].removesuffix(".")
    read = imported(named, images=pictures)
    assert (ids(read.train), read.val) == (["v0", "v1", "v2"], [])
    assert ONLY_VAL in notes_of(read.root)
    write_parquet(tmp_path / "set/validation-00000-of-00001.parquet", pictures, range(3))
    with pytest.raises(InputError, match="none to train on") as error:
        imported(tmp_path / "set")
    assert len(imported(str(error.value).rpartition("--data ")[2].removesuffix(".")).train) == 3
    assert len(imported(write_parquet(tmp_path / "val.parquet", pictures, range(3))).train) == 3


def test_validation_questions_without_an_answer_are_left_out_and_said_to_be(pictures: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "given/train.json", [record(0, id="t0"), record(1, id="t1")])
    unanswered = record(3, id="v3")
    del unanswered["conversations"][1]
    write_json(tmp_path / "given/val.json", [record(2, id="v2"), unanswered])
    read = imported(tmp_path / "given", images=pictures)
    assert ids(read.val) == ["v2"]
    assert "left out, kept in left_out.json: validation questions without an answer" in notes_of(read.root)


def test_a_folder_that_an_earlier_version_made_of_both_splits_is_made_again_but_opens_as_it_is(
    pictures: Path, tmp_path: Path
) -> None:
    write_json(tmp_path / "given/train.json", [record(0, id="t0"), record(1, id="t1")])
    write_json(tmp_path / "given/val.json", [record(2, id="v2")])
    folder = import_data(Sources([str(tmp_path / "given")], images=pictures))
    origin = json.loads((folder / "source.json").read_text())
    rows = [*(folder / "train.csv").read_text().splitlines(), *(folder / "val.csv").read_text().splitlines()[1:]]
    (folder / "train.csv").write_text("\n".join(rows) + "\n")
    (folder / "val.csv").unlink()
    del origin["made_from"]["validation"]
    write_json(folder / "source.json", origin | {"contents": _contents(folder)})
    assert ids(read_competition(folder).train) == ["t0", "t1", "v2"]
    read = imported(tmp_path / "given", images=pictures)
    assert (ids(read.train), ids(read.val)) == (["t0", "t1"], ["v2"])


# -- ids -------------------------------------------------------------------------------------------------------------


def test_made_up_ids_go_on_over_all_files_and_references_stay_with_their_question(
    pictures: Path, tmp_path: Path
) -> None:
    shards = [
        write_parquet(
            tmp_path / f"given/{name}.parquet",
            pictures,
            range(3 * at, 3 * at + 3),
            answers=[[f"a{n}", f"b{n}"] for n in range(3 * at, 3 * at + 3)],
        )
        for at, name in enumerate(("one", "two", "three"))
    ]
    read = imported(*shards)
    assert ids(read.train) == [f"train_{number}" for number in range(9)]
    assert all(row.source_id is None for row in read.train)
    references = read_annotations(read.root / "annotations.json")
    assert references == {f"train_{n}": [f"a{n}", f"b{n}"] for n in range(9)}
    assert [row.answer for row in read.train] == [f"a{n}" for n in range(9)]


def test_the_turns_of_conversations_without_an_id_are_numbered_on_together(pictures: Path, tmp_path: Path) -> None:
    turns = [*record(1)["conversations"], *record(5)["conversations"]]
    for folder in ("a", "b"):
        write_json(tmp_path / folder / "train.json", [record(0), record(1, conversations=turns)])
    read = imported(tmp_path / "a/train.json", tmp_path / "b/train.json", images=pictures)
    assert ids(read.train) == ["train_1", "train_2", "train_2#2", "train_3", "train_4", "train_4#2"]
    assert ids(imported(tmp_path / "a/train.json", images=pictures).train) == ["train_1", "train_2", "train_2#2"]


def test_ids_of_the_source_that_repeat_are_numbered_and_kept(pictures: Path, tmp_path: Path) -> None:
    shards = [
        write_parquet(
            tmp_path / f"{at}.parquet", pictures, range(3), ID=["0", "1", "1"], answers=[[f"{at}{n}"] for n in range(3)]
        )
        for at in range(2)
    ]
    read = imported(*shards)
    assert ids(read.train) == ["0", "1", "1#2", "0#2", "1#3", "1#4"]
    assert [row.id_in_source for row in read.train] == ["0", "1", "1"] * 2
    assert list(read_annotations(read.root / "annotations.json").values()) == [
        ["00"],
        ["01"],
        ["02"],
        ["10"],
        ["11"],
        ["12"],
    ]


def test_references_of_train_and_test_are_not_mixed_where_both_number_from_0(pictures: Path, tmp_path: Path) -> None:
    for at, split in enumerate(("train", "validation", "test")):
        write_parquet(
            tmp_path / f"given/{split}.parquet",
            pictures,
            range(3 * at, 3 * at + 3),
            ID=["0", "1", "2"],
            answers=[[f"{split}{n}", "x"] for n in range(3)],
        )
    read = imported(tmp_path / "given")
    assert (ids(read.train), ids(read.val), ids(read.test)) == (
        ["0#2", "1#2", "2#2"],
        ["0#3", "1#3", "2#3"],
        ["0", "1", "2"],
    )
    references = read_annotations(read.root / "annotations.json")
    assert [references[row.question_id][0] for row in (*read.train, *read.val, *read.test)] == [
        f"{split}{n}" for split in ("train", "validation", "test") for n in range(3)
    ]


@pytest.fixture
def asked(pictures: Path, tmp_path: Path) -> RunDir:
    """A run whose test questions have their picture as id, two a picture, as in LLaVA's file for TextVQA."""
    write_json(tmp_path / "train.json", [record(n, id=f"{n % 2}") for n in range(4)])
    rows = [
        {"question_id": f"pic{n // 2}", "image": f"{5 + n // 2}.png", "text": f"Q{n}?", "category": "default"}
        for n in range(4)
    ]
    write_json_lines(tmp_path / "test.jsonl", rows)
    run = RunDir(tmp_path / "run")
    given = ["--data", "train.json", "--test-data", "test.jsonl", "--images", str(pictures)]
    main([*given, "--run", str(run.root), "--val-fraction", "0.25", "--export", "llava"])
    return run


def predictions(run: RunDir) -> Mapping[str, Prediction]:
    rows = read_examples(run.test)
    return {row.question_id: Prediction(row.question_id, f"to {row.question}", "", 0.5) for row in rows}


def test_a_question_file_with_repeated_ids_is_answered_line_by_line(asked: RunDir, tmp_path: Path) -> None:
    assert ids(read_examples(asked.test)) == ["pic0", "pic0#2", "pic1", "pic1#2"]
    assert REPEATED in notes_of(asked.data_root())
    write_run_results(tmp_path / "answers.jsonl", "llava", read_examples(asked.test), predictions(asked), "model")
    written = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [(row["question_id"], row["prompt"], row["text"]) for row in written] == [
        (f"pic{n // 2}", f"Q{n}?", f"to Q{n}?") for n in range(4)
    ]
    assert len({row["answer_id"] for row in written}) == 4
    back = [json.loads(line)["question_id"] for line in (asked.llava / "test.jsonl").read_text().splitlines()]
    assert back == ["pic0", "pic0", "pic1", "pic1"]
    exported = [json.loads((asked.root / f"export/llava/{split}.json").read_text()) for split in ("train", "val")]
    assert sorted(row["id"] for rows in exported for row in rows) == ["0", "0", "1", "1"]


def test_formats_that_join_by_id_refuse_repeated_ids(asked: RunDir, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"several questions have the id 'pic0', 'pic1'.*--format llava"):
        write_run_results(tmp_path / "r.json", "vqav2", read_examples(asked.test), predictions(asked), "model")
    with pytest.raises(InputError, match=r"several test questions have the id 'pic0', 'pic1'.*--format llava"):
        submit(asked, "csv", data=None, out=None, allow_failed=False, command=[])


# -- the folder ------------------------------------------------------------------------------------------------------


def test_two_peoples_train_json_go_to_different_folders_and_each_is_found_again(pictures: Path, tmp_path: Path) -> None:
    folders = []
    for name in ("ann", "bo", "cy"):
        write_json(tmp_path / name / "train.json", [record(0, id=name)])
        folders.append(import_data(Sources([f"{name}/train.json"], images=pictures)))
    assert folders[0] == Path("data/train.imported")
    assert len(set(folders)) == 3
    for name, folder in zip(("ann", "bo", "cy"), folders):
        assert ids(read_competition(folder).train) == [name]
        assert import_data(Sources([f"{name}/train.json"], images=pictures)) == folder
    shutil.rmtree(folders[0])
    folders[0].mkdir()
    (folders[0] / "mine.txt").touch()
    again = import_data(Sources(["ann/train.json"], images=pictures))
    assert again not in folders
    assert (folders[0] / "mine.txt").is_file()
