"""One training a run: the lock that a training holds from its first second to its last, and what respects it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from vqa_core.files import InputError
from vqa_core.locks import Busy, Holder, holder, locked, try_lock
from vqa_core.processes import is_first_process
from vqa_core.runs.run_dir import RunDir

_PATIENCE_S = 1.0  # of a run whose training was killed this moment


@contextmanager
def alone_in(run: RunDir) -> Iterator[None]:
    """Within, nobody else trains in the folder of the run, prepares it or gives it a model.

    Of several processes of one training the first holds the lock. A folder that is not there yet needs none. Raises
    InputError that says who holds it.
    """
    if not is_first_process() or not run.root.is_dir():
        yield
        return
    with ExitStack() as held:
        try:
            held.enter_context(locked(run.lock, patience_s=_PATIENCE_S, note=True))
        except Busy as busy:
            raise _in_use(run, busy.holder) from None
        yield


def refuse_in_use(run: RunDir) -> None:
    """Raise InputError, as `alone_in` does, if somebody trains in the folder of the run or prepares it."""
    if not run.lock.exists():
        return
    lock = try_lock(run.lock)
    if lock is None:
        raise _in_use(run, holder(run.lock))
    lock.release()


def _in_use(run: RunDir, by: Holder | None) -> InputError:
    return InputError(
        f"{run.root} is in use by {by or 'another process'}, and one training at a time belongs to a run. Wait for its "
        "end, stop it, or name another --run."
    )
