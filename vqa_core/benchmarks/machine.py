"""A description of the machine that a measurement was made on."""

import os
from datetime import UTC, datetime

import psutil

from vqa_core.machine import processor_name
from vqa_core.submission.card import git_commit, versions


def describe_machine() -> dict[str, str]:
    """What a reader needs to judge a time: processor, load before the measurement, versions, commit, date."""
    known = versions()
    packages = [name for name in ("python", "torch", "transformers") if name in known]
    return {
        "processor": f"{processor_name()}, {os.cpu_count()} cores",
        "load average": " ".join(f"{load:.1f}" for load in psutil.getloadavg()),
        "versions": ", ".join(f"{name} {known[name]}" for name in packages),
        "commit": git_commit() or "unknown",
        "date": datetime.now(UTC).date().isoformat(),
    }
