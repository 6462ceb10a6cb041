"""What tests of several packages share: models and runs made in code, processes to kill, the browser."""

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
OLD_RUNS = Path(__file__).parent / "old_runs"
