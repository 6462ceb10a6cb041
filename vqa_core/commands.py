"""What all commands share: the flags `--run` and `--config`, the run's log, errors printed as sentences."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from vqa_core.files import InputError
from vqa_core.processes import is_first_process

logger = logging.getLogger("vqa")


def parser_for(command: str, description: str, *, config: bool = True) -> argparse.ArgumentParser:
    """A parser with `--run` and, if `config`, `--config`."""
    parser = argparse.ArgumentParser(prog=f"python -m {command}", description=description, allow_abbrev=False)
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="folder of the run, such as runs/mine")
    if config:
        parser.add_argument("--config", type=Path, metavar="FILE", help="JSON file of settings; flags override it")
    return parser


def log_to(path: Path) -> None:
    """Send the `vqa` logger to the terminal and, with times, to a file, such as a run's log.txt.

    Traces of errors, after which a command goes on, are for the file alone. Under torchrun, every process but the first
    logs errors only.
    """
    logger.setLevel(logging.INFO if is_first_process() else logging.ERROR)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(_Message())
    path.parent.mkdir(parents=True, exist_ok=True)
    file = logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(terminal)
    logger.addHandler(file)


class _Message(logging.Formatter):
    """What is said, without a trace."""

    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage()


def run_command(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> None:
    """Run a command's `main`: an InputError prints one sentence and exits with 2, Ctrl-C exits with 130."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # read when transformers is imported
    try:
        main(argv)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        raise SystemExit(130) from None
