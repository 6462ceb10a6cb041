"""What all commands share: the flags `--run` and `--config`, the run's log, errors printed as sentences."""

import argparse
import contextlib
import errno
import io
import logging
import os
import select
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from vqa_core.errors import InputError
from vqa_core.places import explain
from vqa_core.processes import is_first_process
from vqa_core.space import disk_error, said_of_drive

logger = logging.getLogger("vqa")

INTERRUPTED, READER_GONE = 130, 141  # exit codes, as of a process that SIGINT or SIGPIPE has ended


def parser_for(command: str, description: str, *, config: bool = True) -> argparse.ArgumentParser:
    """A parser with `--run` and, if `config`, `--config`."""
    parser = argparse.ArgumentParser(prog=f"python -m {command}", description=description, allow_abbrev=False)
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="folder of the run, such as runs/mine")
    if config:
        parser.add_argument("--config", type=Path, metavar="FILE", help="JSON file of settings; flags override it")
    return parser


def shell_word(path: Path | str) -> str:
    """A path as one types it in a shell: in quotes where it needs them, and never taken for a flag."""
    text = f"./{path}" if str(path).startswith("-") else str(path)
    if sys.platform == "win32":
        return subprocess.list2cmdline([text])
    plain = text.replace("#", "") if text[:1] != "#" else text  # within a word it is no comment: data#validation
    return text if plain and shlex.quote(plain) == plain else shlex.quote(text)


def log_to(path: Path) -> None:
    """Send the `vqa` logger to the terminal and, with times, to a file, such as a run's log.txt.

    Under torchrun, every process but the first logs errors only.
    """
    logger.setLevel(logging.INFO if is_first_process() else logging.ERROR)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(terminal)
    logger.addHandler(file)


class _LogFile(logging.FileHandler):
    """Goes silent, with one line on the terminal, when its drive is full: a log is no reason to end the work."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        logger.removeHandler(self)
        logger.warning("%s The command goes on without its log.", disk_error(Path(self.baseFilename), error))


def print_anything() -> None:
    r"""Let a character that the terminal's encoding lacks, such as an emoji in cp949, be printed as `\U0001f600`.

    Otherwise it would end the command with a UnicodeEncodeError.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def run_command(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> None:
    """Run a command's `main`: an InputError, or an error of a drive, prints one sentence and exits with 2.

    Ctrl-C exits with 130. Where nobody reads its output any more, as behind `| head`, it ends without a word.
    """
    print_anything()
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # read when transformers is imported
    ended: SystemExit | None = None
    try:
        main(argv)
    except SystemExit as error:
        ended = error
    except InputError as error:
        ended = _fail(error)
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        ended = SystemExit(INTERRUPTED)
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        ended = SystemExit(READER_GONE)
    except Exception as error:
        said = explain(error) or said_of_drive(error)
        if said is None:
            raise
        ended = _fail(said)
    flushed = _flush_output()
    ended = ended or flushed
    if ended is not None:
        raise ended from None


def _fail(error: InputError) -> SystemExit:
    print(f"error: {error}", file=sys.stderr)
    return SystemExit(2)


def _flush_output() -> SystemExit | None:
    """Write what was printed, and say how to end if that can't be done; Python would say so in a traceback."""
    try:
        sys.stdout.flush()
        return None
    except BrokenPipeError:
        ended = SystemExit(READER_GONE)
    except OSError as error:
        gone = sys.platform == "win32" and error.errno == errno.EINVAL  # what Windows calls a broken pipe
        ended = SystemExit(READER_GONE) if gone else _fail(disk_error(Path("The output"), error))
    with contextlib.suppress(OSError, ValueError):  # what is left goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ended


def _reader_is_gone() -> bool:
    """Whether it is our own output that nobody reads; the pipes of worker processes can break too."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (OSError, ValueError):
        return False
