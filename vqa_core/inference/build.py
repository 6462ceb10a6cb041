"""The engine of a run: its model as prediction loads it, the prompt it is asked with, the answers it may give."""

from dataclasses import replace
from pathlib import Path

from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.data.images import pixel_limit_of
from vqa_core.data.priors import AnswerPrior
from vqa_core.files import InputError
from vqa_core.inference.answer_limit import limit_of, recorded_lengths
from vqa_core.inference.engine import Engine
from vqa_core.model.attention import choose_attention
from vqa_core.model.folder import load_model_folder
from vqa_core.model.loading import LoadOptions
from vqa_core.model.parts import load_tokenizer
from vqa_core.model.protocol import AnyVlm
from vqa_core.model.vlm import best_device, resolve_precision
from vqa_core.prompts.answer_lengths import AnswerLengths, measure_answers
from vqa_core.prompts.chat_template import written_out
from vqa_core.prompts.encoder import prompt_encoder
from vqa_core.prompts.prompt import Prompt
from vqa_core.prompts.styles import OWN_TEMPLATE, refuse_named_style
from vqa_core.runs.run_dir import RunDir


def build_engine(
    run: RunDir,
    settings: PredictSettings,
    data_root: Path,
    vlm: AnyVlm | None = None,
    *,
    pixel_limit: int | None = None,
) -> Engine:
    """The engine for a run's model, with the answers and priors of its training examples.

    `vlm` is the run's model where that is loaded already; `pixel_limit` is by default that of the run's data. Raises
    InputError where the settings ask for something that the run or its model does not have.
    """
    vlm = vlm or load_model(run.model, settings)
    described = vlm.settings
    prompt = choose_prompt(described, settings)
    if prompt != vlm.settings:
        vlm = vlm.with_prompt(prompt)
    train = run.examples("train") if run.train.is_file() else []
    if not train and settings.answers == "train":
        raise InputError(
            f"--answers train needs {run.train}, the training answers. Run `python -m train.prepare` first."
        )
    if settings.answers == "open" and not settings.max_new_tokens:
        lengths = recorded_lengths(run.model, described, vlm.settings)
        lengths = lengths or (measure_answers(vlm.prompt, train) if train else None)
        settings = replace(settings, max_new_tokens=limit_of(settings, lengths))
    prior = AnswerPrior(train) if train else None
    return Engine(
        vlm,
        settings,
        data_root,
        allowed_answers=prior.answers if prior and settings.answers == "train" else None,
        fallback=prior.answer if prior else lambda _: "",
        pixel_limit=pixel_limit or pixel_limit_of(run),
    )


def load_model(folder: Path, settings: PredictSettings) -> AnyVlm:
    """The model of a model folder on this process's device, with the precision and attention of the settings."""
    device = best_device()
    dtype = resolve_precision(settings.precision, device)
    attention = choose_attention(settings.attention, plain=settings.engine != "shared", device=device, dtype=dtype)
    return load_model_folder(folder, dtype=dtype, attention=attention, how=settings)


def choose_prompt(trained: ModelSettings, settings: PredictSettings) -> ModelSettings:
    """The model's settings with the prompt that prediction's settings name; where they name none, that of training."""
    chosen = trained
    if settings.prompt_style is not None and not (trained.base_model and settings.prompt_style == OWN_TEMPLATE):
        if trained.base_model:
            refuse_named_style(trained.base_model, settings.prompt_style)
        chosen = replace(chosen, prompt_style=settings.prompt_style)
    for name in ("instruction", "choice_instruction", "choice_scoring"):
        if (asked := getattr(settings, name)) is not None:
            chosen = replace(chosen, **{name: asked})
    if chosen.prompt_style == OWN_TEMPLATE and not chosen.base_model:
        return written_out(chosen, load_tokenizer(chosen.language_model, LoadOptions.of(chosen)))
    return chosen


def find_lengths(
    run: RunDir, trained: ModelSettings, used: ModelSettings, settings: PredictSettings, vlm: AnyVlm | None
) -> tuple[AnswerLengths | None, AnyVlm | None]:
    """The lengths of a run's training answers in tokens of the prompt `used`, and the model if that had to be loaded.

    Those that the model was trained with, else those of the run; None where neither is known.
    """
    if lengths := recorded_lengths(run.model, trained, used):
        return lengths, vlm
    train = run.examples("train") if run.train.is_file() else []
    if not train or (used.base_model and settings.max_new_tokens and vlm is None):
        return None, vlm  # a model is not loaded only to tell how long answers are
    if not used.base_model:
        prompt: Prompt = prompt_encoder(load_tokenizer(used.language_model, LoadOptions.of(used, settings)), used)
    else:  # only its processor says how the prompt ends
        vlm = vlm or load_model(run.model, settings)
        prompt = (vlm if vlm.settings == used else vlm.with_prompt(used)).prompt
    return measure_answers(prompt, train), vlm
