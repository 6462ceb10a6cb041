"""Loading other people's models: revisions, few bits, their code, offline. What a GPU alone can do is not done here."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForImageTextToText, CLIPConfig, CLIPModel, CLIPTextConfig, ViTConfig, ViTModel
from transformers.quantizers.quantizers_utils import should_convert_module

from tests.support.tiny import (
    TINY_MODEL,
    randomised,
    tiny_language_model,
    tiny_parts,
    tiny_tokenizer,
    tiny_tower,
    tiny_vlm,
)
from tests.support.tiny_hub import tiny_hub
from vqa_core.config import ModelSettings, PredictSettings, TrainSettings
from vqa_core.files import InputError, read_json
from vqa_core.model import loading, parts
from vqa_core.model.build import build_any
from vqa_core.model.folder import load_model_folder, save_model_folder
from vqa_core.model.hub.loading import check_image_text_model, load_image_text_model
from vqa_core.model.loading import LoadOptions, load_in_of, pretrained_keywords
from vqa_core.model.stages import prepare_stage
from vqa_core.model.vlm import build_vlm, cast_weights
from vqa_core.runs.model_folder import Stage

CLIP, VICUNA = "openai/clip-vit-large-patch14", "lmsys/vicuna-7b-v1.3"


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    tower, language_model = tiny_parts(tmp_path_factory.mktemp("parts"))
    return {"vision_tower": str(tower), "language_model": str(language_model)}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA device and bitsandbytes, as far as asking for them goes."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(loading, "is_bitsandbytes_available", lambda: True)


@pytest.mark.parametrize(
    ("revision", "clip", "vicuna"),
    [
        ((), None, None),
        (("refs/pr/3",), "refs/pr/3", "refs/pr/3"),
        ((f"{CLIP}@32bd642",), "32bd642", None),
        ((f"{VICUNA}@v1", "main"), "main", "v1"),
    ],
)
def test_a_revision_is_for_all_hub_ids_or_for_one(revision: tuple[str, ...], clip: str, vicuna: str) -> None:
    options = LoadOptions(revision=revision)
    assert [pretrained_keywords(name, options).get("revision") for name in (CLIP, VICUNA)] == [clip, vicuna]


def test_a_folder_has_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "openai").mkdir()
    for name in (str(tmp_path), "openai", "./openai"):
        assert "revision" not in pretrained_keywords(name, LoadOptions(revision=("main",)))


def test_no_code_of_a_model_runs_unless_its_name_was_given() -> None:
    options = LoadOptions(trust_remote_code=(CLIP,))
    assert pretrained_keywords(VICUNA)["trust_remote_code"] is False  # and not None, on which transformers asks
    assert [pretrained_keywords(name, options)["trust_remote_code"] for name in (CLIP, VICUNA)] == [True, False]


def test_every_part_is_asked_for_at_its_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    class Stop(BaseException):
        pass

    def note(path: str, **how: Any) -> Any:
        asked.append((path, how))
        raise Stop

    for kind in (parts.AutoConfig, parts.AutoTokenizer, parts.AutoModelForCausalLM):
        monkeypatch.setattr(kind, "from_pretrained", note)
    monkeypatch.setattr(parts.ImageProcessingMixin, "get_image_processor_dict", note)
    options = LoadOptions(revision=(f"{CLIP}@a", f"{VICUNA}@b"), trust_remote_code=(VICUNA,))
    for load in (
        lambda: parts.load_tower(CLIP, torch.bfloat16, options),
        lambda: parts.preprocessor_of(CLIP, options),
        lambda: parts.load_language_model(VICUNA, torch.bfloat16, options),
        lambda: parts.load_tokenizer(VICUNA, options, legacy=True),
        lambda: parts.language_config(VICUNA, options),
    ):
        with pytest.raises(Stop):
            load()
    plain = {"revision": "b", "trust_remote_code": True}
    assert asked == [
        (CLIP, {"revision": "a", "trust_remote_code": False}),
        (CLIP, {"revision": "a", "trust_remote_code": False}),
        (VICUNA, plain | {"dtype": torch.bfloat16, "output_loading_info": True}),
        (VICUNA, plain | {"legacy": True}),
        (VICUNA, plain),
    ]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            LoadOptions(revision=("openai/clip@main",)),
            "--revision names 'openai/clip', which is no part here; there are",
        ),
        (LoadOptions(trust_remote_code=("org/other",)), "--trust-remote-code names 'org/other'"),
    ],
    ids=["revision", "trust"],
)
def test_a_name_that_is_none_of_the_parts_is_refused(options: LoadOptions, says: str) -> None:
    with pytest.raises(InputError, match=says):
        build_vlm(ModelSettings(vision_tower=CLIP, language_model=VICUNA), options=options)


def test_the_revision_is_stored_with_a_model_and_trust_in_code_is_not(names: dict[str, str], tmp_path: Path) -> None:
    settings = ModelSettings(**TINY_MODEL | names, revision=("main",))
    vlm = build_vlm(settings)
    prepare_stage(vlm, Stage("align"))
    save_model_folder(tmp_path, vlm, Stage("align"), about={})
    written = read_json(tmp_path / "vqa.json")
    assert written["model"]["revision"] == ["main"]
    assert load_model_folder(tmp_path).settings == settings
    assert "trust" not in json.dumps(written)


def test_of_a_whole_clip_the_vision_side_is_loaded_weight_for_weight(tmp_path: Path) -> None:
    """openai/clip-vit-large-patch14 is one: a text side beside the tower, projections, and the positions' numbers."""
    text = CLIPTextConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    sides = {"text_config": text.to_dict(), "vision_config": tiny_tower("clip").config.to_dict()}
    clip = randomised(CLIPModel(CLIPConfig(**sides, projection_dim=8)), 5)
    clip.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert {name.split(".")[0] for name in tensors} > {"text_model", "vision_model", "visual_projection"}

    expected = dict(clip.vision_model.named_parameters())
    found = dict(parts.load_tower(str(tmp_path), torch.float32).named_parameters())
    assert found.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())
    assert parts.tower_config(str(tmp_path)).hidden_size == 24


