import argparse
import json
from pathlib import Path

import pytest

from vqa_core.data.references import add_reference_arguments, read_annotations, read_solution, references_of
from vqa_core.files import InputError
from vqa_core.runs.examples import ColumnMap
from vqa_core.runs.run_dir import RunDir


def test_answers_of_a_solution_are_kept_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "solution.csv"
    path.write_text('ID,answer\n001,none\n1,\n2,NA\n3,"a,b"\n4,007\n', encoding="utf-8-sig")
    assert read_solution(path) == {"001": ["none"], "2": ["NA"], "3": ["a,b"], "4": ["007"]}


def test_a_blank_field_of_a_solution_is_no_answer_nor_is_a_row_that_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "solution.csv"
    path.write_text(
        'ID,answer,Usage\n1,,Public\n2," ",Private\n3,"",Public\n4,no,Private\n5,yes,Ignored\n6,NA,Public\n'
    )
    assert read_solution(path) == {"4": ["no"], "6": ["NA"]}
    path.write_text("ID,answer\n1,\n2,\n")
    with pytest.raises(InputError, match=r"has no answer: the column 'answer' is blank.*all 2 rows.*--answer-column"):
        read_solution(path)


def test_a_solution_with_an_id_twice_or_without_the_column_of_a_flag_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "solution.csv"
    path.write_text("ID,answer\n1,a\n2,b\n1,c\n")
    with pytest.raises(InputError, match="1 ids occur more than once: '1'"):
        read_solution(path)
    with pytest.raises(InputError, match=r"no column 'label'.*'ID', 'answer'.*--answer-column"):
        read_solution(path, ColumnMap(answer="label"), ["answer"])
    path.write_text("ID,answer\n1,a\n")
    assert read_solution(path, ColumnMap(answer="label")) == {"1": ["a"]}  # the run's name, which train.csv has


def test_numbers_in_annotations_become_text_as_in_the_data(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    items = [{"question_id": 7.0, "answers": [2.0, {"answer": 3.0}]}, {"question_id": 8, "answers": [True, "2.0"]}]
    path.write_text(json.dumps({"annotations": items}))
    assert read_annotations(path) == {"7": ["2", "3"], "8": ["true", "2.0"]}


def test_vqa_annotations_are_read_with_ids_as_text(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    answers = [{"answer": "yes", "answer_id": 1}, {"answer": "no", "answer_id": 2}]
    path.write_text(
        json.dumps({"annotations": [{"question_id": 7, "answers": answers}, {"question_id": "8", "answers": ["a"]}]})
    )
    assert read_annotations(path) == {"7": ["yes", "no"], "8": ["a"]}


def test_a_question_whose_annotated_answers_are_all_blank_has_none(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(
        json.dumps(
            {"annotations": [{"question_id": 1, "answers": ["", " "]}, {"question_id": 2, "answers": ["", "a"]}]}
        )
    )
    assert read_annotations(path) == {"1": [], "2": ["", "a"]}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([], "no list under"),
        ({"annotations": [{"question_id": 1}]}, "annotation 0: expected a question_id and a list"),
        ({"annotations": [{"question_id": 1, "answers": [None]}]}, "annotation 0"),
        ({"annotations": [{"question_id": 1, "answers": []}] * 2}, "'1' occurs more than once"),
    ],
)
def test_a_malformed_annotation_file_is_named_with_the_place(content: object, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=problem):
        read_annotations(path)


def test_columns_come_from_the_flag_else_from_the_runs_config(tmp_path: Path) -> None:
    path = tmp_path / "solution.csv"
    path.write_text("qid,label,second\n1,a,b\n")
    run = RunDir(tmp_path / "run")
    run.write_section("data", {"question_id_column": "qid", "answer_column": "label"})
    parser = argparse.ArgumentParser()
    add_reference_arguments(parser)
    assert references_of(run, parser.parse_args([])) is None
    assert references_of(run, parser.parse_args(["--answers", str(path)])) == {"1": ["a"]}
    assert references_of(run, parser.parse_args(["--answers", str(path), "--answer-column", "second"])) == {"1": ["b"]}
