"""The most memory that this process has had, as Linux counts it.

`ru_maxrss` of a new process begins with that of the one which started it.
"""

import re
from pathlib import Path


def peak_memory() -> int:
    """Bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def forget_peak() -> None:
    """Measure anew from here, see proc(5)."""
    Path("/proc/self/clear_refs").write_text("5")
