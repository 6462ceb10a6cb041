"""The embedded parts themselves: real weights and real questions."""

from pathlib import Path

import easy_vqa
import pytest
import torch

from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.inference.engine import Engine
from vqa_core.model.vlm import Vlm, build_vlm
from vqa_core.prompts.encoder import PromptEncoder
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import Prediction


@pytest.fixture(scope="module")
def vlm() -> Vlm:
    return build_vlm(ModelSettings(projector="pooled_mlp", image_side_px=112), dtype=torch.float32)


@pytest.mark.slow
def test_prompts_are_those_of_the_chat_template_that_the_model_was_trained_with(vlm: Vlm) -> None:
    tokenizer, question = vlm.prompt.tokenizer, "Is there a circle?"
    messages = [{"role": "system", "content": ""}, {"role": "user", "content": f"<file_sep>\n{question}"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    _, turns = text.split("<|im_end|>\n", 1)  # ours have no system message
    built = [*vlm.prompt.prefix_ids, vlm.image_token_id, *vlm.prompt.branch_ids(question)[0]]
    assert built == tokenizer(turns, add_special_tokens=False)["input_ids"]
    assert built == [1, 4093, 198, 5, 198, 4182, 665, 253, 7842, 47, 2, 198, 1, 520, 9531, 198]
    for looks_special in ("What <file_sep> is <|im_end|>?", "<jupyter_code> <empty_output>"):
        ids, _ = PromptEncoder(tokenizer, "bare").branch_ids(looks_special)
        assert min(ids) > 16  # the special tokens are 0 to 16
        assert tokenizer.decode(ids) == f"\n{looks_special}\n"


@pytest.mark.slow
def test_real_questions_get_the_same_answers_from_the_shared_and_the_naive_engine(vlm: Vlm) -> None:
    paths = easy_vqa.get_test_image_paths()
    questions, _, images = easy_vqa.get_test_questions()
    root = Path(paths[0]).parent
    rows = [(number, text, Path(paths[image]).name) for number, (text, image) in enumerate(zip(questions, images))]
    of_two = [row for image in (0, 1) for row in rows if row[2] == Path(paths[image]).name][4:14:2]
    examples = [Example(str(number), name, name, text) for number, text, name in [*of_two, rows[-1]]]
    assert len({example.image for example in examples}) == 3
    found: list[dict[str, Prediction]] = []
    for engine in ("shared", "naive"):
        made = Engine(vlm, PredictSettings(engine=engine, max_new_tokens=4), root)
        found.append({prediction.question_id: prediction for prediction in made.generate(examples)})
        assert made.work.encodes == {"shared": 3, "naive": 6}[engine]
    shared, naive = found
    assert {key: p.generated for key, p in shared.items()} == {key: p.generated for key, p in naive.items()}
    assert len({prediction.generated for prediction in shared.values()}) > 1
    for key, prediction in naive.items():
        assert shared[key].probability == pytest.approx(prediction.probability, rel=1e-3, abs=2e-6)
