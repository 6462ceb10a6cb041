"""How long an answer may be: as --max-new-tokens says, or so long that the answers a model learnt fit."""

import logging
from pathlib import Path

from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.files import InputError, read_json
from vqa_core.prompts.answer_lengths import LEAST, AnswerLengths
from vqa_core.runs.predictions import meta_path

logger = logging.getLogger("vqa")


def recorded_lengths(folder: Path, trained: ModelSettings, used: ModelSettings) -> AnswerLengths | None:
    """The lengths of the answers that a model folder was trained with; None where they aren't known.

    They are in tokens of the prompt of training, so a model that is asked otherwise has none recorded.
    """
    path = folder / "vqa.json"
    record = (
        read_json(path).get("answer_tokens") if path.is_file() and trained.prompt_style == used.prompt_style else None
    )
    return AnswerLengths.from_dict(record) if record else None


def limit_of(settings: PredictSettings, lengths: AnswerLengths | None) -> int:
    """The longest answer, in tokens with its end."""
    return settings.max_new_tokens or (lengths.limit if lengths else LEAST)


def tell_of_limit(settings: PredictSettings, lengths: AnswerLengths) -> None:
    """Log the limit where it is not the usual one, and that a limit the user asked for is too short."""
    limit = limit_of(settings, lengths)
    longer = lengths.longer_than(limit)
    if settings.max_new_tokens and longer:
        logger.warning(
            "--max-new-tokens %d is too short for %d of the %d training answers: the longest takes %d tokens, its end "
            "included. Without it 99.9 %% of them fit.", limit, longer, lengths.total, lengths.longest,
        )  # fmt: skip
    elif not settings.max_new_tokens and limit != LEAST:
        logger.info(
            "Answers may take %d tokens: %d of %d training answers fit, the longest takes %d.",
            limit, lengths.total - longer, lengths.total, lengths.longest,
        )  # fmt: skip


def refuse_other_limit(path: Path, settings: PredictSettings, meta: dict[str, object]) -> None:
    """Raise InputError if the answers in `path` were made alike in all but the limit, and nobody asked for this one."""
    beside = meta_path(path)
    if settings.max_new_tokens or not (beside.is_file() and path.is_file() and path.stat().st_size):
        return
    before = read_json(beside)
    differing = {key for key in before.keys() | meta.keys() if before.get(key) != meta.get(key)}
    if differing == {"max_new_tokens"}:
        old, new = before.get("max_new_tokens"), meta["max_new_tokens"]
        raise InputError(
            f"{path} holds answers of at most {old} tokens, and by the training answers they are to have up to {new}. "
            f"Go on with --max-new-tokens {old}, or pass --restart to set the old answers aside."
        )
