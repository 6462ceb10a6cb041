"""Checkpoints both ways, on tiny parts and folders in LLaVA's layout; tests/parity/ has LLaVA itself."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoProcessor, AutoTokenizer, LlavaForConditionalGeneration

from eval.predict import main as predict
from tests.parity.world import write_llama_tokenizer
from tests.test_llava_checkpoint import llava_projector, write_llava
from tests.tiny import TINY_MODEL, tiny_language_model, tiny_parts, tiny_picture, tiny_run
from train.convert import main as convert
from train.finetune import main as finetune
from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.engine import Engine
from vqa_core.files import InputError, read_json, write_json
from vqa_core.parts import load_language_model, load_tower
from vqa_core.stages import Stage, describe_model_folder, load_model_folder, prepare_stage, save_model_folder
from vqa_core.vlm import Vlm, build_vlm

VOCABULARY = 320  # of tiny's tokeniser


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    tower, language_model = tiny_parts(tmp_path_factory.mktemp("parts"), tower="clip")
    described = read_json(tower / "preprocessor_config.json")
    write_json(tower / "preprocessor_config.json", described | {"crop_size": {"height": 32, "width": 32}})
    return {"mm_vision_tower": str(tower), "_name_or_path": str(language_model)}


def checkpoint(folder: Path, parts: dict[str, str], boundaries: bool, **config: Any) -> Path:
    """A projector as the peer writes it, from linear layers in bf16."""
    tensors = {name: tensor.bfloat16() for name, tensor in llava_projector("linear").items()}
    if boundaries:
        base = load_file(Path(parts["_name_or_path"]) / "model.safetensors")["model.embed_tokens.weight"]
        tensors["embed_tokens.weight"] = torch.cat([base, torch.randn(2, 32)]).bfloat16()
        config |= {"mm_use_im_start_end": True, "mm_use_im_patch_token": False, "vocab_size": VOCABULARY + 2}
    return write_llava(folder, tensors, **parts | config)


def tensors_of(folder: Path) -> dict[str, Tensor]:
    return dict(torch.load(folder / "mm_projector.bin", weights_only=True))


def assert_same_tensors(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype, name
        assert torch.equal(tensor, other[name]), name


def round_trip(source: Path, folder: Path, *, patch_token: bool = False) -> None:
    """A LLaVA projector predicts, trains on for two steps, and comes back; what was not trained is the same bytes."""
    model, run, trained = folder / "model", tiny_run(folder), folder / "trained"
    convert(["--from", str(source), "--to", str(model)])
    predict(["--run", str(run.root), "--model", str(model), "--max-new-tokens", "3"])
    assert len(run.predictions("test").read_text().splitlines()) == len(run.examples("test"))

    (folder / "second").mkdir()
    run = tiny_run(folder / "second")
    arguments = ["--init-from", str(model), "--max-steps", "2", "--precision", "fp32", "--learning-rate", "0.01"]
    finetune(["--run", str(run.root), *arguments, "--text-token-budget", "256"])
    assert describe_model_folder(run.model).settings == describe_model_folder(model).settings
    for start, out in ((model, folder / "llava-same"), (run.root, trained)):
        convert(["--from", str(start), "--to-llava", str(out)])

    before, same, after = (tensors_of(path) for path in (source, folder / "llava-same", trained))
    embeddings = "model.embed_tokens.weight"
    if embeddings in before and patch_token:  # <im_patch>, which is never learnt and not written
        before[embeddings] = torch.cat([before[embeddings][:-3], before[embeddings][-2:]])
    assert_same_tensors(before, same)
    if embeddings in after:  # all but the two vectors are the language model's
        base = load_language_model(describe_model_folder(model).settings.language_model, torch.float32)
        rows = after.pop(embeddings)
        assert torch.equal(rows[:-2], base.get_input_embeddings().weight)
        after["boundaries"], before["boundaries"] = rows[-2:], before[embeddings][-2:]
    for name, tensor in after.items():  # two steps from where it was, and no fresh start
        assert 0 < (tensor - before[name].float()).abs().max() < 0.1


@pytest.mark.parametrize("boundaries", [False, True])
def test_a_projector_of_llava_s_predicts_trains_on_and_comes_back(
    boundaries: bool, parts: dict[str, str], tmp_path: Path
) -> None:
    round_trip(checkpoint(tmp_path / "llava", parts, boundaries), tmp_path)


def test_settings_come_from_the_checkpoint_and_flags_win(parts: dict[str, str], tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "a", parts, False, image_aspect_ratio="pad", mm_vision_select_layer=-1)
    convert(["--model-path", str(source), "--to", str(tmp_path / "one")])
    settings = describe_model_folder(tmp_path / "one").settings
    assert (settings.vision_tower, settings.language_model) == (parts["mm_vision_tower"], parts["_name_or_path"])
    assert (settings.image_aspect, settings.image_side_px, settings.vision_feature_layer) == ("pad", 32, -1)
    assert (settings.projector, settings.prompt_style) == ("linear", "vicuna_v1")
    source = checkpoint(tmp_path / "b", parts, False, _name_or_path="/no/such")
    flags = ["--model-base", parts["_name_or_path"], "--prompt-style", "plain", "--image-aspect", "square"]
    convert(["--model-path", str(source), *flags, "--to", str(tmp_path / "two")])
    settings = describe_model_folder(tmp_path / "two").settings
    assert (settings.language_model, settings.prompt_style) == (parts["_name_or_path"], "plain")


@pytest.mark.parametrize(
    ("version", "boundaries", "style"),
    [
        ("4.31.0", True, "vicuna_v1_start_end"),  # the Dacon team's
        ("4.31.0", False, "vicuna_v1"),
        ("4.34.0", True, "vicuna_v1"),
        ("4.37.2", True, "vicuna_v1"),
        ("", True, "vicuna_v1"),
    ],
)
def test_the_prompt_is_that_of_the_tokenisers_of_its_day(
    version: str, boundaries: bool, style: str, parts: dict[str, str], tmp_path: Path
) -> None:
    source = checkpoint(tmp_path / "llava", parts, boundaries, transformers_version=version)
    convert(["--from", str(source), "--to", str(tmp_path / "model")])
    assert describe_model_folder(tmp_path / "model").settings.prompt_style == style


def test_the_bases_own_chat_template_is_written_out(parts: dict[str, str], tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(parts["_name_or_path"], base)
    (base / "chat_template.jinja").write_text("Q: {{ messages[0]['content'] }} A:")
    source = checkpoint(tmp_path / "llava", parts | {"_name_or_path": str(base)}, False)
    convert(["--from", str(source), "--prompt-style", "template", "--to", str(tmp_path / "model")])
    assert describe_model_folder(tmp_path / "model").settings.prompt_style == "Q: <image>\n<question> A:<answer>"


@pytest.mark.parametrize("trained_tower", [False, True])
def test_a_whole_model_becomes_a_model_folder_and_its_parts(
    trained_tower: bool, parts: dict[str, str], tmp_path: Path
) -> None:
    language, tower = Path(parts["_name_or_path"]), Path(parts["mm_vision_tower"])
    source = checkpoint(tmp_path / "source", parts, False)
    config = read_json(language / "config.json") | read_json(source / "config.json") | {"vocab_size": VOCABULARY}
    write_json(source / "config.json", config | {"model_type": "llava", "dtype": "float32"})
    whole = {name: tensor * 0.5 for name, tensor in load_file(language / "model.safetensors").items()}
    eyes = load_file(tower / "model.safetensors")
    eyes = {
        name: tensor * 0.5 if trained_tower else tensor.half() for name, tensor in eyes.items()
    }  # rounded is no news
    of_llava = {f"model.vision_tower.vision_tower.{name}": tensor for name, tensor in eyes.items()}
    save_file(whole | of_llava | tensors_of(source), source / "model.safetensors")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (source / name).write_bytes((language / name).read_bytes())
    convert(["--from", str(source), "--to", str(tmp_path / "out")])
    settings = describe_model_folder(tmp_path / "out").settings
    assert settings.language_model == str(tmp_path / "out-language-model")
    assert settings.vision_tower == str(tmp_path / "out-vision-tower" if trained_tower else tower)
    vlm = load_model_folder(tmp_path / "out")
    assert torch.equal(vlm.language_model.embed_tokens.weight, whole["model.embed_tokens.weight"])
    for name, tensor in load_tower(str(tower), torch.float32).named_parameters():
        assert torch.equal(vlm.vision_tower.get_parameter(name), tensor * 0.5 if trained_tower else tensor)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"num_hidden_layers": 32}, "its num_hidden_layers is 32, that one's is 3"),
        ({"image_aspect_ratio": "anyres"}, "image_aspect_ratio 'anyres' is not supported, only square or pad is"),
        ({"mm_vision_select_feature": "cls_patch"}, "'cls_patch' is not supported, only patch is"),
        ({"_name_or_path": None}, "Name it with --base"),
        ({"mm_vision_tower": None}, "Name the tower with --vision-tower"),
        ({"mm_vision_tower": "/no/such"}, "The vision tower '/no/such' can't be loaded"),
    ],
)
def test_a_checkpoint_that_can_t_be_had_here_is_refused_in_a_sentence(
    config: dict[str, Any], says: str, parts: dict[str, str], tmp_path: Path
) -> None:
    source = checkpoint(tmp_path / "source", parts | config, False)
    with pytest.raises(InputError) as error:
        convert(["--from", str(source), "--to", str(tmp_path / "out")])
    assert says in str(error.value)
    assert not (tmp_path / "out").exists()


ALIGN = Stage("align")


def model_folder(folder: Path, parts: dict[str, str], stage: Stage = ALIGN, **settings: Any) -> Vlm:
    """A model folder, and the model as it comes back from it."""
    names = {"vision_tower": parts["mm_vision_tower"], "language_model": parts["_name_or_path"]}
    vlm = build_vlm(ModelSettings(**TINY_MODEL | names | settings))
    prepare_stage(vlm, stage)
    generator = torch.Generator().manual_seed(5)
    for parameter in vlm.model.parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn(parameter.shape, generator=generator) * 0.1
    save_model_folder(folder, vlm, stage, about={})
    return load_model_folder(folder)


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
        answer = processor.decode(output, skip_special_tokens=True).strip()
        assert answer == engine.ask(picture, [question])[0].generated
        answers.add(answer)
    assert len(answers) > 1


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


def test_lora_goes_to_llava_and_comes_back_as_it_was(parts: dict[str, str], tmp_path: Path) -> None:
    stage = Stage("lora", 2, 4.0, 0.1, ("q_proj", "v_proj"))
    model_folder(tmp_path / "ours", parts, stage, projector="mlp3x_gelu")
    convert(["--from", str(tmp_path / "ours"), "--to-llava", str(tmp_path / "llava-lora")])
    convert(["--from", str(tmp_path / "llava-lora"), "--to", str(tmp_path / "back"), "--prompt-style", "chatml"])
    before, after = (describe_model_folder(tmp_path / name) for name in ("ours", "back"))
    assert after.stage == before.stage
    assert after.settings == before.settings
    assert_same_tensors(before.tensors(), after.tensors())
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


def test_what_is_there_already_is_not_written_over(parts: dict[str, str], tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "llava", parts, False)
    with pytest.raises(InputError, match="is there already and is not empty"):
        convert(["--from", str(source), "--to", str(source)])
    with pytest.raises(InputError, match="is LLaVA's already"):
        convert(["--from", str(source), "--to-llava", str(tmp_path / "out")])
    with pytest.raises(InputError, match="is neither a folder of LLaVA"):
        convert(["--from", parts["_name_or_path"], "--to", str(tmp_path / "out")])
    model_folder(tmp_path / "ours", parts)
    with pytest.raises(InputError, match="is a model folder of this workbench already"):
        convert(["--from", str(tmp_path / "ours"), "--to", str(tmp_path / "out")])


def test_a_checkpoint_of_llava_s_given_as_a_part_is_answered_with_the_command_that_converts_it(
    parts: dict[str, str], tmp_path: Path
) -> None:
    source = checkpoint(tmp_path / "llava", parts, False, model_type="llava", mm_projector_type=None)
    with pytest.raises(InputError, match=r"an original LLaVA checkpoint.*train\.convert --from"):
        build_vlm(ModelSettings(vision_tower=parts["mm_vision_tower"], language_model=str(source)))
    run = tiny_run(tmp_path)
    with pytest.raises(InputError, match=r"no vqa\.json.*train\.convert --from"):
        predict(["--run", str(run.root), "--model", str(source)])
