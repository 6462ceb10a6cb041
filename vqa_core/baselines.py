"""The two engines that the shared one is compared with. They give the same answers and are slower.

`naive` does what LLaVA's model_vqa.py does: one question at a time, the picture encoded again for each. `hf_batch` is
transformers' `generate` on left-padded batches, which encodes and prefills a picture again for each question as well.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from PIL import Image

from vqa_core.decoding import Generated
from vqa_core.examples import Example
from vqa_core.files import InputError

if TYPE_CHECKING:
    from vqa_core.engine import Batch, Engine


def answer_naive(engine: "Engine", batch: "Batch", pictures: list[Image.Image]) -> list[list[Generated]]:
    """One question at a time."""
    return [
        [_generate(engine, [example], [picture])[0] for example in group]
        for group, picture in zip(batch.groups, pictures, strict=True)
    ]


def answer_hf_batch(engine: "Engine", batch: "Batch", pictures: list[Image.Image]) -> list[list[Generated]]:
    """All questions of the batch as one left-padded batch."""
    pairs = [(e, picture) for group, picture in zip(batch.groups, pictures, strict=True) for e in group]
    answers = iter(_generate(engine, [e for e, _ in pairs], [picture for _, picture in pairs]))
    return [[next(answers) for _ in group] for group in batch.groups]


@torch.inference_mode()
def _generate(engine: "Engine", examples: list[Example], pictures: list[Image.Image]) -> list[Generated]:
    """transformers' `generate` for one question a row, each row with its own copy of the picture."""
    vlm, work = engine.vlm, engine.work
    if engine.trie is not None:
        raise InputError("--answers train needs --engine shared; the engines kept for comparison generate freely.")
    image = [vlm.image_token_id] * vlm.image_tokens
    prompts = [vlm.prompt.prefix_ids + image + vlm.prompt.branch_ids(example.question)[0] for example in examples]
    length = max(len(ids) for ids in prompts)
    input_ids = torch.tensor([[vlm.pad_id] * (length - len(ids)) + ids for ids in prompts], device=vlm.device)
    mask = torch.tensor([[0] * (length - len(ids)) + [1] * len(ids) for ids in prompts], device=vlm.device)
    with vlm.autocast():
        output = vlm.model.generate(
            inputs_embeds=vlm.embed(input_ids, vlm.encode_images(vlm.pixels(pictures))),
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=engine.settings.max_new_tokens,
            eos_token_id=vlm.prompt.end_id,
            pad_token_id=vlm.pad_id,
            return_dict_in_generate=True,
            output_logits=True,
        )
    new = output.sequences.tolist()  # without the prompt, which went in as embeddings
    logprobs = torch.stack([logits.float().log_softmax(-1).amax(-1) for logits in output.logits], dim=1)  # (R, steps)
    answers = [_cut(ids, row, vlm.prompt.end_id) for ids, row in zip(new, logprobs.tolist(), strict=True)]
    work.encodes += len(pictures)
    for ids, answer in zip(prompts, answers, strict=True):
        steps = len(answer.ids) + answer.ended  # forward passes that this question needed
        work.lm_tokens += len(ids) + steps - 1
        work.decode_tokens += steps - 1
        work.head_rows += steps
    work.padding_tokens += len(prompts) * length - sum(len(ids) for ids in prompts)
    return answers


def _cut(ids: list[int], logprobs: list[float], end_id: int) -> Generated:
    """What was generated up to the end token; rows that end early are filled up by `generate`."""
    ended = end_id in ids
    kept = ids.index(end_id) if ended else len(ids)
    return Generated(ids[:kept], sum(logprobs[: kept + ended]), ended)


ENGINES: dict[str, Callable[["Engine", "Batch", list[Image.Image]], list[list[Generated]]]] = {
    "naive": answer_naive,
    "hf_batch": answer_hf_batch,
}
