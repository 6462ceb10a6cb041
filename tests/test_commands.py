"""What the commands share: errors are sentences, exit codes say which, a log goes to terminal and run."""

import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from vqa_core import ROOT
from vqa_core.commands import log_to, logger, parser_for, run_command
from vqa_core.files import InputError
from vqa_core.runs.run_dir import RunDir

COMMANDS = sorted(
    f"{path.parent.name}.{path.stem}" for folder in ("train", "eval") for path in (ROOT / folder).glob("[a-z]*.py")
)


@pytest.fixture(autouse=True)
def logger_as_before() -> Iterator[None]:
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    for handler in logger.handlers:
        handler.close()
    logger.handlers[:], logger.level, logger.propagate = before[0], before[1], before[2]


def test_wrong_input_is_one_sentence_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def main(_argv: Sequence[str] | None) -> None:
        raise InputError("train.csv has no column 'ID'.")

    with pytest.raises(SystemExit) as exit:
        run_command(main)
    assert exit.value.code == 2
    assert capsys.readouterr().err == "error: train.csv has no column 'ID'.\n"


def test_ctrl_c_is_exit_code_130_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def main(_argv: Sequence[str] | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as exit:
        run_command(main)
    assert exit.value.code == 130
    assert capsys.readouterr().err == "stopped.\n"


def test_a_fault_of_our_own_keeps_its_traceback() -> None:
    def main(_argv: Sequence[str] | None) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(main)


def test_a_flag_must_be_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    parser = parser_for("toy", "Do a thing.")
    assert parser.parse_args(["--run", "runs/a", "--config", "b.json"]).config == Path("b.json")
    with pytest.raises(SystemExit):
        parser.parse_args(["--run", "runs/a", "--conf", "b.json"])
    assert "unrecognized arguments: --conf" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parser_for("toy", "Do a thing.", config=False).parse_args(["--run", "runs/a", "--config", "b.json"])


def test_the_log_goes_to_the_terminal_as_it_is_and_to_the_run_with_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunDir(tmp_path / "run")
    for text in ("first", "예"):
        log_to(run.log)
        logger.info(text)
        logging.getLogger("vqa").debug("not shown")
    assert capsys.readouterr().err == "first\n예\n"
    first, second = run.log.read_text(encoding="utf-8").splitlines()
    assert first.endswith(" INFO first")
    assert second.endswith(" INFO 예")
    assert first[:4].isdigit()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_comes_without_torch(command: str) -> None:
    ask = f"import runpy, sys; sys.argv[1:] = ['--help']\ntry: runpy.run_module({command!r}, run_name='__main__')\n"
    ask += "finally: assert 'torch' not in sys.modules, 'torch'"
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: python -m {command} ")
