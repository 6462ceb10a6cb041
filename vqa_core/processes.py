"""The processes that torchrun started together, read from the environment; without torchrun there is one.

Clusters set the same variables for purposes of their own, and shells keep them: only a whole group of values counts.
"""

import os

from vqa_core.files import InputError

NUMBERS = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")
NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # besides WORLD_SIZE, where that is more than 1
OTHER_LAUNCHERS = {
    "OMPI_COMM_WORLD_SIZE": "mpirun",
    "PMI_SIZE": "mpirun or srun",
    "MV2_COMM_WORLD_SIZE": "mpirun",
    "SLURM_STEP_NUM_TASKS": "srun",
}
"""How many processes another launcher has started, by its variable; accelerate reads the first three."""
_LAUNCH = "torchrun --nproc_per_node {} -m -- train.finetune ..."


def process_count() -> int:
    """How many processes share the work, on all machines; 1 where the environment describes no whole group."""
    return _whole_group()[0]


def is_first_process() -> bool:
    """Whether this is the process that writes files and log lines."""
    return _whole_group()[1] == 0


def local_rank() -> int:
    """The number of this process among those of its machine, from 0: that of its GPU."""
    return max(_number("LOCAL_RANK") or 0, 0)


def local_count() -> int:
    """How many of the processes that share the work run on this machine, as far as it is known."""
    count, here = process_count(), _number("LOCAL_WORLD_SIZE")
    return min(here, count) if here is not None and here > 0 else count


def check_processes() -> None:
    """Raise InputError unless the environment describes either one process alone or a whole group of processes.

    For commands that several processes may run together. What is set for a process alone is taken out of the
    environment: torch and accelerate would wait for others.
    """
    for name in NUMBERS:
        _check_number(name)
    count, rank, local = (_number(name) for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"))
    count = 1 if count is None else count
    local = None if local == -1 else local  # what launchers write for none
    if count < 1:
        raise InputError(f"WORLD_SIZE is {count} in the environment, and there is at least one process. {_ways(1)}")
    if rank is not None and not 0 <= rank < count:
        known = f"WORLD_SIZE is {count}" if _set("WORLD_SIZE") else "WORLD_SIZE is not set"
        raise InputError(
            f"RANK is {rank} in the environment, and {known}: ranks go from 0 to {count - 1}. {_ways(count)}"
        )
    _check_local(count, local)
    if count > 1:
        _check_group(count)
    elif not (_set("RANK") and _set("MASTER_ADDR") and _set("MASTER_PORT")):
        _check_launchers()
        for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
            os.environ.pop(name, None)


def _check_local(count: int, local: int | None) -> None:
    here = _number("LOCAL_WORLD_SIZE")
    if here is not None and not 1 <= here <= count:
        raise InputError(
            f"LOCAL_WORLD_SIZE is {here} in the environment, and WORLD_SIZE is {count}: a machine has between 1 and "
            f"{count} of its processes. {_ways(count)}"
        )
    most = count if here is None else here
    if local is not None and not 0 <= local < most:
        raise InputError(
            f"LOCAL_RANK is {local} in the environment, and a machine has {most} of the processes: their numbers go "
            f"from 0 to {most - 1}. {_ways(count)}"
        )


def _check_group(count: int) -> None:
    missing = [name for name in NEEDED if not _set(name)]
    if missing:
        raise InputError(
            f"WORLD_SIZE is {count} in the environment without {', '.join(missing)}, so {count} processes can't find "
            f"each other. {_ways(count)}"
        )
    port = _number("MASTER_PORT")
    if port is None or not 0 < port < 1 << 16:
        raise InputError(f"MASTER_PORT is {port} in the environment; ports go from 1 to 65535. {_ways(count)}")


def _check_launchers() -> None:
    for name, launcher in OTHER_LAUNCHERS.items():
        text = os.environ.get(name, "").strip()
        if text.isdigit() and int(text) > 1:
            raise InputError(
                f"{name} is {text} in the environment: {launcher} has started {text} processes, and nothing tells them "
                f"to train together. Start one a machine, and there {_LAUNCH.format(2)}; to train in this process "
                f"alone, unset {name}."
            )
        os.environ.pop(name, None)


def _ways(count: int) -> str:
    """What to do about variables that do not fit together."""
    return (
        f"Start the processes with {_LAUNCH.format(max(count, 2))}, which sets all of these; to train in one process, "
        "unset WORLD_SIZE RANK LOCAL_RANK LOCAL_WORLD_SIZE."
    )


def _whole_group() -> tuple[int, int]:
    """(processes, rank), where the environment describes several that can find each other; else (1, 0)."""
    count, rank, local = (_number(name) for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"))
    if count is None or rank is None or local is None or not (_set("MASTER_ADDR") and _set("MASTER_PORT")):
        return 1, 0
    return (count, rank) if 0 <= rank < count else (1, 0)


def _set(name: str) -> bool:
    return bool(os.environ.get(name, "").strip())


def _number(name: str) -> int | None:
    try:
        return int(os.environ.get(name, ""))
    except ValueError:
        return None


def _check_number(name: str) -> None:
    text = os.environ.get(name, "")
    if not text.strip():
        os.environ.pop(name, None)  # accelerate would take the empty text for a number
    elif _number(name) is None:
        raise InputError(f"{name} is {text!r} in the environment, which is not a number. {_ways(2)}")
