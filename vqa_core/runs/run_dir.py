"""RunDir: the files of one run by name. Stages meet only in these files, so every window and terminal sees the same."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqa_core.commands import shell_word
from vqa_core.files import InputError, read_json, write_json
from vqa_core.locks import locked
from vqa_core.runs.examples import Example, read_examples


@dataclass(frozen=True, slots=True)
class RunDir:
    """`runs/<name>/`, a value to pass around; creates nothing until something is written."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.resolve().name

    @property
    def config(self) -> Path:
        """The resolved settings, one section per stage; enough to repeat the run."""
        return self.root / "config.json"

    @property
    def report(self) -> Path:
        """The DataReport of `train.prepare`."""
        return self.root / "data_report.json"

    @property
    def train(self) -> Path:
        return self.root / "train.jsonl"

    @property
    def val(self) -> Path:
        return self.root / "val.jsonl"

    @property
    def test(self) -> Path:
        return self.root / "test.jsonl"

    @property
    def unanswered(self) -> Path:
        """Training rows with an empty answer: not trained on, but included in exports."""
        return self.root / "unanswered.jsonl"

    @property
    def rows(self) -> Path:
        """The training rows, one per image; see `vqa_core.runs.training_rows`."""
        return self.root / "rows"

    @property
    def llava(self) -> Path:
        """The same data in LLaVA's formats."""
        return self.root / "llava"

    @property
    def metrics(self) -> Path:
        """One JSON object per line, appended during training."""
        return self.root / "metrics.jsonl"

    @property
    def tracker(self) -> Path:
        """What this run is called by at wandb or trackio, for a training that goes on there."""
        return self.root / "tracker.json"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def has_model(self) -> bool:
        """Whether the run has a model to ask: a model folder with its description and its weights."""
        return (self.model / "vqa.json").is_file() and (self.model / "trained.safetensors").is_file()

    def predictions(self, split: str) -> Path:
        return self.root / "predictions" / f"{split}.jsonl"

    @property
    def score(self) -> Path:
        """Scores by split: {"val": {...}, "test": {...}}."""
        return self.root / "score.json"

    @property
    def submission(self) -> Path:
        return self.root / "submission.csv"

    @property
    def submissions(self) -> Path:
        """Every submission ever written; see `vqa_core.submission.history`."""
        return self.root / "submissions"

    @property
    def tags(self) -> Path:
        """What people think of single questions; see `vqa_core.runs.tags`."""
        return self.root / "tags.json"

    @property
    def log(self) -> Path:
        return self.root / "log.txt"

    @property
    def lock(self) -> Path:
        """Held by who trains, prepares or sets up the run; see `vqa_core.runs.run_lock`."""
        return self.root / ".lock.tmp"  # as all that a killed command may leave is named

    def of_model(self) -> tuple[Path, ...]:
        """The run's model and what was made with it, but for the submissions that are kept for good."""
        names = (
            *("model", "predictions", "score.json", "submission.csv", "submission.card.json"),
            *("answers.jsonl", "answers.card.json", "results.json", "results.card.json"),
        )
        return tuple(self.root / name for name in names)

    def read_config(self) -> dict[str, Any]:
        """The sections written so far. Raises InputError if no stage has written any, or the file is damaged."""
        if not self.config.is_file():
            raise InputError(
                f"{self.root} is not a run: it has no config.json. Start one with "
                f"`python -m train.prepare --data DIR --run {shell_word(self.root)}`."
            )
        config = read_json(self.config)
        if not isinstance(config, dict) or not all(isinstance(section, dict) for section in config.values()):
            raise InputError(
                f"{self.config} is damaged: it is not a JSON object whose values are objects. Move it away and "
                f"prepare the run again with `python -m train.prepare --data DIR --run {shell_word(self.root)}`."
            )
        return config

    def trained_config(self) -> dict[str, Any]:
        """The sections of config.json, those about the model as its own folder has them; see `with_model`."""
        described = read_json(self.model / "vqa.json") if self.has_model else {}
        return with_model(self.read_config(), described)

    def write_section(self, section: str, values: dict[str, Any]) -> None:
        """Write one stage's resolved settings to config.json; the other sections stay."""
        self.write_sections({section: values})

    def write_sections(self, sections: Mapping[str, dict[str, Any]]) -> None:
        """`write_section` for several at once. Other commands may write theirs at the same time."""
        with self._changing_config():
            config = self.read_config() if self.config.is_file() else {}
            write_json(self.config, config | dict(sections))

    def drop_section(self, section: str) -> None:
        """Remove a stage's section from config.json, because the files it describes are about to be rewritten."""
        if self.config.is_file():
            with self._changing_config():
                kept = {name: values for name, values in self.read_config().items() if name != section}
                write_json(self.config, kept)

    @contextmanager
    def _changing_config(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with locked(self.root / ".config.lock"):
            yield

    def examples(self, split: str) -> list[Example]:
        """The examples of `train`, `val` or `test`. Raises InputError if `train.prepare` has written none."""
        path = self.root / f"{split}.jsonl"
        if not path.is_file():
            raise InputError(
                f"{self.root} has no questions of the split {split!r}: {path.name} is missing. "
                f"Write it with `python -m train.prepare --data DIR --run {shell_word(self.root)}`."
            )
        return read_examples(path)

    def data_root(self) -> Path:
        """The dataset folder that the examples' `image` paths are relative to."""
        config = self.read_config()
        if "dataset" not in config:
            raise InputError(
                f"{self.root} has no data: `train.prepare` was never run on it, or was stopped before it finished. "
                f"Run `python -m train.prepare --data DIR --run {shell_word(self.root)}`."
            )
        root = config["dataset"].get("root")
        if not isinstance(root, str):
            raise InputError(
                f"{self.config} is damaged: its section `dataset` names no folder as `root`. "
                f"Run `python -m train.prepare --data DIR --run {shell_word(self.root)}`."
            )
        return Path(root)


def with_model(config: Mapping[str, Any], described: Mapping[str, Any]) -> dict[str, Any]:
    """A run's config with the sections `model` and `train` of `described`, a vqa.json.

    A model folder says itself what it was trained with; those of older versions do not. The run's sections are those of
    its newest training, which may have ended before it wrote a model. A model that nobody has trained has no `train`.
    """
    stage, own = described.get("stage"), {}
    if isinstance(described.get("train"), dict):
        own = {name: described[name] for name in ("model", "train") if name in config and name in described}
    untrained = {"train"} if isinstance(stage, dict) and stage.get("name") == "base" else set()
    return {name: value for name, value in (dict(config) | own).items() if name not in untrained}


def list_runs(folder: Path) -> Iterator[RunDir]:
    """The runs below `folder`, newest first."""
    roots = [path.parent for path in folder.glob("*/config.json")]
    yield from (RunDir(root) for root in sorted(roots, key=lambda root: root.stat().st_mtime, reverse=True))
