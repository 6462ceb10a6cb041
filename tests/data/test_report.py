"""The DataReport: every fault in the data is reported with its number, its cases and its cost."""

import json
from pathlib import Path

import pytest

from vqa_core.data.competition import Competition
from vqa_core.data.findings import Finding, exact_match_ceiling, repeated_questions
from vqa_core.data.report import DataReport, examine, usable
from vqa_core.runs.examples import Example


def row(number: int, image_id: str = "a", question: str = "q", answer: str | None = "x", **fields: str) -> Example:
    values = {"question_id": str(number), "image_id": image_id, "image": f"image/{image_id}.png"} | fields
    return Example(question=question, answer=answer, **values)


def asked(number: int, image_id: str = "t", **fields: str) -> Example:
    return row(number, image_id, answer=None, **fields)


def report_on(
    train: list[Example], test: list[Example] | None = None, problems: dict[str, str] | None = None, **more: object
) -> DataReport:
    fields = {
        "encodings": {"train.csv": "utf-8", "test.csv": "utf-8"},
        "image_folders": {"train": "image/train", "test": "image/test"},
    } | more
    tests = [asked(0)] if test is None else test
    return examine(Competition(Path("/data"), train, tests, **fields), problems or {})  # type: ignore[arg-type]


def found(report: DataReport) -> dict[str, tuple[str, int]]:
    return {finding.code: (finding.severity, finding.count) for finding in report.findings}


def finding(report: DataReport, code: str) -> Finding:
    return next(one for one in report.findings if one.code == code)


def test_clean_data_has_no_findings() -> None:
    assert report_on([row(0), row(1, question="other"), row(2, "b")]).findings == ()


def test_facts_are_counted() -> None:
    train = [row(0), row(1, question="p", answer="red, white"), row(3, "c", image="")]
    train.append(row(2, "b", answer="none", image="image/b.JPG"))
    report = report_on(train, problems={"image/b.JPG": "is cut short"})
    facts = report.splits["train"]
    assert (facts["rows"], facts["images"], facts["found"], facts["missing"], facts["broken"]) == (4, 3, 2, 1, 1)
    assert facts["suffixes"] == {".png": 1, ".JPG": 1}
    assert facts["questions_per_image"] == {"mean": 4 / 3, "max": 2, "images": {"1": 2, "2": 1}}
    assert report.answers["top"] == {"x": 2, "red, white": 1, "none": 1}
    assert (report.answers["distinct"], report.answers["only_once"], report.answers["mean_words"]) == (3, 2, 1.25)
    assert (report.answers["words"], report.answers["longest_characters"]) == ({"1": 3, "2": 1}, 10)


def test_missing_and_broken_training_images_are_warnings_and_their_rows_unusable() -> None:
    train = [*(row(n, question=str(n)) for n in range(5)), row(5, "gone", image=""), row(6, "bad")]
    problems = {"image/bad.png": "is cut short"}
    report = report_on(train, problems=problems)
    assert found(report) == {"missing-train-images": ("warning", 1), "broken-train-images": ("warning", 1)}
    assert finding(report, "broken-train-images").examples == ("image/bad.png is cut short",)
    assert usable(train, problems) == train[:5]


@pytest.mark.parametrize(("good", "fatal"), [(3, False), (2, False), (1, True)])
def test_more_than_half_of_the_rows_without_image_is_an_error(good: int, fatal: bool) -> None:
    train = [*(row(n, question=str(n)) for n in range(good)), row(8, "gone", image=""), row(9, "bad")]
    report = report_on(train, problems={"image/bad.png": "is cut short"})
    assert ("most-images-missing" in found(report)) == fatal
    assert bool(report.errors) == fatal
    if fatal:
        assert "2 of 3 rows" in report.errors[0].message
        assert "/data/image/train" in report.errors[0].message


def test_missing_test_images_are_a_warning_however_many() -> None:
    report = report_on([row(0)], [asked(1, "t", image=""), asked(2, "u")], {"image/u.png": "is damaged"})
    assert found(report) == {"missing-test-images": ("warning", 1), "broken-test-images": ("warning", 1)}


def test_duplicate_and_empty_ids_are_errors_in_test_and_warnings_in_train() -> None:
    report = report_on(
        [row(0), row(0, question="p"), row(1, question="r", question_id="")],
        [asked(7), asked(7), asked(8), asked(9, question_id="")],
    )
    assert found(report) == {
        "empty-test-ids": ("error", 1),
        "duplicate-test-ids": ("error", 1),
        "empty-train-ids": ("warning", 1),
        "duplicate-train-ids": ("warning", 1),
    }
    assert finding(report, "duplicate-test-ids").examples == ("7",)
    assert finding(report, "empty-test-ids").examples == ("row 4",)


