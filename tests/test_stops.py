"""Stop signals: raised, deferred, heeded; and whose they are."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from vqa_core.stops import STOP_SIGNALS, Stopped, Stops


def ask(number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_raises_the_code_that_shells_give(number: signal.Signals, code: int) -> None:
    with Stops() as stops, pytest.raises(Stopped) as raised:
        ask(number)
    assert raised.value.code == code
    assert stops.asked == number


def test_handlers_are_put_back_when_the_outermost_is_left() -> None:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with Stops() as stops:
        with stops:
            pass
        assert signal.getsignal(signal.SIGTERM) == stops._handle
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_deferred_it_only_asks() -> None:
    with Stops() as stops:
        with stops.deferred():
            ask()
            assert stops.asked == signal.SIGTERM
        with pytest.raises(Stopped):
            stops.check()


def test_what_heeds_is_cut_short_and_gives_nothing() -> None:
    reached = []
    with Stops() as stops, stops.deferred():
        assert stops.heeding(lambda: 7) == 7
        assert stops.heeding(lambda: (ask(), reached.append(1))) is None
        assert not reached
        assert stops.heeding(lambda: 7) is None, "it was asked before"


def test_what_takes_it_for_an_error_of_its_own_is_cut_short_all_the_same() -> None:
    def swallow() -> int:
        try:
            ask()
        except BaseException:
            return 1
        return 2

    with Stops() as stops, stops.deferred():
        assert stops.heeding(swallow) is None


def test_it_is_raised_once_so_that_what_cleans_up_is_not_disturbed() -> None:
    cleaned = []

    def clean_up() -> None:
        try:
            ask()
        finally:
            ask()
            cleaned.append(1)

    with Stops(), pytest.raises(Stopped):
        clean_up()
    assert cleaned


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stops() as stops:
            ask(signal.SIGHUP)
        assert stops.asked is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_change_no_handlers() -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            with Stops() as stops:
                assert stops.heeding(lambda: 3) == 3
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not failed


@pytest.mark.slow(seconds=2)
def test_a_second_one_ends_a_process_that_does_not_listen() -> None:
    """The main thread is in one long call, as in a library that hangs."""
    code = (
        "import threading, time; from vqa_core.stops import Stops; stops = Stops(); stops.__enter__()\n"
        "with stops.deferred('saving'): print('here', flush=True); list(iter(lambda: time.sleep(0.1), 1))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
