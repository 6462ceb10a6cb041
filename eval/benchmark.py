"""Measure how fast the workbench is, against the usual ways and against arithmetic.

python -m eval.benchmark infer      answering: shared, one by one, batched
python -m eval.benchmark peer       answering: shared, against LLaVA itself
python -m eval.benchmark train      training: packed by image, one question per row
python -m eval.benchmark prepare    a competition folder of Dacon's size
python -m eval.benchmark page       the page in a browser: paging, searching, asking, memory
python -m eval.benchmark recipe     accuracy of the Dacon team's recipe, and of changes to it
python -m eval.benchmark gpu        answering and training in the 7B shape on a CUDA device, in 8 minutes
"""

import argparse
import logging
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from pkgutil import resolve_name

from vqa_core.benchmarks.report import Report, around_section, write_section
from vqa_core.benchmarks.settings import (
    GpuBench,
    InferBench,
    PageBench,
    PeerBench,
    PrepareBench,
    RecipeBench,
    TrainBench,
)
from vqa_core.commands import logger, run_command
from vqa_core.files import write_json
from vqa_core.settings import Settings, add_arguments, resolve
from vqa_core.tabulate import tabulate

BENCHMARKS: dict[str, tuple[type[Settings], str]] = {
    "infer": (InferBench, "infer:bench_infer"),
    "peer": (PeerBench, "peer:bench_peer"),
    "train": (TrainBench, "train:bench_train"),
    "prepare": (PrepareBench, "prepare:bench_prepare"),
    "page": (PageBench, "page.page:bench_page"),
    "recipe": (RecipeBench, "recipe:bench_recipe"),
    "gpu": (GpuBench, "gpu.gpu:bench_gpu"),
}
"""Settings, and the function of `vqa_core.benchmarks` that takes them, which is imported late since it loads torch."""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m eval.benchmark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="benchmark", required=True, metavar=f"{{{','.join(BENCHMARKS)}}}")
    for name, (kind, _) in BENCHMARKS.items():
        command = commands.add_parser(name, description=(kind.__doc__ or "").strip(), allow_abbrev=False)
        command.add_argument("--out", type=Path, metavar="FILE", help="JSON file to write, updated with every result")
        command.add_argument("--write", type=Path, metavar="FILE", help="docs/benchmarks.md, to put the result into")
        add_arguments(command, kind)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    kind, function = BENCHMARKS[args.benchmark]
    settings = resolve(kind, {}, args)
    if args.write:
        around_section(args.write, args.benchmark)  # fail now rather than after minutes of measuring
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger.setLevel(logging.INFO)
    logged: list[str] = []
    run: Callable[[Settings], Iterator[Report]] = resolve_name(f"vqa_core.benchmarks.{function}")
    for report in run(settings):
        if args.out:
            write_json(args.out, report.to_dict())
        texts = [*map(tabulate, report.tables), *report.lines]
        for text in texts:
            if text not in logged:
                logger.info("%s", text)
        logged = texts
    print(report.text())
    if args.write:
        write_section(args.write, args.benchmark, report.markdown(_command(argv)))


def _command(argv: Sequence[str] | None) -> str:
    return shlex.join(["python", "-m", "eval.benchmark", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    run_command(main)
