"""What the commands share: errors are sentences, exit codes say which, a log goes to terminal and run."""

import errno
import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from pkgutil import resolve_name

import pytest

from vqa_core import ROOT
from vqa_core.commands import log_to, logger, parser_for, run_command, shell_word
from vqa_core.files import InputError
from vqa_core.runs.run_dir import RunDir
from vqa_core.space import said_of_drive

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


def drive_error(code: str, *names: str) -> OSError:
    return OSError(getattr(errno, code), os.strerror(getattr(errno, code)), *names)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (drive_error("ENOSPC"), "its drive is full"),
        (drive_error("EDQUOT", "runs/a/b"), "runs/a/b cannot be written: your quota"),
        (drive_error("EROFS", "runs/a/b"), "runs/a/b cannot be written: its drive is read-only"),
        (drive_error("EACCES", "runs/a/b"), "runs/a/b: permission denied"),
        (drive_error("ENAMETOOLONG", "runs/a/b"), "runs/a/b: the name is too long"),
        (drive_error("ENOTDIR", "runs/a/b"), "runs/a/b: a file or a broken link"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "its drive is full"),
    ],
)
def test_an_error_of_a_drive_is_one_sentence_and_exit_code_2(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(_argv: Sequence[str] | None) -> None:
        raise error

    with pytest.raises(SystemExit) as exit:
        run_command(main)
    assert exit.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert said in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize("command", ["train.prepare", "train.finetune", "eval.predict", "eval.score", "eval.submit"])
def test_a_run_whose_name_is_too_long_or_a_file_is_a_sentence(command: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    main = resolve_name(f"{command}:main")
    more = {"train.prepare": ["--data", "easy-vqa", "--data-dir", str(tmp_path / "data")]}.get(command, [])
    for name in ("a" * 256, "가" * 86, "file", "file/run"):
        with pytest.raises((InputError, OSError)) as caught:
            main(["--run", str(tmp_path / name), *more])
        assert isinstance(caught.value, InputError) or said_of_drive(caught.value), caught.value


PRINTING = """
import sys
from vqa_core.commands import run_command

def main(argv):
    for number in range(int(sys.argv[1])):
        print("line", number)

run_command(main)
"""


def run_printing(lines: int, output: int, unbuffered: str = "") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", PRINTING, str(lines)]
    variables = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    return subprocess.run(command, cwd=ROOT, env=variables, stdout=output, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("lines", [1, 100_000])
def test_output_that_nobody_reads_ends_a_command_without_a_word(lines: int, unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run_printing(lines, writer, unbuffered)
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize("lines", [1, 100_000])
def test_output_to_a_full_drive_is_a_sentence(lines: int) -> None:
    with open("/dev/full", "wb") as full:
        done = run_printing(lines, full.fileno())
    assert done.returncode == 2
    assert "its drive is full" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_pipe_that_is_not_the_outputs_keeps_its_traceback() -> None:
    def main(_argv: Sequence[str] | None) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        run_command(main)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_log_that_cannot_be_written_is_said_once_and_the_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.txt").symlink_to("/dev/full")
    log_to(tmp_path / "log.txt")
    for number in range(3):
        logger.info("line %d", number)
    shown = capsys.readouterr().err
    assert [f"line {number}" in shown for number in range(3)] == [True] * 3
    assert shown.count("its drive is full") == 1
    assert "Traceback" not in shown


@pytest.mark.skipif(sys.platform == "win32", reason="quotes of another shell")
@pytest.mark.parametrize(
    "name",
    [
        "runs/a",
        "my run",
        "it's",
        'say "a"',
        "한국 실행",
        "-x",
        "--run",
        "a#b",
        "#a",
        "#",
        "a\nb",
        "$HOME",
        "~a",
        "",
    ],
)
def test_a_path_in_a_command_is_one_word_of_the_shell_and_no_flag(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"printf %s {shell_word(name)}"], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.stdout in (name, f"./{name}")
    parsed = parser_for("toy", "Do a thing.").parse_args(["--run", *shlex.split(shell_word(name))])
    assert parsed.run == Path(name)
    assert shell_word("runs/a") == "runs/a"


def test_sentences_with_a_command_quote_the_run(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "my run's")
    with pytest.raises(InputError) as caught:
        run.read_config()
    command = str(caught.value).split("`")[1]
    assert shlex.split(command)[-1] == str(run.root)
