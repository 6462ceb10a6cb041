"""A LLaVA of parts whose language model bears no packed rows: separate rows, in answering and in training, and said."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from eval import predict
from tests.support.tiny import (
    PROCESSOR,
    QUESTIONS,
    TINY_MODEL,
    losses,
    randomised,
    tiny_parts,
    tiny_picture,
    tiny_run,
    tiny_tokenizer,
    tiny_tower,
    tiny_vlm,
)
from train import finetune
from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.files import read_json
from vqa_core.inference.engine import Engine
from vqa_core.model.capabilities import Sharing
from vqa_core.model.collator import collate
from vqa_core.model.packing import Branch, pack_onto
from vqa_core.model.stages import prepare_stage
from vqa_core.model.vlm import Vlm, assemble
from vqa_core.runs.model_folder import Stage
from vqa_core.runs.predictions import read_predictions
from vqa_core.training.losses.packed import PackedLoss
from vqa_core.training.losses.separate import loss_of

pytestmark = pytest.mark.slow

SHAPE = {
    "vocab_size": 320, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "tie_word_embeddings": False, "head_dim": 8,
}  # fmt: skip
UNFIT: dict[str, dict[str, Any]] = {
    "lfm2": {"layer_types": ["conv", "full_attention", "conv"], "block_auto_adjust_ff_dim": False},
    "qwen3_5_text": {
        "layer_types": ["linear_attention", "full_attention", "linear_attention"], "linear_num_key_heads": 2,
        "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    },
    "gemma3_text": {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    "mistral": {"sliding_window": 16},
    "phimoe": {"num_local_experts": 4},  # what chooses its experts is a linear layer that gives two things
}  # fmt: skip
SAID = {
    "lfm2": "'lfm2', which was never checked",
    "qwen3_5_text": "'qwen3_5_text', which was never checked",
    "gemma3_text": "'gemma3_text', which was never checked",
    "mistral": "window of 16 tokens",
    "phimoe": "'phimoe', which was never checked",
}


def language_model(kind: str, **changed: Any) -> Any:
    tokenizer = tiny_tokenizer()
    config = AutoConfig.for_model(kind, **SHAPE | UNFIT.get(kind, {}) | changed)
    config.pad_token_id, config.eos_token_id = tokenizer.pad_token_id, tokenizer.eos_token_id
    config.bos_token_id = tokenizer.bos_token_id
    return randomised(AutoModelForCausalLM.from_config(config, dtype=torch.float32), 1)


def vlm_of(kind: str, **changed: Any) -> Vlm:
    language, settings = language_model(kind, **changed), ModelSettings(**TINY_MODEL)
    vlm = assemble(tiny_tower(), language, tiny_tokenizer(), PROCESSOR, settings)
    randomised(vlm.projector, 2)
    vlm.model.eval()
    return vlm


def asked(vlm: Vlm, questions: tuple[str, ...], engine: str = "shared") -> tuple[list[tuple[str, float | None]], int]:
    """Answers with their probabilities, and how often a picture was encoded."""
    made = Engine(vlm, PredictSettings(max_new_tokens=6, engine=engine), Path())
    return [(found.generated, found.probability) for found in made.ask(tiny_picture(0), questions)], made.work.encodes


@pytest.mark.parametrize("kind", sorted(UNFIT))
def test_questions_asked_together_are_answered_as_alone(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    vlm = vlm_of(kind)
    assert SAID[kind] in caplog.text
    assert "share its encoding only" in caplog.text
    together, encodes = asked(vlm, QUESTIONS)
    alone = [asked(vlm, (question,))[0][0] for question in QUESTIONS]
    one_by_one, _ = asked(vlm, QUESTIONS, "naive")
    assert [answer for answer, _ in together] == [answer for answer, _ in alone] == [one for one, _ in one_by_one]
    assert [p for _, p in together] == pytest.approx([p for _, p in one_by_one], abs=1e-5)
    assert len({answer for answer, _ in together}) > 2
    assert encodes == 1
    *_, last = Engine(vlm, PredictSettings(max_new_tokens=6), Path()).stream(tiny_picture(0), QUESTIONS)
    assert len(last) == len(QUESTIONS)


def batch_of(vlm: Vlm, groups: list[list[tuple[str, str]]]) -> dict[str, Any]:
    pictures = [vlm.preprocess(tiny_picture(number)) for number in range(len(groups))]
    rows = [
        pack_onto(
            vlm.prefix_of(picture),
            [
                Branch(vlm.prompt.branch_ids(question)[0], [*vlm.prompt.answer_ids(answer), vlm.prompt.end_id])
                for question, answer in group
            ],
        )
        for picture, group in zip(pictures, groups, strict=True)
    ]
    return {"pixel_values": vlm.stacked(pictures), **collate(rows, vlm.pad_id)}


GROUPS = [
    [(QUESTIONS[0], "yes"), (QUESTIONS[3], "dark blue"), (QUESTIONS[2], "3")],
    [(QUESTIONS[5], "원"), (QUESTIONS[1], "red")],
]


@pytest.mark.parametrize("kind", sorted(UNFIT))
def test_the_loss_is_that_of_single_questions(kind: str) -> None:
    vlm = vlm_of(kind)
    prepare_stage(vlm, Stage("align"))
    whole = loss_of(vlm)(**batch_of(vlm, GROUPS))
    whole["loss"].backward()
    gradients = [parameter.grad.clone() for parameter in vlm.projector.parameters()]
    vlm.model.zero_grad()
    single = 0.0
    for number, group in enumerate(GROUPS):
        for pair in group:
            batch = batch_of(vlm, [[pair]])
            batch["pixel_values"] = vlm.stacked([vlm.preprocess(tiny_picture(number))])
            loss = own_loss(vlm, batch)
            loss.backward()
            single += float(loss.detach())
    assert float(whole["loss"].detach()) == pytest.approx(single, rel=1e-5)
    assert int(whole["tokens"]) == int((batch_of(vlm, GROUPS)["targets"] >= 0).sum())
    for found, parameter in zip(gradients, vlm.projector.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad, rtol=1e-3, atol=1e-4)


def own_loss(vlm: Vlm, batch: dict[str, Any]) -> torch.Tensor:
    """What the model makes of one question by its own mask."""
    embeds = vlm.embed(batch["input_ids"], vlm.encode_images(batch["pixel_values"]))
    logits = vlm.model.lm_head(vlm.language_model(inputs_embeds=embeds, use_cache=False).last_hidden_state)
    return torch.nn.functional.cross_entropy(logits[0].float(), batch["targets"][0], ignore_index=-100, reduction="sum")


@pytest.mark.parametrize("kind", ["lfm2", "mistral", "phimoe"])
def test_the_commands_train_and_answer(kind: str, tmp_path: Path) -> None:
    tower, language = tiny_parts(tmp_path)
    language_model(kind).save_pretrained(language)
    run = tiny_run(tmp_path, train_images=8)
    finetune.main(
        ["--run", str(run.root), "--vision-tower", str(tower), "--language-model", str(language), "--image-side-px",
         "32", "--stage", "lora", "--lora-rank", "4", "--max-steps", "20", "--learning-rate", "1e-2", "--log-every",
         "1", "--save-every", "100", "--precision", "fp32", "--batch-questions", "8"]
    )  # fmt: skip
    loss = list(losses(run).values())
    assert sum(loss[-5:]) < 0.7 * sum(loss[:5])
    answers = []
    for engine in ("shared", "naive"):
        predict.main(["--run", str(run.root), "--split", "val", "--precision", "fp32", "--engine", engine, "--restart"])
        answers.append({key: p.generated for key, p in read_predictions(run.predictions("val")).items()})
    assert answers[0] == answers[1]
    assert read_json(run.model / "vqa.json")["stage"]["name"] == "lora"


def test_a_window_that_no_row_outgrows_is_shared() -> None:
    wide = vlm_of("mistral", sliding_window=2000)
    assert wide.sharing is Sharing.PREFIX
    assert isinstance(loss_of(wide), PackedLoss)
    plain = vlm_of("mistral", sliding_window=None)
    assert asked(wide, QUESTIONS) == asked(plain, QUESTIONS)
    wide.language_model.config.sliding_window = 40  # the packed row outgrows it, no question does
    assert asked(wide, QUESTIONS[:3])[0] == asked(plain, QUESTIONS[:3])[0]


def test_the_embedded_kind_shares_all() -> None:
    assert tiny_vlm().sharing is Sharing.PREFIX
