"""A process that keeps wandb or trackio away from a training: `python -m vqa_core.training.tracker_host NAME`.

Whatever they do happens here: a prompt for a password, a hang, an exit, a handler of their own. Each line of the
standard input is a call, {"call": "log", "args": [...], "kwargs": {...}}; a line of the standard output answers it. At
the end of the input their run is finished, and this process ends, whether they are ready or not.
"""

import contextlib
import importlib
import json
import os
import queue
import signal
import sys
import threading
from typing import Any, TextIO

FINISH = json.dumps({"call": "finish", "args": [], "kwargs": {}}) + "\n"
LINGERS_S = 60
"""How long this process may go on sending after the training has ended."""


def main(name: str) -> None:
    calls, answers = _take_over_streams()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the training ends this process, by the end of its input
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=[calls, requests], daemon=True).start()
    call = "import"
    try:
        module = importlib.import_module(name)
        while call != "finish":
            request = json.loads(requests.get())
            call = request["call"]
            found = getattr(module, call)(*request["args"], **request["kwargs"])
            _answer(answers, call=call, **_identify(found))
    except BaseException as error:  # an exit and a Ctrl-C of theirs are no more than an error, too
        _answer(answers, call=call, error=_describe(error))
    _answer(answers, call="end")
    _end_in(LINGERS_S)  # what they do at an exit, they may hang in


def _take_over_streams() -> tuple[TextIO, TextIO]:
    """The standard input and output for the training alone: others read nothing, and print where errors go."""
    calls = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return calls, answers


def _read(calls: TextIO, requests: "queue.Queue[str]") -> None:
    """Pass the calls on. The end of the input is the end of the training, however that came; then the time runs."""
    with contextlib.suppress(OSError, ValueError):
        for line in calls:
            if line == FINISH:
                break
            requests.put(line)
    _end_in(LINGERS_S)
    requests.put(FINISH)


def _answer(answers: TextIO, **values: Any) -> None:
    with contextlib.suppress(OSError, ValueError):  # the training is gone
        answers.write(json.dumps(values) + "\n")
        answers.flush()


def _identify(run: Any) -> dict[str, str]:
    """What names the run that `init` returns: wandb's id, trackio's name."""
    return {name: value for name in ("id", "name") if isinstance(value := getattr(run, name, None), str)}


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, Exception) and text else f"{type(error).__name__}: {text}".removesuffix(": ")


def _end_in(seconds: int) -> None:
    """End this process after so many seconds, whatever it is doing."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)
    else:
        timer = threading.Timer(seconds, os._exit, [0])
        timer.daemon = True
        timer.start()


if __name__ == "__main__":
    main(sys.argv[1])
