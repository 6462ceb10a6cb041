"""Prove what survives what: kills at random moments, a fault at every write, hundreds of damaged pictures.

`--write docs/reliability.md` puts the figures into the docs. The exit code is 1 if anything was lost, or half, or other
than without a disturbance.
"""

import argparse
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.soak.faults import inject
from tests.soak.figures import report_faults, report_kills, report_pictures
from tests.soak.kills import Command, Forked, Launch, Subject, Tally, disturb
from vqa_core.benchmarks.report import Report, around_section, write_section
from vqa_core.commands import run_command
from vqa_core.files import check_new

EVERY = 5  # kills between two lines of progress


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="proof", required=True, metavar="{kills,faults,pictures}")
    kills = commands.add_parser("kills", help="SIGKILL at random moments", allow_abbrev=False)
    kills.add_argument("--predict", type=int, default=100, metavar="N", help="kills of eval.predict (default 100)")
    kills.add_argument("--train", type=int, default=30, metavar="N", help="kills of train.finetune (default 30)")
    kills.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the moments (default 0)")
    kills.add_argument("--forked", action="store_true", help="fork the commands from a process that has imported them")
    faults = commands.add_parser("faults", help="a fault at every write", allow_abbrev=False)
    faults.add_argument("--case", default="", metavar="TEXT", help="only the cases whose name contains this")
    pictures = commands.add_parser("pictures", help="mutated and extreme pictures", allow_abbrev=False)
    pictures.add_argument("--pictures", type=int, default=500, metavar="N", help="how many (default 500)")
    for command in (kills, faults, pictures):
        command.add_argument("--write", type=Path, metavar="FILE", help="docs/reliability.md, to put the figures into")
        command.add_argument(
            "--keep", type=Path, metavar="DIR", help="folder to work in, which stays (default: a new one)"
        )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    if args.write:
        around_section(args.write, args.proof)  # fail now rather than after minutes
    if args.keep:
        check_new(args.keep)
    folder = args.keep or Path(tempfile.mkdtemp(prefix="soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    report = PROOFS[args.proof](args, folder)
    print(report.text())
    if args.write:
        words = sys.argv[1:] if argv is None else argv
        write_section(args.write, args.proof, report.markdown(shlex.join(["python", "-m", "tests.soak", *words])))
    if any(line.startswith("WRONG") for line in report.lines):
        print(f"What was wrong is left in {folder}.")
        raise SystemExit(1)
    if not args.keep:
        shutil.rmtree(folder)


def kill_all(args: argparse.Namespace, folder: Path) -> Report:
    from tests.soak.subjects import Predicting, Training  # torch

    subjects: list[tuple[Subject, int, int]] = []
    if args.predict:
        subjects.append((Predicting(folder / "predicting"), args.predict, 10))
    if args.train:  # a forked process has no workers of its own
        subjects.append((Training(folder / "training", workers=0 if args.forked else 2), args.train, 5))
    kill = partial(_kill, folder=folder, seed=args.seed, launch=Forked if args.forked else Command)
    with ThreadPoolExecutor(len(subjects)) as pool:  # side by side: most of a life is the import of torch
        tallies = list(pool.map(lambda subject: kill(*subject), subjects))
    return report_kills([(subject, tally) for (subject, _, _), tally in zip(subjects, tallies)], {"seed": args.seed})


def _kill(subject: Subject, kills: int, most: int, *, folder: Path, seed: int, launch: Launch) -> Tally:
    """Kill one subject, and say how far it has come."""
    tally, told = Tally(subject.command, subject.unit), 0
    for tally in disturb(subject, folder / subject.command, kills, seed=seed, launch=launch, most=most):
        if tally.kills > told and (tally.kills % EVERY == 0 or tally.kills == kills):
            told = tally.kills
            left = (kills - tally.kills) * tally.seconds / tally.kills / 60
            print(
                f"{subject.command}: {tally.kills} of {kills} kills, {tally.lost} {tally.unit} lost, "
                f"{len(tally.problems)} problems, {left:.1f} min left",
                flush=True,
            )
    return tally


def fail_all(args: argparse.Namespace, folder: Path) -> Report:
    from tests.soak.writes import STAGES

    started, found = time.monotonic(), []
    for cases in (*STAGES.values(), None):
        if cases is None:
            from tests.soak.learning import LEARNING as cases  # torch, without which a process forks ten times as fast

        for case in cases:
            if args.case not in case.name:
                continue
            found.append(inject(case, folder / f"case-{len(found)}"))
            points, wrong, past = found[-1].points.total(), len(found[-1].problems), time.monotonic() - started
            print(f"{case.name}: {points} faults, {wrong} wrong, {past:.0f} s", flush=True)
    return report_faults(found, {}, time.monotonic() - started)


def ask_all(args: argparse.Namespace, folder: Path) -> Report:
    from tests.soak.pictures import predict_bad_pictures  # torch

    return report_pictures(predict_bad_pictures(folder, args.pictures), {"pictures": args.pictures})


PROOFS: dict[str, Callable[[argparse.Namespace, Path], Report]] = {
    "kills": kill_all,
    "faults": fail_all,
    "pictures": ask_all,
}


if __name__ == "__main__":
    run_command(main)
