"""The processes that torchrun started together, read from the environment; without torchrun there is one."""

import os


def process_count() -> int:
    """How many processes share the work, on all machines."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Whether this is the process that writes files and log lines."""
    return os.environ.get("RANK", "0") == "0"
