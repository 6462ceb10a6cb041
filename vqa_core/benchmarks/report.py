"""Report: the results of a benchmark as JSON, as text for a terminal, and as a section of docs/benchmarks.md."""

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vqa_core.benchmarks.timing import Rounds, Spread
from vqa_core.files import InputError, write_atomically
from vqa_core.tabulate import tabulate

Table = list[list[str]]


@dataclass(slots=True)
class Report:
    """The results of a benchmark so far.

    Each of `tables` has a header row; `lines` are the findings, one sentence each; `numbers` is for programs.
    """

    benchmark: str
    machine: dict[str, str]
    settings: dict[str, Any]
    numbers: dict[str, Any] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-ready values."""
        return asdict(self)

    def text(self) -> str:
        """The report as text for a terminal."""
        machine = "\n".join(f"{name}: {value}" for name, value in self.machine.items())
        return "\n\n".join([machine, *map(tabulate, self.tables), "\n".join(self.lines)])

    def markdown(self, command: str) -> str:
        """The report as Markdown for the docs."""
        machine = "; ".join(f"{name} {value}" for name, value in self.machine.items())
        findings = "\n".join(f"- {line}" for line in self.lines)
        return "\n\n".join([f"```\n{command}\n```", *map(_markdown, self.tables), findings, f"Measured on: {machine}."])


def _markdown(table: Table) -> str:
    header, *rows = table
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def write_section(path: Path, name: str, text: str) -> None:
    """Put `text` between the markers `<!-- name -->` and `<!-- end of name -->` of a file; the rest stays.

    Raises InputError if the file or the markers are missing.
    """
    before, after = around_section(path, name)
    write_atomically(path, before + text.strip() + "\n" + after)


def around_section(path: Path, name: str) -> tuple[str, str]:
    """The text before and after a section, including the markers. Raises InputError as `write_section` does."""
    if not path.is_file():
        raise InputError(f"--write {path} does not exist; name docs/benchmarks.md.")
    text = path.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    parts = re.split(f"({re.escape(start)}\n|{re.escape(end)})", text)
    if parts[1::2] != [f"{start}\n", end]:
        raise InputError(f"{path} has no section between the lines {start} and {end}; name docs/benchmarks.md.")
    return "".join(parts[:2]), "".join(parts[3:])


def share(part: float) -> str:
    """0.4567 -> `46 %`."""
    return f"{100 * part:.0f} %"


def arm_figures(seconds: list[float], questions: int, flops: float, matmul_flops: float, **work: int) -> dict[str, Any]:
    """The figures of one arm; `work` holds its counters: encodes, tokens, padding, head_rows."""
    spread = Spread.of(seconds)
    return {
        "seconds": seconds,
        "spread": asdict(spread),
        "questions_per_second": questions / spread.median,
        "flops": flops,
        "share_of_matmul": flops / spread.median / matmul_flops,
        **work,
    }


def comparison(first: str, arms: dict[str, Any], tokens_ratio: float) -> dict[str, Any]:
    """The figures of interleaved arms: how many times as fast the first is as each of the others, round by round."""
    seconds = Rounds({name: arm["seconds"] for name, arm in arms.items()})
    over = {name: asdict(Spread.of(seconds.ratios(first, over=name))) for name in arms if name != first}
    return {"arms": arms, "first": first, "over": over, "tokens_ratio": tokens_ratio}


def comparison_tables(found: dict[str, Any]) -> list[Table]:
    """A table with one row per arm, and one with one row per ratio."""
    mean = f"{found['questions_per_image']:g} questions/image"
    work = ("encodes", "tokens", "padding", "head_rows")
    names = [name.replace("_", " ") for name in work]
    arms = [[mean, "questions/s", "median s", "min s", "IQR s", *names, "of matmul rate"]]
    for name, arm in found["arms"].items():
        counts = [f"{arm[what]:,}" for what in work]
        rate = f"{arm['questions_per_second']:.2f}"
        arms.append([name, rate, *_cells(arm["spread"]), *counts, share(arm["share_of_matmul"])])
    ratios = [[mean, "median", "min", "IQR", "by tokens alone"]]
    for name, spread in found["over"].items():
        ratios.append([f"{found['first']} over {name}", *_cells(spread, "x"), f"{found['tokens_ratio']:.2f}x"])
    return [arms, ratios]


def comparison_lines(found: dict[str, Any]) -> list[str]:
    """One line per ratio: `shared over naive: 3.62x (3.4 questions/image)`."""
    mean = f"{found['questions_per_image']:g} questions/image"
    return [f"{found['first']} over {name}: {spread['median']:.2f}x ({mean})" for name, spread in found["over"].items()]


def _cells(spread: dict[str, Any], unit: str = "") -> list[str]:
    low, high = spread["quartiles"]
    return [f"{spread['median']:.2f}{unit}", f"{spread['least']:.2f}{unit}", f"{low:.2f}-{high:.2f}{unit}"]
