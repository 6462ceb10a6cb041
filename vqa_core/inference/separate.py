"""Separate rows: each question a call of the model's own `generate`, for models whose questions can't share a prefix.

The picture is encoded once for all its questions where the model takes encoded pictures, else for each anew. The same
path with nothing shared is what the shared engine is compared with.
"""

from functools import partial
from typing import TYPE_CHECKING

import torch
from transformers import GenerationMixin

from vqa_core.inference.baselines import Choices, cut
from vqa_core.inference.decoding import Generated
from vqa_core.model.hub.hub_model import HubModel
from vqa_core.model.hub.inputs import HubPicture

if TYPE_CHECKING:
    from vqa_core.inference.engine import Batch, Engine


@torch.inference_mode()
def answer_separately(
    engine: "Engine", batch: "Batch", pictures: list[HubPicture], *, share_vision: bool
) -> list[list[Generated]]:
    """The generations of each group's questions, in order."""
    vlm, work = engine.vlm, engine.work
    assert isinstance(vlm, HubModel)
    answers: list[list[Generated]] = []
    generate = vlm.model.generate
    for group, picture in zip(batch.groups, pictures, strict=True):
        outputs = vlm.image_outputs(picture.pixels) if share_vision else None
        work.encodes += 1 if share_vision else len(group)
        answers.append([])
        for example in group:
            inputs = vlm.question_inputs(picture, example.question, outputs)
            forced = len(vlm.lead or [0]) - 1  # tokens that a decoder begins with after its first
            chosen = Choices(engine.trie, 1, vlm.device, forced)
            inputs |= {"do_sample": False, "max_new_tokens": engine.longest + forced, "logits_processor": [chosen]}
            with vlm.autocast():
                output = generate(**inputs)
                if not chosen.logprobs:  # lost by the model's own, as Janus's does
                    generate = partial(GenerationMixin.generate, vlm.model)
                    output = generate(**inputs)
            logprobs = [each.item() for each in chosen.logprobs]
            # some give the prompt before it, some do not
            answer = cut(
                output[0, output.shape[1] - len(logprobs) :].tolist()[forced:], logprobs[forced:], vlm.stop_ids
            )
            prompt = inputs["input_ids"].shape[1] if "input_ids" in inputs else 0
            steps = len(answer.ids) + answer.ended
            work.lm_tokens += prompt + steps - 1
            work.decode_tokens += steps - 1
            work.head_rows += steps
            answers[-1].append(answer)
    return answers
