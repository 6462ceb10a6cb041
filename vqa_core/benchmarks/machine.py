"""The machine a measurement was made on, in words."""

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

from vqa_core.submission.card import git_commit, versions


def describe_machine() -> dict[str, str]:
    """What a reader needs to judge a time by: processor, load before the measurement, versions, commit, date."""
    known = versions()
    packages = [name for name in ("python", "torch", "transformers") if name in known]
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "load average": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "versions": ", ".join(f"{name} {known[name]}" for name in packages),
        "commit": git_commit() or "unknown",
        "date": datetime.now(UTC).date().isoformat(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.is_file() else None
    return named[1].strip() if named else platform.processor() or platform.machine()
