"""The two engines that the shared one is compared with. They give the same answers and are slower.

`naive` does what LLaVA's model_vqa.py does: one question at a time, the picture encoded again for each. `hf_batch` is
transformers' `generate` on left-padded batches, which encodes and prefills a picture again for each question as well.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import LogitsProcessor

from vqa_core.inference.answer_trie import AnswerTrie
from vqa_core.inference.decoding import Generated
from vqa_core.model.vlm import Vlm
from vqa_core.runs.examples import Example

if TYPE_CHECKING:
    from vqa_core.inference.engine import Batch, Engine


def answer_naive(engine: "Engine", batch: "Batch", pixels: list[Tensor]) -> list[list[Generated]]:
    """One question at a time."""
    return [
        [_generate(engine, [example], engine.encode([picture]))[0] for example in group]
        for group, picture in zip(batch.groups, pixels, strict=True)
    ]


def answer_each(engine: "Engine", batch: "Batch", pixels: list[Tensor]) -> list[list[Generated]]:
    """One question at a time, the picture encoded once: the shared engine where the questions can't share a prefix."""
    answers = []
    for group, picture in zip(batch.groups, pixels, strict=True):
        image_tokens = engine.encode([picture])
        answers.append([_generate(engine, [example], image_tokens)[0] for example in group])
    return answers


def answer_hf_batch(engine: "Engine", batch: "Batch", pixels: list[Tensor]) -> list[list[Generated]]:
    """All questions of the batch as one left-padded batch."""
    pairs = [(e, picture) for group, picture in zip(batch.groups, pixels, strict=True) for e in group]
    answers = iter(_generate(engine, [e for e, _ in pairs], engine.encode([picture for _, picture in pairs])))
    return [[next(answers) for _ in group] for group in batch.groups]


@torch.inference_mode()
def _generate(engine: "Engine", examples: list[Example], image_tokens: Tensor) -> list[Generated]:
    """transformers' `generate` for one question a row, each row with its own picture's tokens (R, N, D)."""
    vlm, work = engine.vlm, engine.work
    assert isinstance(vlm, Vlm)
    chosen = Choices(engine.trie, len(examples), vlm.device)
    image = [vlm.image_token_id] * vlm.image_tokens
    prompts = [vlm.prompt.prefix_ids + image + vlm.prompt.branch_ids(example.question)[0] for example in examples]
    length = max(len(ids) for ids in prompts)
    input_ids = torch.tensor([[vlm.pad_id] * (length - len(ids)) + ids for ids in prompts], device=vlm.device)
    mask = torch.tensor([[0] * (length - len(ids)) + [1] * len(ids) for ids in prompts], device=vlm.device)
    with vlm.autocast():
        output = vlm.model.generate(
            inputs_embeds=vlm.embed(input_ids, image_tokens),
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=engine.trie.depth if engine.trie else engine.settings.max_new_tokens,
            eos_token_id=sorted(vlm.stop_ids),
            pad_token_id=vlm.pad_id,
            logits_processor=[chosen],
        )
    new = output.tolist()  # without the prompt, which went in as embeddings
    logprobs = torch.stack(chosen.logprobs, dim=1).tolist()  # (R, steps)
    answers = [cut(ids, row, vlm.stop_ids) for ids, row in zip(new, logprobs, strict=True)]
    for ids, answer in zip(prompts, answers, strict=True):
        steps = len(answer.ids) + answer.ended  # forward passes that this question needed
        work.lm_tokens += len(ids) + steps - 1
        work.decode_tokens += steps - 1
        work.head_rows += steps
    work.padding_tokens += len(prompts) * length - sum(len(ids) for ids in prompts)
    return answers


class Choices(LogitsProcessor):  # type: ignore[misc]
    """Leaves each of R rows its likeliest token, of those a trie allows if there is one, and notes its probability.

    The first `forced` tokens are settled before it.
    """

    def __init__(self, trie: AnswerTrie | None, rows: int, device: torch.device, forced: int = 0) -> None:
        self.trie, self.forced = trie, forced
        self.states = torch.zeros(rows, dtype=torch.long, device=device)
        self.logprobs: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self.trie is None or len(self.logprobs) < self.forced:
            best, tokens = scores.max(-1)
            self.logprobs.append(best - scores.logsumexp(-1))
        else:
            tokens, logprobs, self.states = self.trie.choose(scores, self.states)
            self.logprobs.append(logprobs)
        return torch.full_like(scores, float("-inf")).scatter_(1, tokens[:, None], 0.0)


def cut(ids: list[int], logprobs: list[float], stop_ids: Collection[int]) -> Generated:
    """What was generated up to the first end token; rows that end early are filled up by `generate`."""
    kept = next((at for at, token in enumerate(ids) if token in stop_ids), len(ids))
    ended = kept < len(ids)
    return Generated(ids[:kept], sum(logprobs[: kept + ended]), ended)


ENGINES: dict[str, Callable[["Engine", "Batch", list[Tensor]], list[list[Generated]]]] = {
    "naive": answer_naive,
    "hf_batch": answer_hf_batch,
}
