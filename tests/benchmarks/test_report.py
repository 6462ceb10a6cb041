"""A report as text, as JSON and in the docs."""

import json
from pathlib import Path

import pytest

from vqa_core import ROOT
from vqa_core.benchmarks.report import (
    Report,
    arm_figures,
    comparison,
    comparison_lines,
    comparison_tables,
    write_section,
)
from vqa_core.files import InputError

DOCS = ROOT / "docs/benchmarks.md"
WORK = {"encodes": 2, "tokens": 1234, "padding": 5, "head_rows": 9}


def found() -> dict[str, object]:
    arms = {
        "shared": arm_figures([1.0, 2.0, 1.0], 10, flops=5e9, matmul_flops=1e10, **WORK),
        "naive": arm_figures([4.0, 6.0, 5.0], 10, flops=2e10, matmul_flops=1e10, **WORK),
    }
    return {"questions_per_image": 3.4} | comparison("shared", arms, 2.9)


def test_a_line_names_arms_and_ratio() -> None:
    assert comparison_lines(found()) == ["shared over naive: 4.00x (3.4 questions/image)"]


def test_tables_have_rates_spread_and_counters() -> None:
    arms, ratios = comparison_tables(found())
    assert arms[1] == ["shared", "10.00", "1.00", "1.00", "1.00-1.50", "2", "1,234", "5", "9", "50 %"]
    assert ratios[1] == ["shared over naive", "4.00x", "3.00x", "3.50-4.50x", "2.90x"]


def test_a_report_is_json_and_text() -> None:
    report = Report(
        "infer", {"processor": "two cores"}, {"rounds": 3}, {"seconds": 1.5}, [[["a", "b"], ["c", "1"]]], ["x: 2"]
    )
    assert json.loads(json.dumps(report.to_dict()))["numbers"] == {"seconds": 1.5}
    assert report.text() == "processor: two cores\n\na  b\nc  1\n\nx: 2"


def test_a_section_of_the_docs_holds_command_table_findings_and_machine() -> None:
    report = Report("infer", {"processor": "two cores", "date": "today"}, {}, {}, [[["a", "b"], ["c", "1"]]], ["x: 2"])
    assert report.markdown("python -m it") == (
        "```\npython -m it\n```\n\n| a | b |\n| --- | ---: |\n| c | 1 |\n\n- x: 2\n\n"
        "Measured on: processor two cores; date today."
    )


def test_writing_a_section_again_changes_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.md"
    path.write_text("head\n<!-- infer -->\nold\n<!-- end of infer -->\n<!-- gpu -->\nkept\n<!-- end of gpu -->\ntail\n")
    for text in ("first", "second\n\nand \\1 more"):
        write_section(path, "infer", text)
        assert path.read_text() == (
            f"head\n<!-- infer -->\n{text}\n<!-- end of infer -->\n<!-- gpu -->\nkept\n<!-- end of gpu -->\ntail\n"
        )


def test_the_docs_have_a_section_for_every_benchmark(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.md"
    path.write_text(DOCS.read_text(encoding="utf-8"), encoding="utf-8")
    for name in ("infer", "train", "prepare", "gpu"):
        write_section(path, name, f"measured {name}")
        assert f"\nmeasured {name}\n" in path.read_text(encoding="utf-8")


def test_a_file_without_the_section_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text("mine")
    with pytest.raises(InputError, match=r"no section between the lines <!-- infer --> and <!-- end of infer -->"):
        write_section(path, "infer", "text")
    assert path.read_text() == "mine"
    with pytest.raises(InputError, match="does not exist"):
        write_section(tmp_path / "none.md", "infer", "text")
