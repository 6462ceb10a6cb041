"""The page's named endpoints, for programs: docs/api.md shows how they are called. Nothing else of the page has a name.

ui/server/tools.py makes tools of those that only look.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import api
from gradio.utils import get_upload_folder
from PIL import Image

from ui.ask.answering import answer
from ui.components.tab import Page
from ui.components.wiring import explain_errors
from ui.jobs.jobs import Job, format_command
from ui.predict.commands import SPLITS, score_of, settings_used, start_prediction
from ui.predict.submit import check_submission, offer_file, write_submission
from ui.workspace.pictures import DECODING
from ui.workspace.workspace import Workspace
from vqa_core.commands import shell_word
from vqa_core.config import PredictSettings
from vqa_core.data.images import open_image
from vqa_core.files import InputError

Record = dict[str, Any]


class Endpoints:
    """What the endpoints do; a program sees their docstrings and types."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def ask(self, image: gr.FileData, question: str, run: str = "") -> Record:
        """Ask a question about an uploaded picture.

        Args:
            image: the picture, uploaded by `gradio_client.handle_file`; at most 30 MB and 50 million pixels.
            question: the question, in any language the model was trained on.
            run: name of the run whose model answers; empty for the newest one that is trained.

        Returns:
            `question`, `answer`, its `probability`, the `likeliest` five answers with theirs, `seconds`, `prompt`,
            `status`, `detail`, `run`, `pixels` and `asked`.
        """
        return self.answers(_read_upload(image), [question], run)[0]

    def ask_many(self, image: gr.FileData, questions: list[str], run: str = "") -> list[Record]:
        """Ask several questions about one uploaded picture, which the model then looks at once.

        Args:
            image: the picture, uploaded by `gradio_client.handle_file`; at most 30 MB and 50 million pixels.
            questions: the questions, at most 32.
            run: name of the run whose model answers; empty for the newest one that is trained.

        Returns:
            What `ask` returns, for each question in order.
        """
        return self.answers(_read_upload(image), questions, run)

    def predict_start(
        self, run: str, split: str = "test", batch_questions: int = 0, answers: str = "", restart: bool = False
    ) -> Record:
        """Start answering a split of a run as a job, or go on with it; score it where the answers are known.

        Args:
            run: name of the run; it must have a trained model.
            split: `val` or `test`.
            batch_questions: questions answered at once; 0 for as many as the last time.
            answers: `open`, `train` (only answers seen in training), or empty for what it was the last time.
            restart: throw the old answers away first.

        Returns:
            The job, as `job_status` has it.
        """
        given = {"batch_questions": batch_questions, "answers": answers}
        used = settings_used(self.workspace.run(run)).to_dict()
        settings = PredictSettings(**used | {name: value for name, value in given.items() if value not in (0, "")})
        return job_record(start_prediction(self.workspace, run, split, settings, restart=bool(restart)))

    def job_status(self, job_id: str) -> Record:
        """How a job stands.

        Args:
            job_id: the `id` that `predict_start` has returned.

        Returns:
            `id`, `kind`, `run`, `status` (queued, running, stopping, done, failed, stopped or crashed), `exit_code`,
            `killed`, `commands`, `created`, `started` and `ended` in seconds since 1970, `progress` (`done`, `total`,
            `unit`, `rate` a second, `eta_s`) or null, and `log`, the last lines of what its commands said.
        """
        jobs = self.workspace.jobs
        return job_record(jobs.get(text_of(job_id, "job_id"))) | {"log": jobs.log_tail(job_id)}

    def job_cancel(self, job_id: str, now: bool = False) -> Record:
        """Stop a job; the answers that it has given are kept.

        Args:
            job_id: the `id` that `predict_start` has returned.
            now: end it at once, with everything that it has started, instead of letting it end in good order.

        Returns:
            The job, as `job_status` has it.
        """
        jobs = self.workspace.jobs
        return job_record((jobs.kill if now else jobs.stop)(text_of(job_id, "job_id")))

    def score(self, run: str, split: str = "val") -> Record:
        """The score of a split of a run, with intervals, slices and the question-only baseline.

        Args:
            run: name of the run.
            split: `val` or `test`.

        Returns:
            What `python -m eval.score` has written to the run's score.json for that split.
        """
        folder = self.workspace.run(run)
        if split not in SPLITS:
            raise InputError(f"there is no split {split!r}; choose from {', '.join(SPLITS)}.")
        found = score_of(folder, split)
        if found is None:
            raise InputError(
                f"run {run!r} has no score of the split {split!r}. "
                f"Make it with `python -m eval.score --run {shell_word(folder.root)} --split {split}`."
            )
        return found

    def submission(self, run: str) -> tuple[gr.FileData, Record]:
        """Write the submission of a run, checked against sample_submission.csv, and download it.

        Args:
            run: name of the run; all its test questions must be answered.

        Returns:
            The file submission.csv; and `id`, `sha256`, `rows`, `findings` (what to look at before sending it) and
            `public_score`.
        """
        kept = write_submission(self.workspace.run(run))
        _, findings = check_submission(self.workspace.run(run))
        card = kept.card["submission"] | {"id": kept.id, "findings": findings, "public_score": kept.public_score}
        file = gr.FileData(path=offer_file(kept.path), orig_name="submission.csv", mime_type="text/csv")
        return file, {name: card[name] for name in ("id", "sha256", "rows", "findings", "public_score")}

    def answers(self, picture: bytes, questions: list[str], run: str) -> list[Record]:
        """What `ask_many` returns, of a picture as the bytes of a file."""
        if not isinstance(questions, list):
            raise InputError(f"questions takes a list of texts, not {questions!r}.")
        texts = [text_of(question, "question") for question in questions]
        models = self.workspace.models
        name = text_of(run, "run") or next(iter(models.names()), "")
        with DECODING:
            image: Image.Image = open_image(picture)
        return [asdict(found) for found in answer(models, image, texts, name)]


PUBLIC = ("ask", "ask_many", "predict_start", "job_status", "job_cancel", "score", "submission")


def add_endpoints(page: Page) -> None:
    """Give the page, within its Blocks, its named endpoints."""
    endpoints = Endpoints(page.workspace)
    for name in PUBLIC:
        api(explain_errors(getattr(endpoints, name), page.t), api_name=name)


def job_record(job: Job) -> Record:
    """A job, ready for JSON."""
    record = asdict(job) | {"commands": [format_command(command) for command in job.commands]}
    return {name: value for name, value in record.items() if name not in ("at", "cwd")}


def _read_upload(image: Any) -> bytes:
    """The bytes of an upload; an InputError for anything else: the sender's paths and addresses are never read."""
    path = image.get("path") if isinstance(image, dict) else None
    if isinstance(path, str) and "\0" not in path:
        file = Path(path).resolve()
        if file.is_relative_to(Path(get_upload_folder()).resolve()) and file.is_file():
            return file.read_bytes()
    raise InputError("image is no uploaded picture. Upload it with `gradio_client.handle_file(path)`.")


def text_of(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name} takes a text, not {value!r}.")
    return value
