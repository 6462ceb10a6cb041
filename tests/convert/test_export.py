"""Models of ours for plain transformers and for LLaVA, on tiny parts; tests/parity/ has LLaVA itself."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoProcessor, AutoTokenizer, LlavaForConditionalGeneration

from tests.parity.world import write_llama_tokenizer
from tests.support.converting import ALIGN, VOCABULARY, assert_same_tensors, model_folder
from tests.support.tiny import tiny_language_model, tiny_picture, tiny_run
from train.convert import main as convert
from train.finetune import main as finetune
from vqa_core.commands import run_command
from vqa_core.config import PredictSettings
from vqa_core.convert import llava_export
from vqa_core.convert.llava_checkpoint import BOUNDARY_TOKENS
from vqa_core.files import InputError, read_json
from vqa_core.inference.engine import Engine
from vqa_core.model.folder import tensors_of
from vqa_core.model.reading.tensor_files import load_tensors
from vqa_core.prompts.characters import decode_whole
from vqa_core.prompts.styles import PROMPT_STYLES
from vqa_core.runs.model_folder import Stage, describe_model_folder

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("aspect", ["square", "pad", "stretch"])
@pytest.mark.parametrize("stage", [ALIGN, Stage("lora", lora_rank=2, lora_alpha=4.0)], ids=lambda s: s.name)
def test_plain_transformers_answers_as_we_do(
    stage: Stage, aspect: str, parts: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vlm = model_folder(tmp_path / "ours", parts, stage, image_aspect=aspect, instruction="Be short.")
    convert(["--from", str(tmp_path / "ours"), "--to-hf", str(tmp_path / "hf")])
    assert capsys.readouterr().out == f"Wrote {tmp_path / 'hf'}.\n"
    model, processor = (
        kind.from_pretrained(tmp_path / "hf") for kind in (LlavaForConditionalGeneration, AutoProcessor)
    )
    row, spare = model.lm_head.weight[[processor.image_token_id, vlm.image_token_id]]
    assert torch.equal(row, spare)  # never said, as the token that stands for the picture here is never said
    engine = Engine(vlm, PredictSettings(max_new_tokens=8), tmp_path)
    answers = set()
    for number, question in enumerate(("How many?", "Is it dark?", "색은 무엇인가요?")):
        picture = tiny_picture(number)
        parts_of_turn = [{"type": "image"}, {"type": "text", "text": question}]
        text = processor.apply_chat_template([{"role": "user", "content": parts_of_turn}], add_generation_prompt=True)
        assert text == vlm.prompt.text(question)
        inputs = processor(images=picture, text=text, return_tensors="pt")
        assert torch.equal(inputs["pixel_values"], vlm.pixels([picture]))
        output = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        answer = decode_whole(processor.tokenizer, output.tolist())
        assert answer == engine.ask(picture, [question])[0].generated
        answers.add(answer)
    assert len(answers) > 1


@pytest.mark.parametrize("target", ["--to-hf", "--to-llava"])
@pytest.mark.parametrize("there_before", [False, True])
def test_a_drive_that_fills_up_is_a_sentence_and_leaves_nothing(
    there_before: bool,
    target: str,
    parts: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model_folder(tmp_path / "ours", parts)
    out = tmp_path / "out"
    if there_before:
        out.mkdir()

    def full(*_: object, **__: object) -> None:
        out.mkdir(exist_ok=True)
        (out / "model.safetensors").write_bytes(b"half")
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(LlavaForConditionalGeneration, "save_pretrained", full)
    monkeypatch.setattr(llava_export, "save_file", full)
    monkeypatch.setattr(llava_export, "write_json", full)
    with pytest.raises(SystemExit) as exit:
        run_command(convert, ["--from", str(tmp_path / "ours"), target, str(out)])
    assert exit.value.code == 2
    assert f"error: {out} cannot be written: its drive is full" in capsys.readouterr().err
    assert not out.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours"]


def test_half_precision_is_written_where_it_is_asked_for(parts: dict[str, str], tmp_path: Path) -> None:
    model_folder(tmp_path / "ours", parts)
    convert(["--from", str(tmp_path / "ours"), "--to-hf", str(tmp_path / "hf"), "--save-dtype", "bf16"])
    assert {tensor.dtype for tensor in load_file(tmp_path / "hf/model.safetensors").values()} == {torch.bfloat16}


def test_plain_transformers_tokenises_llama_s_prompts_as_training_did(
    parts: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It puts the whole prompt through the tokeniser at once, which then has to set a blank after the picture."""
    folder = write_llama_tokenizer(tmp_path / "vicuna")
    tiny_language_model(AutoTokenizer.from_pretrained(folder)).save_pretrained(folder)
    vlm = model_folder(tmp_path / "ours", parts | {"_name_or_path": str(folder)}, prompt_style="vicuna_v1")
    convert(["--from", str(tmp_path / "ours"), "--to-hf", str(tmp_path / "hf")])
    assert capsys.readouterr().out == f"Wrote {tmp_path / 'hf'}.\n"
    processor = AutoProcessor.from_pretrained(tmp_path / "hf")
    made = processor(images=tiny_picture(0), text=vlm.prompt.text("What shape?"))["input_ids"][0]
    image = [processor.image_token_id] * vlm.image_tokens
    assert list(made) == [*vlm.prompt.prefix_ids, *image, *vlm.prompt.branch_ids("What shape?")[0]]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"projector": "linear"}, "this model's is linear"),
        ({"projector": "mlp3x_gelu"}, "this model's is mlp3x_gelu"),
        ({"projector": "mlp2x_gelu", "image_boundaries": True}, "this model's is mlp2x_gelu with boundary vectors"),
        ({"image_side_px": 64}, "at --image-side-px 64"),
    ],
)
def test_what_transformers_would_compute_otherwise_is_not_written_for_it(
    settings: dict[str, Any], says: str, parts: dict[str, str], tmp_path: Path
) -> None:
    model_folder(tmp_path / "ours", parts, **settings)
    with pytest.raises(InputError, match=says):
        convert(["--from", str(tmp_path / "ours"), "--to-hf", str(tmp_path / "hf")])
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"projector": "pooled_mlp"}, "LLaVA does not have a projector 'pooled_mlp'"),
        ({"image_side_px": 64, "image_aspect": "stretch"}, "pictures of 64 px, .* 32; nor --image-aspect stretch"),
    ],
)
def test_what_llava_lacks_is_not_written_for_it(
    settings: dict[str, Any], says: str, parts: dict[str, str], tmp_path: Path
) -> None:
    model_folder(tmp_path / "ours", parts, **settings)
    with pytest.raises(InputError, match=says):
        convert(["--from", str(tmp_path / "ours"), "--to-llava", str(tmp_path / "llava")])
    assert not (tmp_path / "llava").exists()


