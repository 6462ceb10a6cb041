"""A model without a chat template is asked by its processor alone; what can't be asked is said when it is loaded."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrOCRConfig, TrOCRProcessor, VisionEncoderDecoderConfig, ViTConfig
from transformers import VisionEncoderDecoderModel as VisionEncoderDecoder
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from eval import predict
from tests.support.hub_configs import SEEN
from tests.support.plain_hubs import PLAIN_KINDS, SQUARE, pix2struct_processor
from tests.support.stand_ins import KEPT
from tests.support.tiny import QUESTIONS, tiny_picture, tiny_run, tiny_tokenizer
from tests.support.tiny_hub import plain_inputs, tiny_hub, tokenizer_of
from train import finetune
from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.files import InputError, read_json, write_json
from vqa_core.inference.engine import Engine
from vqa_core.model.capabilities import CAPABILITIES
from vqa_core.model.hub.assembly import assemble_hub_model, build_hub_model
from vqa_core.model.hub.loading import load_image_text_model
from vqa_core.prompts.text_prompt import TextPrompt
from vqa_core.runs.predictions import read_predictions

PREDICT = ["--precision", "fp32", "--max-new-tokens", "4"]
SPELLED = "<image>Question: <question> Answer: <answer>"


def test_what_a_spelled_prompt_ends_with_ends_the_answer(tmp_path: Path) -> None:
    ended = "<image>Q: <question> A: <answer>\n"
    prompt = TextPrompt(tiny_tokenizer(), ended)
    assert [prompt.end_id] == prompt.tokenizer("\n")["input_ids"]
    hub = build_hub_model(ModelSettings(base_model=str(tiny_hub("blip-2", tmp_path))))
    asked = hub.with_prompt(ModelSettings(base_model=str(tmp_path), prompt_style=ended))
    assert asked.stop_ids == hub.stop_ids | {prompt.end_id}
    assert asked.model.generation_config.eos_token_id == sorted(asked.stop_ids)


@pytest.mark.parametrize("kind", ["llava", "paligemma"])
def test_prompts_without_a_place_for_the_picture_are_said(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_hub(kind, tmp_path)
    model, processor = load_image_text_model(str(tmp_path), dtype=torch.float32, attention="sdpa")
    if kind == "llava":
        del processor.image_token
    else:
        monkeypatch.setattr(model.config, "image_token_index", 1_000)  # a token that no prompt has
    with pytest.raises(InputError, match="its prompts have no token for the picture"):
        assemble_hub_model(model, processor, ModelSettings(base_model=str(tmp_path)))


@pytest.mark.parametrize("kind", ["paligemma", "florence2"])
def test_the_picture_s_tokens_are_the_processor_s(kind: str, tmp_path: Path) -> None:
    hub = build_hub_model(ModelSettings(base_model=str(tiny_hub(kind, tmp_path))))
    found = hub.question_inputs(hub.preprocess(tiny_picture(0)), QUESTIONS[0])
    expected = plain_inputs(hub.processor, tiny_picture(0), QUESTIONS[0])
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_a_prompt_that_is_spelled_out_is_asked_stored_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, run = tiny_hub("blip-2", tmp_path / "base"), tiny_run(tmp_path, train_images=2, test_images=2)
    predict.main(["--run", str(run.root), "--model", str(base), *PREDICT])
    assert "has no chat template: it is asked '<image><question><answer>'" in capsys.readouterr().err
    assert read_json(run.model / "vqa.json")["model"]["prompt_style"] == "<image><question><answer>"
    bare = read_predictions(run.predictions("test"))
    predict.main(["--run", str(run.root), "--prompt-style", SPELLED, *PREDICT, "--restart"])
    assert "was trained with the prompt style" in capsys.readouterr().err
    assert read_json(run.root / "predictions" / "test.meta.json")["prompt_style"] == SPELLED
    spelled = read_predictions(run.predictions("test"))
    assert any(bare[name].generated != spelled[name].generated for name in bare)
    hub = build_hub_model(ModelSettings(base_model=str(base), prompt_style=SPELLED))
    engine = Engine(hub, PredictSettings(max_new_tokens=4), run.data_root())
    assert {p.question_id: p.generated for p in engine.generate(run.examples("test"))} == {
        name: prediction.generated for name, prediction in spelled.items()
    }
    with pytest.raises(InputError, match="'chatml' is not for"):
        predict.main(["--run", str(run.root), "--prompt-style", "chatml", *PREDICT, "--restart"])


def test_questions_longer_than_the_budget_are_said_and_not_cut(tmp_path: Path) -> None:
    base, run = tiny_hub("paligemma", tmp_path / "base"), tiny_run(tmp_path, train_images=2)
    train = ["--run", str(run.root), "--base-model", str(base), "--stage", "lora", "--max-steps", "1"]
    with pytest.raises(InputError, match=r"processor takes them whole: .*Raise --text-token-budget to"):
        finetune.main([*train, "--text-token-budget", "8"])


def test_one_that_is_in_no_table_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    base = tiny_hub("blip-2", tmp_path)
    known = build_hub_model(ModelSettings(base_model=str(base)))
    monkeypatch.delitem(CAPABILITIES, "blip-2")
    unknown = build_hub_model(ModelSettings(base_model=str(base)))
    assert "'blip-2' is not in the table" in caplog.text
    found, expected = (
        [p.answer for p in Engine(hub, PredictSettings(max_new_tokens=4), Path()).ask(tiny_picture(0), QUESTIONS)]
        for hub in (unknown, known)
    )
    assert found == expected


def test_what_reads_pictures_and_takes_no_question_is_said(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    decoder = TrOCRConfig(
        vocab_size=len(tokenizer), d_model=32, decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=32
    )
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(ViTConfig(**SEEN), decoder)
    config.decoder_start_token_id = config.pad_token_id = 0
    VisionEncoderDecoder(config).save_pretrained(tmp_path)
    TrOCRProcessor(ViTImageProcessorPil(size=SQUARE), tokenizer).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="its processor makes nothing of a question, only pixel_values"):
        build_hub_model(ModelSettings(base_model=str(tmp_path)))


def test_an_error_of_its_own_program_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny_hub("florence2", tmp_path)
    kind = type(build_hub_model(ModelSettings(base_model=str(base))).model)

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("sizes do not match\nat layer 3")

    monkeypatch.setattr(kind, "generate", broken)
    with pytest.raises(InputError, match=r"'florence2' can't be asked .*: sizes do not match$"):
        build_hub_model(ModelSettings(base_model=str(base)))


def test_every_kind_without_a_template_says_so() -> None:
    assert {kind for kind, row in CAPABILITIES.items() if not row.chats} == PLAIN_KINDS.keys()


@pytest.mark.parametrize(
    ("lacks", "said"),
    [
        ("hf_api", "draws the question on the picture with a font of the hub .*`hf download ybelkada/fonts`"),
        ("requires_backends", "needs a package that is not on this machine. .* requires the PyTesseract library"),
    ],
)
def test_what_a_processor_lacks_here_is_said(
    lacks: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, kept = KEPT[lacks]
    monkeypatch.setattr(module, lacks, kept)
    kind = "pix2struct" if lacks == "hf_api" else "udop"
    with pytest.raises(InputError, match=rf"A model of type '{kind}' can't be asked: its processor {said}"):
        build_hub_model(ModelSettings(base_model=str(tiny_hub(kind, tmp_path))))


def test_a_processor_that_is_set_to_read_no_words_is_said(tmp_path: Path) -> None:
    tiny_hub("udop", tmp_path)
    settings = read_json(tmp_path / "processor_config.json")
    settings["image_processor"]["apply_ocr"] = False
    write_json(tmp_path / "processor_config.json", settings)
    with pytest.raises(InputError, match="'udop' can't be asked: it answers from the words in a picture"):
        build_hub_model(ModelSettings(base_model=str(tmp_path)))


def test_a_question_that_begins_what_is_generated_is_asked_and_learnt_so(tmp_path: Path) -> None:
    tiny_hub("pix2struct", tmp_path)
    pix2struct_processor(tokenizer_of(PLAIN_KINDS["pix2struct"]), asks=False).save_pretrained(tmp_path)
    hub = build_hub_model(ModelSettings(base_model=str(tmp_path)))
    expected = plain_inputs(hub.processor, tiny_picture(0), QUESTIONS[0])
    asked = [hub.model.config.decoder_start_token_id, *expected["decoder_input_ids"][0].tolist()]
    output = hub.model.generate(**expected, do_sample=False, max_new_tokens=4)[0].tolist()
    (found,) = Engine(hub, PredictSettings(max_new_tokens=4), Path()).ask(tiny_picture(0), QUESTIONS[:1])
    assert output[: len(asked)] == asked
    assert found.answer == hub.prompt.decode([token for token in output[len(asked) :] if token not in hub.stop_ids])
    answer = hub.prompt.answer_ids("dark blue")
    assert hub.prompt.decode(answer) == "dark blue"
    assert answer == hub.prompt.tokenizer(" dark blue")["input_ids"]
    taught = hub.training_inputs(hub.preprocess(tiny_picture(0)), QUESTIONS[0], [], [*answer, hub.prompt.end_id])
    assert taught["decoder_input_ids"].tolist() == [asked + answer]


@pytest.mark.parametrize("kind", ["llava", "blip-2"])
def test_another_prompt_makes_another_model_and_leaves_the_first_as_it_was(kind: str, tmp_path: Path) -> None:
    hub = build_hub_model(ModelSettings(base_model=str(tiny_hub(kind, tmp_path))))
    before = hub.prompt.text("is it?"), hub.prompt.answer_ids("red"), hub.settings
    asked = hub.with_prompt(ModelSettings(base_model=str(tmp_path), prompt_style=SPELLED, instruction="Be short."))
    assert type(asked) is type(hub)
    assert asked.prompt.text("is it?") == "<image>Question: is it?\nBe short. Answer:"
    assert (hub.prompt.text("is it?"), hub.prompt.answer_ids("red"), hub.settings) == before
