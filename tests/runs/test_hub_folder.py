"""A folder of a Hugging Face model is looked at before it is loaded: what lacks, what it is instead, what to do."""

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.support.damage import to_half, to_pointer
from vqa_core.files import InputError
from vqa_core.runs.hub_folder import CONFIG, PICTURES, PROCESSOR, TOKENIZER, WEIGHTS, check_hub_folder
from vqa_core.runs.other_folders import check_folder

WHAT = "language model"


def write_weights(path: Path, *names: str, dtype: str = "F32") -> Path:
    header = {
        name: {"dtype": dtype, "shape": [2, 2], "data_offsets": [16 * place, 16 * place + 16]}
        for place, name in enumerate(names)
    }
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\1" * 16 * len(names))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of a language model."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    write_weights(model / "model.safetensors", "model.layers.0.mlp.up_proj.weight", "lm_head.weight")
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "preprocessor_config.json"):
        (model / name).write_text("{}")
    return model


def configure(folder: Path, **keys: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | keys))


def said_of(folder: Path, loads: str = WEIGHTS, **how: Any) -> str:
    with pytest.raises(InputError) as error:
        check_hub_folder(WHAT, folder, loads, **how)
    assert str(folder) in str(error.value)
    return str(error.value)


def test_a_whole_folder_is_let_through(folder: Path) -> None:
    for loads in (CONFIG, WEIGHTS, TOKENIZER, PICTURES, PROCESSOR):
        check_hub_folder(WHAT, folder, loads)


def test_only_what_is_loaded_is_looked_at(folder: Path) -> None:
    """Someone who pulled the safetensors alone has pointers beside them that do no harm."""
    for name in ("pytorch_model.bin", "tf_model.h5", "tokenizer.model", "flax_model.msgpack"):
        to_pointer(folder / name)
    for loads in (CONFIG, WEIGHTS, TOKENIZER, PICTURES, PROCESSOR):
        check_hub_folder(WHAT, folder, loads)
    (folder / "tokenizer.json").unlink()
    assert "tokenizer.model is a Git LFS pointer" in said_of(folder, TOKENIZER)
    (folder / "model.safetensors").unlink()
    assert "pytorch_model.bin is a Git LFS pointer" in said_of(folder)