def assert_comes_back(folder: Path, **flags: str) -> None:
    """`folder/ours`, written to `folder/llava-lora`, is read from there as it was, and no part is written beside it."""
    given = [word for name, value in flags.items() for word in (f"--{name.replace('_', '-')}", value)]
    convert(["--from", str(folder / "llava-lora"), "--to", str(folder / "back"), *given])
    before, after = (describe_model_folder(folder / name) for name in ("ours", "back"))
    assert after.settings == before.settings
    assert after.stage.lora_rank == before.stage.lora_rank
    assert_same_tensors(tensors_of(before.folder), tensors_of(after.folder))


def test_lora_goes_to_llava_and_comes_back_as_it_was(parts: dict[str, str], tmp_path: Path) -> None:
    stage = Stage("lora", 2, 4.0, 0.1, ("q_proj", "v_proj"))
    model_folder(tmp_path / "ours", parts, stage, projector="mlp3x_gelu")
    convert(["--from", str(tmp_path / "ours"), "--to-llava", str(tmp_path / "llava-lora")])
    assert_comes_back(tmp_path, prompt_style="chatml")
    after = describe_model_folder(tmp_path / "back")
    assert after.stage == stage
    run = tiny_run(tmp_path)
    finetune(["--run", str(run.root), "--init-from", str(tmp_path / "back"), "--max-steps", "1"])
    trained = describe_model_folder(run.model)
    assert (trained.stage, trained.settings) == (after.stage, after.settings)


def test_lora_on_every_layer_names_the_layers_that_llava_has_to_put_it_on(
    parts: dict[str, str], tmp_path: Path
) -> None:
    model_folder(tmp_path / "ours", parts, Stage("lora", 2, 4.0), projector="linear")  # as the configs: none named
    convert(["--from", str(tmp_path / "ours"), "--to-llava", str(tmp_path / "llava-lora")])
    everywhere = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
    assert read_json(tmp_path / "llava-lora/adapter_config.json")["target_modules"] == everywhere


