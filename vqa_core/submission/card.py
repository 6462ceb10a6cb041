"""The card beside a submission: records which data, weights and command made it."""

import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import vqa_core
from vqa_core import ROOT
from vqa_core.files import read_json, sha256_of, write_json
from vqa_core.runs.predictions import Prediction, meta_path
from vqa_core.runs.run_dir import RunDir

PACKAGES = (
    *("torch", "transformers", "tokenizers", "accelerate", "peft", "datasets", "safetensors", "numpy", "pandas"),
    *("scipy", "pillow"),
)


def card_path(submission: Path) -> Path:
    """`submission.csv` -> `submission.card.json`."""
    return submission.with_suffix(".card.json")


def write_card(
    submission: Path,
    run: RunDir,
    *,
    data_files: Iterable[Path],
    predictions: Mapping[str, Prediction],
    warnings: Sequence[str],
    command: Sequence[str],
    layout: Mapping[str, Any] | None = None,
) -> Path:
    """Write the card of the file `submission` beside it; return its path. Hashes are SHA-256 of whole files.

    `layout` says which columns of a CSV file hold ids and answers, as Submission has it.
    """
    predictions_file = run.predictions("test")
    meta = meta_path(predictions_file)
    scores = read_json(run.score) if run.score.is_file() else {}
    card: dict[str, Any] = {
        "submission": {"file": submission.name, "sha256": sha256_of(submission), "rows": len(predictions)}
        | ({"columns": dict(layout)} if layout else {}),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(command),
        "git_commit": git_commit(),
        "versions": versions(),
        "data": {path.name: sha256_of(path) for path in data_files if path.is_file()},
        "weights": {
            path.relative_to(run.model).as_posix(): sha256_of(path)
            for path in sorted(run.model.rglob("*"))
            if path.is_file()
        },
        "model": read_json(run.model / "vqa.json") if run.has_model else None,
        "config": {"sha256": sha256_of(run.config), "settings": run.trained_config()} if run.config.is_file() else None,
        "predictions": {
            "sha256": sha256_of(predictions_file),
            "statuses": dict(Counter(item.status for item in predictions.values()).most_common()),
            "meta": read_json(meta) if meta.is_file() else None,
        },
        "validation": scores.get("val"),
        "warnings": list(warnings),
    }
    write_json(card_path(submission), card)
    return card_path(submission)


def versions() -> dict[str, str]:
    """Installed versions of Python, the workbench and the packages that influence answers, without importing them."""
    installed = {"python": ".".join(map(str, sys.version_info[:3])), "vqa-workbench": vqa_core.__version__}
    for name in PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def git_commit() -> str | None:
    """The commit of the workbench's own checkout, with `-dirty` if files differ from it; None outside a checkout."""
    if not (ROOT / ".git").exists():
        return None
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        output = subprocess.run(git, capture_output=True, encoding="utf-8", timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return output.strip()