def shard(folder: Path) -> dict[str, str]:
    (folder / "model.safetensors").unlink()
    place = {"a.weight": "model-00001-of-00002.safetensors", "b.weight": "model-00002-of-00002.safetensors"}
    for name, file in place.items():
        write_weights(folder / file, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": place}))
    return place


def test_every_shard_is_looked_at(folder: Path) -> None:
    place = shard(folder)
    check_hub_folder(WHAT, folder, WEIGHTS)
    second = folder / place["b.weight"]
    for damage, says in ((to_half, "is cut short"), (to_pointer, "Git LFS pointer")):
        damage(second)
        assert f"{second} {says}" in said_of(folder).replace("is a Git", "Git")
    write_weights(second, "c.weight")
    assert f"{second} lacks 1 weights that model.safetensors.index.json says it holds, such as b.weight" in said_of(
        folder
    )
    second.unlink()
    assert "names 'model-00002-of-00002.safetensors', which is not there" in said_of(folder)
    second.symlink_to("../blobs/ab")
    assert "is a link to ../blobs/ab" in said_of(folder)
    for index in ("{}", '{"weight_map": [1]}', '{"weight_map": {"a": 1}}'):
        (folder / "model.safetensors.index.json").write_text(index)
        assert "has no weight_map" in said_of(folder)


def test_in_the_hubs_cache_what_was_not_asked_for_yet_may_be_missing(folder: Path) -> None:
    place = shard(folder)
    (folder / place["b.weight"]).unlink()
    (folder / "tokenizer.json").unlink()
    for loads in (CONFIG, WEIGHTS, TOKENIZER, PICTURES):
        check_hub_folder(WHAT, folder, loads, whole=False)
    to_half(folder / place["a.weight"])
    assert "is cut short" in said_of(folder, whole=False)


def test_a_folder_without_a_tokeniser_is_refused_as_transformers_would_make_one_up(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert "has no tokenizer.json or tokenizer.model" in said_of(folder, TOKENIZER)
    (folder / "vocab.json").write_text('{"a": 0}')
    assert f"{folder / 'merges.txt'} is missing" in said_of(folder, TOKENIZER)
    to_pointer(folder / "merges.txt")
    assert "merges.txt is a Git LFS pointer" in said_of(folder, TOKENIZER)
    (folder / "merges.txt").write_text("#version: 0.2\na b\n")
    check_hub_folder(WHAT, folder, TOKENIZER)
    (folder / "vocab.json").unlink()
    (folder / "merges.txt").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "ByT5Tokenizer"}')
    check_hub_folder(WHAT, folder, TOKENIZER)


def files(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "{}")


OTHERS: dict[str, tuple[dict[str, str], list[str]]] = {
    "an adapter": (
        {"adapter_config.json": '{"base_model_name_or_path": "../base"}', "adapter_model.safetensors": "x"},
        ["an adapter of PEFT, made for '../base'", "merge_and_unload()"],
    ),
    "an adapter without base": ({"adapter_config.json": "{}"}, ["a model that it does not name"]),
    "deepspeed": (
        files("global_step100/mp_rank_00_model_states.pt", "latest", "zero_to_fp32.py", "config.json"),
        ["a checkpoint of DeepSpeed", "zero_to_fp32.py {folder} DIR"],
    ),
    "deepspeed's inner": (
        files("mp_rank_00_model_states.pt"), ["a checkpoint of DeepSpeed", "python {parent}/zero_to_fp32.py"],
    ),
    "fsdp": (
        files("pytorch_model_fsdp_0/__0_0.distcp", "pytorch_model_fsdp_0/.metadata", "trainer_state.json"),
        ["a checkpoint of FSDP", "accelerate merge-weights {folder}/pytorch_model_fsdp_0 DIR"],
    ),
    "distcp": (files("__0_0.distcp", ".metadata"), ["accelerate merge-weights {folder} DIR"]),
    "an optimiser": (
        files("optimizer.pt", "scheduler.pt", "trainer_state.json", "rng_state_0.pth", "training_args.bin"),
        ["the state of a training", "no weights"],
    ),
    "a run of ours": (files("model/vqa.json", "train.jsonl"), ["a model of this workbench", "--init-from"]),
    "a folder of the hub's cache": (
        files("snapshots/0123/config.json", "refs/main", "blobs/x"), ["there is one in {folder}/snapshots/0123"],
    ),
    "an output folder": (
        files("checkpoint-90/config.json", "checkpoint-200/config.json"), ["there is one in {folder}/checkpoint-200"],
    ),
    "gguf": (files("model.Q4_K_M.gguf"), ["GGUF, llama.cpp's: 'model.Q4_K_M.gguf'"]),
    "onnx": (files("onnx/model.onnx", "tokenizer.json"), ["(ONNX: 'onnx/model.onnx')"]),
    "openvino": (files("openvino_model.xml", "openvino_model.bin"), ["(OpenVINO"]),
    "tensorflow": (files("tf_model.h5", "config.json"), ["(TensorFlow"]),
    "flax": (files("flax_model.msgpack"), ["(Flax"]),
    "llama's own": (files("consolidated.00.pth", "params.json", "tokenizer.model"), ["the original release of Llama"]),
    "lightning": (files("epoch=3.ckpt"), ["(PyTorch Lightning"]),
    "mlx": (files("weights.npz"), ["(MLX"]),
    "other letters": (files("Config.json", "Model.safetensors"), ["has no config.json, but Config.json: capitals"]),
    "a download that did not end": (
        files("model.safetensors.incomplete", "config.json"), ["a download that did not end"],
    ),
    "nothing": ({}, ["has no config.json. It holds nothing"]),
    "anything": (files("notes.txt"), ["has no config.json. It holds 'notes.txt'"]),
    "a config alone": (files("config.json"), ["has no model.safetensors or pytorch_model.bin"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
def test_another_folder_is_known_by_its_files(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    contents, says = OTHERS[kind]
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('{"model_type": "llama"}' if name == "config.json" else content)
    said = said_of(folder)
    for each in says:
        assert each.format(folder=folder, parent=tmp_path) in said


def test_an_adapter_beside_a_model_is_not_put_in_silently(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    assert "is an adapter of PEFT, made for 'org/base'" in said_of(folder)


def test_a_name_that_is_no_folder_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"there is no such folder \(there is {tmp_path}\)"):
        check_folder(WHAT, str(tmp_path / "other/model"))
    with pytest.raises(InputError, match=r"is a file\. Give the folder"):
        check_folder(WHAT, str(folder / "model.safetensors"))
    (tmp_path / "link").symlink_to("gone")
    with pytest.raises(InputError, match="is a link to gone, which is not there"):
        check_folder(WHAT, str(tmp_path / "link"))


@pytest.mark.parametrize(
    ("method", "config", "says"),
    [
        ("gptq", {"quant_method": "gptq", "bits": 4}, "needs optimum, gptqmodel.*pip install optimum gptqmodel"),
        ("awq", {"quant_method": "awq", "bits": 4}, "needs gptqmodel"),
        ("hqq", {"quant_method": "hqq"}, "needs hqq"),
        ("compressed-tensors", {"quant_method": "compressed-tensors"}, "pip install compressed-tensors"),
        ("bitsandbytes", {"quant_method": "bitsandbytes", "load_in_4bit": True}, "pip install bitsandbytes"),
        ("bitsandbytes", {"load_in_8bit": True}, "pip install bitsandbytes"),
        ("exl2", {"quant_method": "exl2", "bits": 4.0}, "which transformers can't read"),
        ("modelopt", {"quant_method": "modelopt", "quant_algo": "FP8"}, "which transformers can't read"),
    ],
)
def test_a_quantised_model_is_refused_with_its_method_and_package(
    method: str, config: dict[str, Any], says: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vqa_core.runs.quantised.find_spec", lambda _: None)
    for place in ({"quantization_config": config}, {"text_config": {"quantization_config": config}}):
        configure(folder, quantization_config=None, text_config=None)
        configure(folder, **place)
        said = said_of(folder)
        assert f"is quantised by {method!r}" in said
        assert re.search(says, said)


def test_a_quantised_model_whose_package_is_there_is_let_through(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vqa_core.runs.quantised.find_spec", lambda _: object())
    for method in ("gptq", "awq", "fp8"):
        configure(folder, quantization_config={"quant_method": method})
        check_hub_folder(WHAT, folder, WEIGHTS)


@pytest.mark.parametrize("config", [{}, {"bits": 4}, "gptq", []])
def test_a_quantised_model_that_names_no_method_is_said(config: Any, folder: Path) -> None:
    configure(folder, quantization_config=config)
    assert "has a quantization_config in its config.json that names no quant_method" in said_of(folder)


def test_mlx_quantises_by_a_config_of_its_own(folder: Path) -> None:
    configure(folder, quantization={"group_size": 64, "bits": 4})
    assert "is quantised by 'mlx', which transformers can't read" in said_of(folder)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("model.layers.0.mlp.up_proj.qweight", "I32"), ("model.layers.0.mlp.up_proj.scales", "F16"),
        ("model.layers.0.mlp.up_proj.weight_scale_inv", "F32"), ("model.layers.0.mlp.up_proj.weight", "U8"),
        ("model.layers.0.mlp.up_proj.weight.absmax", "F32"), ("model.layers.0.mlp.up_proj.SCB", "F32"),
    ],
)  # fmt: skip
def test_quantised_weights_that_no_config_tells_of_are_not_taken_for_numbers(
    name: str, dtype: str, folder: Path
) -> None:
    write_weights(folder / "model.safetensors", name, dtype=dtype)
    assert f"holds quantised weights ({name}, {dtype})" in said_of(folder)


def test_lora_beside_the_weights_is_not_left_out(folder: Path) -> None:
    name = "model.layers.0.self_attn.q_proj.lora_A.default.weight"
    write_weights(folder / "model.safetensors", "model.layers.0.self_attn.q_proj.base_layer.weight", name)
    assert f"holds LoRA beside its weights ({name})" in said_of(folder)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "base_model.model."])
def test_a_wrapper_that_was_saved_is_known_by_its_prefix(prefix: str, folder: Path) -> None:
    write_weights(folder / "model.safetensors", f"{prefix}model.a.weight", f"{prefix}lm_head.weight")
    assert f"names all begin with {prefix!r}" in said_of(folder)


def test_a_config_without_a_type_is_said(folder: Path) -> None:
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    assert "has no model_type" in said_of(folder)
    assert "['LlamaForCausalLM']" in said_of(folder)
    (folder / "config.json").write_text('{"data": {}, "dataset": {}}')
    assert "is a run of this workbench" in said_of(folder)


def test_a_type_that_is_no_word_and_a_number_format_that_is_none_are_said(folder: Path) -> None:
    configure(folder, model_type=["llama"])
    assert "has ['llama'] as model_type" in said_of(folder)
    for key in ("dtype", "torch_dtype"):
        for given in ("torch.float16", "auto", "float17"):
            (folder / "config.json").write_text(json.dumps({"model_type": "llama", key: given}))
            assert f"has {given!r} as {key}" in said_of(folder, CONFIG)
            (folder / "config.json").write_text(json.dumps({"model_type": "llava", "text_config": {key: given}}))
            assert f"has {given!r} as {key}" in said_of(folder, CONFIG)
    (folder / "config.json").write_text('{"model_type": "llama", "torch_dtype": "bfloat16"}')
    check_hub_folder(WHAT, folder, WEIGHTS)