def with_boundary_tokens(parts: dict[str, str], folder: Path) -> dict[str, str]:
    """The parts with a language model like that of a whole LLaVA: its tokeniser ends with LLaVA's own tokens."""
    tokenizer = AutoTokenizer.from_pretrained(parts["_name_or_path"])
    tokenizer.add_tokens(["<im_patch>", *BOUNDARY_TOKENS], special_tokens=True)
    tiny_language_model(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return parts | {"_name_or_path": str(folder)}


@pytest.mark.parametrize("stage", ["align", "lora", "full"])
def test_a_tokeniser_that_has_llava_s_tokens_gets_no_others(
    stage: str, parts: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grown = with_boundary_tokens(parts, tmp_path / "base")
    how = Stage(stage, 2, 4.0) if stage == "lora" else Stage(stage)
    vlm = model_folder(tmp_path / "ours", grown, how, projector="linear", image_boundaries=True)
    out = tmp_path / "llava-lora"
    convert(["--from", str(tmp_path / "ours"), "--to-llava", str(out)])
    assert "size mismatch" not in capsys.readouterr().out
    config = read_json(out / "config.json")
    assert (config["vocab_size"], config["mm_use_im_start_end"]) == (VOCABULARY + 3, True)
    files = {"align": "mm_projector.bin", "lora": "non_lora_trainables.bin", "full": "model.safetensors"}
    tensors = load_tensors(out / files[stage])
    (name,) = (name for name in tensors if name.endswith("embed_tokens.weight"))
    assert torch.equal(tensors[name][:-2], vlm.language_model.embed_tokens.weight[:-2])
    assert torch.equal(tensors[name][-2:], torch.stack([vlm.projector.start, vlm.projector.end]))
    heads = [tensor for name, tensor in tensors.items() if name.endswith("lm_head.weight")]
    assert [torch.equal(head, vlm.model.lm_head.weight) for head in heads] == [True] * (stage == "full")
    if stage == "lora":
        assert_comes_back(tmp_path, prompt_style="chatml")


def test_lora_with_boundaries_brings_llava_the_whole_head_which_its_loader_leaves_empty(
    parts: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vlm = model_folder(tmp_path / "ours", parts, Stage("lora", 2, 4.0), projector="linear", image_boundaries=True)
    convert(["--from", str(tmp_path / "ours"), "--to-llava", str(tmp_path / "llava-lora")])
    assert "size mismatch" not in capsys.readouterr().out
    tensors = load_tensors(tmp_path / "llava-lora/non_lora_trainables.bin")
    embeddings, head = (tensors[f"base_model.model.{name}"] for name in ("model.embed_tokens.weight", "lm_head.weight"))
    assert len(embeddings) == len(head) == VOCABULARY + 2
    assert torch.equal(head[:-2], vlm.model.lm_head.weight)
    assert torch.equal(head[-2:], head[:-2].mean(0).expand(2, -1))
    assert torch.equal(embeddings[-2:], torch.stack([vlm.projector.start, vlm.projector.end]))
    assert_comes_back(tmp_path, prompt_style="chatml")


@pytest.mark.parametrize(
    ("style", "instruction", "says"),
    [
        ("vicuna_v1", "", "Ask it there with --conv-mode vicuna_v1.\n"),
        ("mistral", "", "Ask it there with --conv-mode mistral_instruct.\n"),
        (PROMPT_STYLES["llava_v1"].text, "", "Ask it there with --conv-mode llava_v1.\n"),
        ("vicuna_v1", "Be short.", "vicuna_v1, and 'Be short.' on a line of its own after each question.\n"),
        (
            "chatml",
            "",
            "LLaVA has no --conv-mode for the prompt of training, 'chatml': its answers may be worse there.\n",
        ),
        ("vicuna_v1_start_end", "", "no --conv-mode for the prompt of training, 'vicuna_v1_start_end'"),
    ],
)
def test_it_is_told_how_llava_asks_as_the_model_was_trained(
    style: str, instruction: str, says: str, parts: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model_folder(tmp_path / "ours", parts, prompt_style=style, instruction=instruction)
    convert(["--from", str(tmp_path / "ours"), "--to-llava", str(tmp_path / "llava")])
    assert says in capsys.readouterr().out