def test_two_files_for_one_image_id_are_an_error_that_lists_them() -> None:
    train = [row(0), row(1, question="p"), row(2, "b", image="")]
    report = report_on(train, ambiguous={"b": ["image/b.jpg", "image/b.png"]})
    assert found(report) == {"ambiguous-images": ("error", 1)}
    assert "image/b.jpg or image/b.png" in str(report.errors[0])


def test_conflicting_answers_bound_exact_match() -> None:
    train = [row(0), row(1), row(2, answer="y"), row(3, "b"), row(4, "b"), row(5, "c"), row(6, "a", question="Q")]
    report = report_on(train)
    assert found(report) == {"conflicting-answers": ("warning", 1), "repeated-questions": ("note", 1)}
    assert report.answers["exact_match_ceiling"] == pytest.approx(6 / 7)
    assert "85.71%" in finding(report, "conflicting-answers").message
    assert "'q' of image/a.png: 'x' / 'y'" in str(finding(report, "conflicting-answers"))


def test_the_ceiling_is_what_the_best_possible_answers_would_score() -> None:
    train = [row(n, image_id=str(n % 3), question=str(n % 2), answer=str(n * n % 5)) for n in range(60)]
    best: dict[tuple[str, str], dict[str | None, int]] = {}
    for one in train:
        best.setdefault((one.image, one.question), {}).setdefault(one.answer, 0)
        best[one.image, one.question][one.answer] += 1
    right = sum(max(answers.values()) for answers in best.values())
    assert exact_match_ceiling(repeated_questions(train), len(train)) == pytest.approx(right / 60)


def test_empty_texts_are_counted_and_rows_without_answer_left_out() -> None:
    train = [row(0), row(1, question=" "), row(2, "b", answer=""), row(3, "c", answer=" "), row(4, "d", answer=" x")]
    report = report_on(train)
    assert found(report) == {
        "empty-train-questions": ("warning", 1),
        "empty-answers": ("warning", 2),
        "spaces-round-answers": ("note", 1),
    }
    assert [one.question_id for one in usable(train, {})] == ["0", "1", "4"]


@pytest.mark.parametrize("answer", ["none", "None", "NA", "nan", "0", "001", "false"])
def test_answers_that_look_like_nothing_are_answers(answer: str) -> None:
    report = report_on([row(0, answer=answer)])
    assert report.findings == ()
    assert report.answers["top"] == {answer: 1}
    assert usable([row(0, answer=answer)], {})


def test_sample_submission_is_compared_with_test() -> None:
    report = report_on([row(0)], [asked(1), asked(2, "u")], sample_ids=["1", "3", "4"])
    assert found(report) == {"sample-ids-not-in-test": ("warning", 2), "test-ids-not-in-sample": ("warning", 1)}


def test_other_encodings_shared_images_and_a_missing_test_are_notes() -> None:
    report = report_on([row(0)], [asked(1, "a")], encodings={"train.csv": "cp949", "test.csv": "utf-8"})
    assert found(report) == {"encodings": ("note", 1), "shared-images": ("note", 1)}
    report = report_on([row(0)], [], encodings={"train.csv": "utf-8"}, image_folders={"train": "."})
    assert found(report) == {"no-test-csv": ("note", 1)}
    assert list(report.splits) == ["train"]


def test_a_table_without_rows_is_an_error_in_train() -> None:
    assert found(report_on([])) == {"no-train-rows": ("error", 1)}


def test_text_and_json_tell_the_same_findings_worst_first() -> None:
    train = [row(0), row(0, answer="y"), row(1, answer="y ")]
    report = report_on(train, [asked(7), asked(7)])
    assert [one.severity for one in report.findings] == ["error", "warning", "warning", "note"]
    back = json.loads(json.dumps(report.to_dict(), ensure_ascii=False))
    assert [one["code"] for one in back["findings"]] == [one.code for one in report.findings]
    lines = report.text().splitlines()
    assert [line.split(":")[0] for line in lines[-4:]] == [one.severity for one in report.findings]
    assert "rows" in report.text()
    assert "error: 1 id more than once in test.csv (7)." in lines


def test_a_finding_names_three_cases_and_says_that_there_are_more() -> None:
    report = report_on([row(0)], [asked(n // 2) for n in range(40)])
    assert str(report.errors[0]) == "20 ids more than once in test.csv (0, 1, 2, ...)"
    assert len(report.errors[0].examples) == 10
