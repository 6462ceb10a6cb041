"""What a model was trained on, in one line, read from its run and its folder."""

from pathlib import Path
from typing import Any

from ui.components.words import Words
from ui.workspace.models import SHIPPED_FOLDER, Models
from vqa_core.files import InputError, read_json, sha256_of
from vqa_core.runs.run_dir import RunDir


def describe_model(t: Words, models: Models, name: str) -> str:
    """What the model was trained on, and that it guesses all else. The text may hold a run's own texts."""
    run = models.run(name)
    made = _read(run.model / "vqa.json")
    stage, seen = t(f"ask.stage_{_stage(made)}"), _seen(made)
    config = _read(run.config)
    dataset = _object(config.get("dataset"))
    if _is_shipped(run):
        line = t("ask.about_shipped", seen=_count(seen), stage=stage)
    elif "train" in config and dataset:
        report = _object(_object(_read(run.report).get("splits")).get("train"))
        line = t(
            "ask.about_run",
            source=dataset.get("source", "?"),
            seen=_count(seen),
            used=_count(_object(dataset.get("questions")).get("train")),
            rows=_count(report.get("rows")),
            images=_count(report.get("images")),
            stage=stage,
        )
    else:
        line = t("ask.about_unknown", stage=stage)
    return f"{line} {t('ask.guesses')}"


def _stage(made: dict[str, Any]) -> str:
    stage = str(_object(made.get("stage")).get("name"))
    return stage if stage in ("align", "lora", "full") else "unknown"


def _seen(made: dict[str, Any]) -> int | None:
    """How many questions the kept weights were trained on, repeats counted; None if the folder does not say."""
    trained = _object(made.get("trained"))
    questions, step, steps = (trained.get(name) for name in ("questions", "step", "steps"))
    if not (isinstance(questions, int) and isinstance(step, int) and isinstance(steps, int) and steps > 0):
        return None
    return round(questions * step / steps)


def _is_shipped(run: RunDir) -> bool:
    """Whether these are the weights that come with the repository: `make demo` gives its run a copy of them."""
    shipped, own = (root.model / "trained.safetensors" for root in (RunDir(SHIPPED_FOLDER), run))
    if not shipped.is_file() or shipped.stat().st_size != own.stat().st_size:
        return False
    return shipped == own or sha256_of(shipped) == sha256_of(own)


def _read(path: Path) -> dict[str, Any]:
    try:
        return _object(read_json(path)) if path.is_file() else {}
    except InputError:
        return {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "?"
