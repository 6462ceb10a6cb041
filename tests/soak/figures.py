"""The figures of kills, faults and bad pictures as tables."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.soak.disk import KINDS, LIMITED
from tests.soak.faults import CaseFigures
from tests.soak.kills import Subject, Tally
from vqa_core.benchmarks.machine import describe_machine
from vqa_core.benchmarks.report import Report, Table


def report_kills(tallies: Sequence[tuple[Subject, Tally]], settings: dict[str, object]) -> Report:
    """One row per command, and one table of how far the killed lives had come."""
    head = ["command", "kills", "drawn from the clock", "rounds", "lost", "other bytes or files", "minutes"]
    rows: Table = [head]
    phases: Table = []
    lines = []
    for subject, tally in tallies:
        minutes = f"{tally.seconds / 60:.1f}"
        counts = [tally.kills, tally.by_clock, tally.rounds, tally.lost, len(tally.problems)]
        rows.append([f"`{tally.command}`", *map(str, counts), minutes])
        shown = [str(tally.phases[phase]) for phase in subject.phases]
        phases += [[f"`{tally.command}` killed while", *subject.phases], ["", *shown]]
        lines.append(
            f"{tally.command}: {tally.kills} kills, {tally.lost} of {tally.acknowledged} {tally.unit} lost, "
            f"{len(tally.problems)} differences after {tally.rounds} rounds."
        )
        lines += [f"WRONG: {problem}" for problem in tally.problems]
    tables = [rows, *([header, row] for header, row in zip(phases[::2], phases[1::2], strict=True))]
    numbers = {
        tally.command: {"kills": tally.kills, "lost": tally.lost, "problems": len(tally.problems)}
        for _, tally in tallies
    }
    return Report("kills", describe_machine(), settings, numbers, tables, lines)


def report_faults(found: Sequence[CaseFigures], settings: dict[str, object], seconds: float) -> Report:
    """One row per case."""
    kinds = [*KINDS, LIMITED]
    rows: Table = [["what is written", "calls", *kinds, "half, lost or left over"]]
    total: Counter[str] = Counter()
    for case in found:
        total += case.points
        points = [str(case.points[kind]) for kind in kinds]
        rows.append([case.name, str(case.calls), *points, str(len(case.problems))])
    wrong = [f"{case.name}: {problem}" for case in found for problem in case.problems]
    lines = [f"{total.total()} faults in {len(found)} cases, {len(wrong)} with a wrong end, in {seconds:.0f} s."]
    numbers = {"faults": total.total(), "cases": len(found), "wrong": len(wrong)}
    return Report("faults", describe_machine(), settings, numbers, [rows], lines + [f"WRONG: {line}" for line in wrong])


def report_pictures(found: dict[str, Any], settings: dict[str, object]) -> Report:
    """One row: how the questions about bad pictures ended, and what they cost the others."""
    statuses: Counter[str] = found["statuses"]
    names = sorted(statuses, key=lambda name: -statuses[name])
    megabytes = found["bytes"] / (1 << 20)
    rows: Table = [
        ["bad pictures", *(f"`{name}`" for name in names), "other questions", "of them changed", "MB more", "seconds"],
        [
            str(statuses.total()),
            *(str(statuses[name]) for name in names),
            str(found["others"]),
            str(found["changed"]),
            f"{megabytes:.0f}",
            f"{found['seconds']:.0f}",
        ],
    ]
    lines = [
        f"{statuses.total()} mutated and extreme pictures in one predict: {found['changed']} of {found['others']} "
        f"answers about other pictures changed, and the process grew by {megabytes:.0f} MB with the model in it."
    ]
    if found["changed"] or set(statuses) & {"error", "oom"}:
        lines.append(f"WRONG: {found['changed']} other answers changed; statuses {dict(statuses)}.")
    return Report("pictures", describe_machine(), settings, dict(found), [rows], lines)
