"""Other people's data become a competition folder: nothing is lost unsaid, ids and answers arrive to the letter."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from eval import score
from tests.support.exported import notes_of
from train.prepare import main
from vqa_core.data.competition import read_competition
from vqa_core.data.formats.conversations import write_conversations, write_questions
from vqa_core.data.formats.exporting import EXPORTS, export_run
from vqa_core.data.formats.importing import Sources, import_data, is_foreign
from vqa_core.data.formats.llava import TWICE
from vqa_core.data.formats.parquet import write_parquet
from vqa_core.data.formats.vqav2 import write_vqav2
from vqa_core.data.references import read_annotations
from vqa_core.data.sources import data_folder
from vqa_core.files import InputError
from vqa_core.runs.examples import ColumnMap, Example, read_examples, write_examples
from vqa_core.runs.predictions import Prediction, PredictionLog
from vqa_core.runs.run_dir import RunDir

NASTY = [
    "none",
    "NA",
    "001",
    "",
    "사과, 배",
    '"quoted"',
    "two\nlines",
    "a\r\nb",
    "c\rd",
    " ends ",
    "a\0b",
    "\ufeff",
    "<image>",
]
TEN = [*["blue"] * 3, *["red"] * 4, *["none"] * 3]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for number in range(4):
        (folder / "sub").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"sub/{number}.png")
    return folder


def nasty_examples(answered: bool = True) -> list[Example]:
    return [
        Example(
            f"{text}{number}", f"{number % 4:03d}", f"sub/{number % 4}.png", f"Q {text}", text if answered else None
        )
        for number, text in enumerate(NASTY)
    ]


def texts(examples: list[Example]) -> list[tuple[str, str, str, str | None]]:
    return [(row.question_id, row.image_id, row.question, row.answer) for row in examples]


def write_llava(folder: Path, train: list[Example], test: list[Example], _pictures: Path) -> None:
    write_conversations(folder / "train.json", train)
    write_questions(folder / "test.jsonl", test)


def write_vqa(folder: Path, train: list[Example], test: list[Example], _pictures: Path) -> None:
    write_vqav2(folder, "train", train, {})
    write_vqav2(folder, "test", test, {})


def write_datasets(folder: Path, train: list[Example], test: list[Example], pictures: Path) -> None:
    write_parquet(folder / "train.parquet", train, pictures, {})
    write_parquet(folder / "test.parquet", test, pictures, {})


@pytest.mark.parametrize("write", [write_llava, write_vqa, write_datasets])
def test_ids_and_texts_come_through_every_format_to_the_letter(
    write: Callable[..., None], pictures: Path, tmp_path: Path
) -> None:
    train, test = nasty_examples(), nasty_examples(answered=False)
    (tmp_path / "given").mkdir()
    write(tmp_path / "given", train, test, pictures)
    folder = import_data(Sources([str(tmp_path / "given")], images=pictures), tmp_path / "out")
    read = read_competition(folder)
    assert texts(read.train) == texts(train)
    assert texts(read.test) == texts(test)
    assert read.sample_ids == [row.question_id for row in test]
    for before, after in zip(train, read.train):
        assert (folder / after.image).read_bytes() == (pictures / before.image).read_bytes()
    assert set(notes_of(folder)) == (
        {TWICE} if write is write_llava else set()
    )  # a question that has `<image>` as text


@pytest.mark.parametrize("kind", EXPORTS)
def test_an_exported_run_comes_back_as_it_was(kind: str, pictures: Path, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    run.write_section("dataset", {"root": str(pictures)})
    rows = nasty_examples()
    write_examples(run.train, rows[:8])
    write_examples(run.val, rows[8:])
    write_examples(run.test, nasty_examples(answered=False))
    folder, files = export_run(run, kind)
    assert sorted(path.name for path in folder.iterdir()) == files
    read = read_competition(import_data(Sources([str(folder)], images=pictures), tmp_path / "out"))
    assert texts(read.train) == texts(rows[:8])
    assert texts(read.val) == texts(rows[8:])
    assert texts(read.test) == texts(nasty_examples(answered=False))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    export_run(run, kind)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("kind", ["parquet", "vqav2"])
def test_an_answer_that_is_not_the_commonest_of_its_references_comes_back(
    kind: str, pictures: Path, tmp_path: Path
) -> None:
    given = {"1": ("t shirt", ["tshirt", "tshirt", "t-shirt"]), "2": ("b", ["a", "a", "b"]), "3": ("x y", ["xy"])}
    rows = [Example(key, "0", "sub/0.png", f"Q{key}", answer) for key, (answer, _) in given.items()]
    references = {key: answers for key, (_, answers) in given.items()}
    for again in range(2):
        run = RunDir(tmp_path / f"run{again}")
        run.write_section("dataset", {"root": str(pictures if not again else tmp_path / "out0")})
        items = [{"question_id": key, "answers": answers} for key, answers in references.items()]
        if not again:
            (pictures / "annotations.json").write_text(json.dumps({"annotations": items}))
        write_examples(run.train, rows)
        write_examples(run.val, [])
        write_examples(run.test, [])
        folder, _ = export_run(run, kind)
        out = import_data(Sources([str(folder)], images=run.data_root()), tmp_path / f"out{again}")
        rows = read_competition(out).train
        assert [(row.question_id, row.answer) for row in rows] == [(key, answer) for key, (answer, _) in given.items()]
        assert read_annotations(out / "annotations.json") == references


def test_an_export_replaces_no_folder_of_other_things(pictures: Path, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    run.write_section("dataset", {"root": str(pictures)})
    for path in (run.train, run.val, run.test):
        write_examples(path, nasty_examples())
    with pytest.raises(InputError, match="holds sub, which is no earlier export"):
        export_run(run, "llava", pictures)
    assert (pictures / "sub/0.png").is_file()


def ten_answers(folder: Path, pictures: Path) -> list[str]:
    """VQAv2's own files: ids are numbers and pictures have COCO's names."""
    coco = pictures / "COCO_train2014_000000000007.png"
    (pictures / "sub/1.png").rename(coco)
    questions = [{"question_id": n, "image_id": 7, "question": f"What {n}?"} for n in (70, 71, 72)]
    (folder / "q.json").write_text(json.dumps({"data_subtype": "train2014", "questions": questions}))
    answers = [{"answer": text, "answer_id": at, "answer_confidence": "yes"} for at, text in enumerate(TEN)]
    items = [
        {"question_id": 70, "image_id": 7, "multiple_choice_answer": "red", "answers": answers},
        {"question_id": 71, "image_id": 7, "multiple_choice_answer": "none", "answers": answers[:3] + answers[7:]},
        {"question_id": 99, "image_id": 7, "answers": answers},
    ]
    (folder / "a.json").write_text(json.dumps({"annotations": items}))
    return [str(folder / "q.json"), str(folder / "a.json")]


def test_of_ten_answers_the_commonest_is_trained_on_and_all_are_there_to_score_with(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunDir(tmp_path / "run")
    data = ten_answers(tmp_path, pictures)
    arguments = [
        "--data",
        *data,
        "--images",
        str(pictures),
        "--data-dir",
        str(tmp_path / "out"),
        "--run",
        str(run.root),
    ]
    main([*arguments, "--val-fraction", "0", "--export", "vqav2", "--export-to", str(tmp_path / "given")])
    assert read_annotations(tmp_path / "given/train_annotations.json") == {"70": TEN, "71": TEN[:3] + TEN[7:]}
    rows = read_examples(run.train)
    assert [(row.question_id, row.image_id, row.answer) for row in rows] == [("70", "7", "red"), ("71", "7", "none")]
    assert rows[0].image == "image/linked/COCO_train2014_000000000007.png"
    shown = capsys.readouterr().out
    assert (
        "warning: left out, kept in left_out.json: annotations of questions that are in no questions file: 1" in shown
    )
    assert "warning: left out, kept in left_out.json: training questions without an answer: 1 (72)" in shown
    kept = json.loads((tmp_path / "out/left_out.json").read_text())
    assert [case["record"]["question_id"] for case in kept] == ["99", "72"]
    with PredictionLog.open(run.predictions("train"), meta={}) as log:
        log.append([Prediction(name, "blue", "blue", 1.0) for name in ("70", "71")])
    score.main(["--run", str(run.root), "--split", "train", "--metric", "vqa_official_2021"])
    score.main(["--run", str(run.root), "--split", "train"])
    shown = capsys.readouterr().out
    assert "vqa_official_2021: 0.8667" in shown  # 0.9 for three of ten, 5/6 for three of six
    assert "exact match: 0.0000" in shown  # against the training answer


def test_train_and_test_may_come_from_different_files_and_folders(pictures: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (8, 8), "white").save(other / "9.png")
    write_conversations(tmp_path / "output.json", [Example("T", "0", "sub/0.png", "Q", "A")])
    (tmp_path / "test.jsonl").write_text('{"id": "X", "image": "9.png", "text": "Q"}\n')
    write_conversations(tmp_path / "known.json", [Example("Y", "9", "9.png", "Q", "NA")])
    asked = [str(tmp_path / "test.jsonl"), str(tmp_path / "known.json")]
    folder = import_data(Sources([str(tmp_path / "output.json")], asked, pictures, other), tmp_path / "out")
    read = read_competition(folder)
    assert read.train == [Example("T", "0", "image/linked/sub/0.png", "Q", "A")]
    assert read.test == [
        Example("X", "9.png", "image/linked-test/9.png", "Q"),
        Example("Y", "9", "image/linked-test/9.png", "Q"),
    ]
    assert (folder / "solution.csv").read_text() == '"ID","answer"\n"Y","NA"\n'


def test_the_same_sources_are_imported_once_and_a_folder_of_others_is_left_alone(
    pictures: Path, tmp_path: Path
) -> None:
    source = tmp_path / "output.json"
    write_conversations(source, [Example("T", "0", "sub/0.png", "Q", "A")])
    out = import_data(Sources([str(source)], images=pictures), tmp_path / "out")
    (out / "train.csv").touch()
    before = (out / "train.csv").stat()
    assert import_data(Sources([str(source)], images=pictures), out) == out
    assert (out / "train.csv").stat() == before
    write_conversations(tmp_path / "other.json", [Example("T", "0", "sub/0.png", "Q", "A")])
    for other, folder in ((tmp_path / "other.json", out), (source, pictures)):
        with pytest.raises(InputError, match="was made from other sources"):
            import_data(Sources([str(other)], images=pictures), folder)


def test_sources_that_changed_are_imported_again_but_never_over_changes_made_by_hand(
    pictures: Path, tmp_path: Path
) -> None:
    source, out = tmp_path / "output.json", tmp_path / "out"
    for name in ("T", "Another"):
        write_conversations(source, [Example(name, "0", "sub/0.png", "Q", "A")])
        import_data(Sources([str(source)], images=pictures), out)
        assert [row.question_id for row in read_competition(out).train] == [name]
    write_conversations(source, [Example("The third", "0", "sub/0.png", "Q", "A")])
    for changed in (out / "train.csv", out / "solution.csv", out / "image/mine.png"):
        before = changed.read_bytes() if changed.exists() else None
        changed.write_bytes((before or b"") + b"mine")
        with pytest.raises(InputError, match=r"was changed by hand.*--data .*move it away"):
            import_data(Sources([str(source)], images=pictures), out)
        changed.write_bytes(before) if before else changed.unlink()
    import_data(Sources([str(source)], images=pictures), out)
    assert [row.question_id for row in read_competition(out).train] == ["The third"]
    assert (pictures / "sub/0.png").is_file()


def test_a_source_json_of_someone_elses_is_no_import(pictures: Path, tmp_path: Path) -> None:
    (pictures / "source.json").write_text('{"camera": "mine"}')
    (pictures / "train.csv").write_text("key,image_id,question,answer\n1,sub/0.png,Q,A\n")
    assert read_competition(pictures, ColumnMap("key")).train[0].question_id == "1"
    with pytest.raises(InputError, match="was made from other sources"):
        import_data(Sources([str(tmp_path / "output.json")], images=pictures), pictures)


def test_only_what_is_no_competition_folder_is_imported(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "competition"
    folder.mkdir()
    (folder / "train.csv").write_text("ID,image_id,question,answer\n")
    (folder / "notes.json").write_text("[]")
    (folder / "cache.parquet").touch()
    assert not is_foreign(str(folder))
    assert not is_foreign("open.zip")
    assert not is_foreign("easy-vqa")
    assert is_foreign("hub:org/name")
    write_conversations(tmp_path / "output.json", [Example("T", "0", "sub/0.png", "Q", "A")])
    assert is_foreign(str(tmp_path / "output.json"))
    out = data_folder(str(tmp_path / "output.json"), tmp_path / "out", images=pictures, to_answer=True)
    assert [row.question_id for row in read_competition(out, required=("test",)).test] == ["T"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{}", "a.json: no question found"),
        ("a.json", '{"annotations": [{"question_id": 1, "answers": ["a"]}]}', "has answers but no questions"),
        ("a.json", '{"questions": [{"question_id": 1}]}', "their keys are 'question_id'"),
        ("a.json", '[{"id": "0"}]', '1 of 1 records have no .image., .question., .answer.'),
        ("a.jsonl", '{"question_id": "0", "text": "Q"}\n', "Pass it with --test-data"),
        ("a.json", "[]", "a.json: no question found"),
        ("a.jsonl", "", "a.jsonl: no question found"),
        ("a.json", '[{"id": "0", "image": "gone/b.png", "conversations": '
         '[{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}]', "('gone/b.png').*--images"),
        ("a.json", '[{"id": "\\ud800", "image": "a.json", "conversations": '
         '[{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}]', "half a character"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_place_and_nothing_is_written(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        import_data(Sources([str(tmp_path / name)]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_data_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--run", str(tmp_path / "run")])
