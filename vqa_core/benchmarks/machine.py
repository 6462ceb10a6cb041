"""A description of the machine that a measurement was made on."""

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

from vqa_core.submission.card import git_commit, versions


def describe_machine() -> dict[str, str]:
    """What a reader needs to judge a time: processor, load before the measurement, versions, commit, date."""
    known = versions()
    packages = [name for name in ("python", "torch", "transformers") if name in known]
    return {
        "processor": f"{_name_processor()}, {os.cpu_count()} cores",
        "load average": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "versions": ", ".join(f"{name} {known[name]}" for name in packages),
        "commit": git_commit() or "unknown",
        "date": datetime.now(UTC).date().isoformat(),
    }


def _name_processor() -> str:
    info = Path("/proc/cpuinfo")
    match = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.is_file() else None
    return match[1].strip() if match else platform.processor() or platform.machine()