def test_a_part_with_code_of_its_own_is_refused_with_the_flag_that_allows_it(tmp_path: Path) -> None:
    auto_map = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": auto_map}))
    (tmp_path / "code.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(InputError, match=f"Python code of its own.*add --trust-remote-code {tmp_path}"):
        parts.load_language_model(str(tmp_path), torch.float32)


@pytest.mark.parametrize("what", ["vision tower", "language model"])
def test_offline_a_model_that_is_not_here_is_named_with_the_way_to_get_it(what: str) -> None:
    name = "no-such-org/no-such-model"
    load = parts.load_tower if what == "vision tower" else parts.load_language_model
    with pytest.raises(InputError) as error:
        load(name, torch.float32)
    assert f"The {what} '{name}' is not on this machine, and HF_HUB_OFFLINE" in str(error.value)
    assert f"`hf download {name}`" in str(error.value)


@pytest.mark.parametrize(
    "error",
    [
        ImportError("\nSomeProcessor requires the Torchvision library but it was not found in your environment. Check"),
        ValueError("None of these classes could be imported. Missing optional dependencies: torchvision. Please"),
    ],
)
def test_a_package_that_a_model_needs_is_named(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(_: Any) -> Any:
        raise error

    base = tiny_hub("qwen2_vl", tmp_path)
    monkeypatch.setattr("vqa_core.model.hub.loading._processor_class", lacking)
    with pytest.raises(InputError, match=r"needs torchvision, which is not installed: pip install torchvision$"):
        build_any(ModelSettings(base_model=str(base)))


def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub() -> None:
    with pytest.raises(InputError, match=r"'/no/such' can't be loaded: .*Give `embedded`"):
        parts.load_tower("/no/such", torch.float32)


@pytest.mark.usefixtures("gpu")
def test_four_bits_are_qlora_s_nf4_on_the_process_s_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    how = pretrained_keywords(VICUNA, LoadOptions(load_in="4bit"), dtype=torch.bfloat16, quantise=True)
    config = how["quantization_config"]
    assert (config.load_in_4bit, config.load_in_8bit) == (True, False)
    assert (config.bnb_4bit_quant_type, config.bnb_4bit_use_double_quant) == ("nf4", True)
    assert config.bnb_4bit_compute_dtype == torch.bfloat16
    assert (how["device_map"], how["dtype"]) == ({"": 1}, torch.bfloat16)


@pytest.mark.usefixtures("gpu")
def test_eight_bits_are_llm_int8_and_only_language_models_are_quantised() -> None:
    options = LoadOptions(load_in="8bit")
    how = pretrained_keywords(VICUNA, options, dtype=torch.bfloat16, quantise=True)
    assert (how["quantization_config"].load_in_8bit, how["quantization_config"].load_in_4bit) == (True, False)
    assert "quantization_config" not in pretrained_keywords(CLIP, options, dtype=torch.bfloat16)
    full = pretrained_keywords(VICUNA, LoadOptions(), dtype=torch.bfloat16, quantise=True)
    assert full.keys() == {"trust_remote_code", "dtype"}


@pytest.mark.parametrize("load_in", ["8bit", "4bit"])
def test_few_bits_are_refused_in_a_sentence_without_a_gpu_or_bitsandbytes(
    load_in: str, names: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = LoadOptions(load_in=load_in)
    with pytest.raises(InputError, match=f"--load-in {load_in} needs a CUDA device, and there is none here"):
        build_vlm(ModelSettings(**TINY_MODEL | names), options=options)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(loading, "is_bitsandbytes_available", lambda: False)
    with pytest.raises(InputError, match="needs bitsandbytes, which is not installed: pip install bitsandbytes"):
        pretrained_keywords(VICUNA, options, dtype=torch.bfloat16, quantise=True)


def test_options_come_from_the_settings_of_either_stage() -> None:
    model = ModelSettings(revision=("v1",))
    for how in (TrainSettings, PredictSettings):
        assert LoadOptions.of(model, how(load_in="4bit", trust_remote_code=(VICUNA,))) == LoadOptions(
            ("v1",), "4bit", (VICUNA,)
        )
    assert LoadOptions.of(model) == LoadOptions(("v1",))


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("kind", ["llava", "qwen2_5_vl", "idefics3", "mllama", "gemma3"])
@pytest.mark.parametrize("load_in", ["4bit", "8bit"])
def test_of_a_whole_model_the_language_model_alone_is_quantised(
    kind: str, load_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, asked = str(tiny_hub(kind, tmp_path)), {}

    def stop(*_: Any, **how: Any) -> None:
        asked.update(how)
        raise OSError("enough")

    whole = AutoModelForImageTextToText.from_pretrained(folder)
    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", stop)
    with pytest.raises(InputError, match="enough"):
        load_image_text_model(folder, dtype=torch.float32, attention="sdpa", options=LoadOptions(load_in=load_in))
    skipped = asked["quantization_config"].llm_int8_skip_modules
    quantised = {
        name
        for name, module in whole.named_modules()
        if isinstance(module, nn.Linear) and should_convert_module(name, skipped)
    }
    language = {id(module) for module in whole.get_decoder().modules()}
    of_language = {
        name for name, module in whole.named_modules() if isinstance(module, nn.Linear) and id(module) in language
    }
    assert quantised == of_language


def without(folder: Path, part: str) -> list[str]:
    """Take the weights with `part` in their names out of a folder; their names."""
    (path,) = folder.glob("*.safetensors")
    tensors = load_file(path)
    gone = [name for name in tensors if part in name]
    save_file({name: tensor for name, tensor in tensors.items() if name not in gone}, path, {"format": "pt"})
    return gone


@pytest.mark.parametrize(
    ("part", "what", "gone"),
    [
        ("tower", "vision tower", "layer.1."), ("language-model", "language model", "layers.2.mlp"),
        ("language-model", "language model", "lm_head"), ("hub", "model", "projector"),
        ("hub", "model", "lm_head"), ("hub", "model", "vision_tower.encoder.layers.0"),
    ],
)  # fmt: skip
def test_weights_that_are_missing_are_said_and_not_drawn(part: str, what: str, gone: str, tmp_path: Path) -> None:
    tower, language = tiny_parts(tmp_path)
    folder = tiny_hub("llava", tmp_path / "hub") if part == "hub" else tmp_path / part
    number = len(without(folder, gone))
    assert number
    settings = (
        ModelSettings(base_model=str(folder))
        if part == "hub"
        else ModelSettings(**TINY_MODEL, vision_tower=str(tower), language_model=str(language))
    )
    with pytest.raises(InputError, match=rf"The {what} .* lacks {number} of its weights, such as .*{gone}"):
        build_any(settings)


def test_weights_that_are_tied_or_never_used_may_be_missing(tmp_path: Path) -> None:
    tiny_language_model(tiny_tokenizer(), tied=True).save_pretrained(tmp_path / "tied")
    assert not without(tmp_path / "tied", "lm_head")
    assert parts.load_language_model(str(tmp_path / "tied"), torch.float32)
    shape = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    ViTModel(ViTConfig(**shape, intermediate_size=48), add_pooling_layer=False).save_pretrained(tmp_path / "vit")
    assert parts.load_tower(str(tmp_path / "vit"), torch.float32)
    tied = tiny_hub("llava", tmp_path / "hub", tie_word_embeddings=True)
    assert build_any(ModelSettings(base_model=str(tied)))


OLD_LLAVA = {"model_type": "llava", "mm_vision_tower": CLIP, "hidden_size": 4096, "mm_hidden_size": 1024}


def test_an_original_llava_on_the_hub_is_known_by_its_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "liuhaotian/llava-7b"
    cached = tmp_path / "models--liuhaotian--llava-7b"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs/main").write_text("0" * 40)
    (cached / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (cached / "snapshots" / ("0" * 40) / "config.json").write_text(json.dumps(OLD_LLAVA))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    said = rf"The {{}} '{name}' is an original LLaVA checkpoint. Fetch it with `hf download {name} --local-dir DIR`"
    with pytest.raises(InputError, match=said.format("model")):
        check_image_text_model(name)
    with pytest.raises(InputError, match=said.format("language model")):
        parts.load_language_model(name, torch.float32)
    with pytest.raises(InputError, match=said.format("vision tower")):
        parts.load_tower(name, torch.float32)


class Linear4bit(nn.Linear):
    """Stands in for bitsandbytes' layer of that name: weights are whole numbers, two to a byte."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(1, 1, bias=False)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        packed = torch.arange(layer.weight.numel() // 2, dtype=torch.uint8)
        self.weight = nn.Parameter(packed, requires_grad=False)


def quantised() -> Any:
    vlm = tiny_vlm()
    for layer in vlm.language_model.layers:
        layer.mlp.up_proj = Linear4bit(layer.mlp.up_proj)
    return vlm


def test_a_quantised_model_is_known_by_its_layers() -> None:
    assert (load_in_of(tiny_vlm().model), load_in_of(quantised().model)) == ("full", "4bit")


def test_quantised_weights_stay_as_they_are_when_the_others_change_format() -> None:
    vlm = quantised()
    before = vlm.language_model.layers[0].mlp.up_proj.weight.clone()
    cast_weights(vlm.model, torch.bfloat16)
    after = vlm.language_model.layers[0].mlp.up_proj.weight
    assert after.dtype == torch.uint8
    assert torch.equal(before, after)
    assert isinstance(vlm.autocast().__enter__(), type(None))  # whole numbers are no second number format


def test_lora_on_a_quantised_model_tells_peft_and_takes_its_layers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def note(config: Any, model: nn.Module) -> None:
        targets = {name.rsplit(".", 1)[-1] for name in config.target_modules}
        seen.update(bits=getattr(model, "is_loaded_in_4bit", False), targets=targets)

    monkeypatch.setattr("peft.inject_adapter_in_model", note)
    prepare_stage(quantised(), Stage("lora", lora_rank=2))
    assert seen["bits"] is True
    assert {"up_proj", "q_proj"} <= seen["targets"]


def test_lora_stays_beside_a_quantised_language_model(
    names: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage("lora", lora_rank=2, lora_alpha=4.0)
    vlm = build_vlm(ModelSettings(**TINY_MODEL | names))
    prepare_stage(vlm, stage)
    save_model_folder(tmp_path, vlm, stage, about={})
    for module in ("folder", "stages"):
        monkeypatch.setattr(f"vqa_core.model.{module}.load_in_of", lambda _model: "4bit")
    loaded = load_model_folder(tmp_path, dtype=torch.bfloat16, how=PredictSettings())
    assert any("lora_A" in name for name, _ in loaded.model.named_parameters())
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.bfloat16}
