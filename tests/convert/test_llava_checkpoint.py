import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.llava_files import CONFIG, HIDDEN, VOCABULARY, llava_projector, write_llava
from vqa_core.convert.llava_checkpoint import read_llava
from vqa_core.files import InputError, write_json
from vqa_core.runs.model_folder import is_llava_folder

OF_2023 = {"model_type": "llava", "mm_projector_type": None}


def language_model() -> dict[str, Tensor]:
    return {"embed_tokens.weight": torch.randn(VOCABULARY, HIDDEN), "layers.0.self_attn.q_proj.weight": torch.ones(2)}


@pytest.mark.parametrize("prefix", ["model.", "", "base_model.model.model."])
@pytest.mark.parametrize("config", [OF_2023, {}], ids=["2023", "2024"])
def test_a_linear_projector_is_read_whatever_stands_before_its_names(
    prefix: str, config: dict[str, Any], tmp_path: Path
) -> None:
    tensors = llava_projector("linear")
    read = read_llava(write_llava(tmp_path / "any-name", tensors, prefix=prefix, **config))
    assert (read.kind, read.projector_kind, read.boundaries) == ("projector", "linear", None)
    assert read.projector.keys() == {"weight", "bias"}
    assert all(torch.equal(read.projector[name], tensors[f"mm_projector.{name}"]) for name in read.projector)


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_layers_of_a_deeper_projector_are_counted_in_its_tensors(depth: int, declared: bool, tmp_path: Path) -> None:
    kind = f"mlp{depth}x_gelu"
    tensors = llava_projector(kind)
    read = read_llava(write_llava(tmp_path, tensors, mm_projector_type=kind if declared else None))
    assert read.projector_kind == kind
    for layer in range(depth):
        for part in ("weight", "bias"):
            ours, theirs = f"linear_{layer + 1}.{part}", f"mm_projector.{2 * layer}.{part}"
            assert torch.equal(read.projector[ours], tensors[theirs])


@pytest.mark.parametrize("rows", [VOCABULARY, 2])
def test_the_boundary_vectors_are_the_last_two_rows_of_the_embeddings(rows: int, tmp_path: Path) -> None:
    embeddings = torch.randn(rows, HIDDEN)
    tensors = llava_projector("linear") | {"embed_tokens.weight": embeddings}
    read = read_llava(write_llava(tmp_path, tensors, mm_use_im_start_end=True, **OF_2023))
    assert read.boundaries is not None
    assert torch.equal(read.boundaries, embeddings[-2:])
    assert read.kind == "projector"


def test_a_whole_model_is_one_even_where_its_projector_lies_beside_it(tmp_path: Path) -> None:
    tensors = llava_projector("linear") | language_model()
    write_llava(tmp_path, llava_projector("linear", seed=1))
    whole = {f"model.{name}": tensor for name, tensor in tensors.items()} | {"lm_head.weight": torch.ones(3)}
    whole["model.vision_tower.vision_tower.vision_model.x"] = torch.ones(4)
    whole["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(5)
    shards = {f"pytorch_model-{number}.bin": dict([*whole.items()][number::2]) for number in range(2)}
    for name, shard in shards.items():
        torch.save(shard, tmp_path / name)
    index = {"weight_map": {tensor: name for name, shard in shards.items() for tensor in shard}}
    write_json(tmp_path / "pytorch_model.bin.index.json", index)
    read = read_llava(tmp_path)
    assert read.kind == "full"
    assert torch.equal(read.projector["weight"], tensors["mm_projector.weight"])
    assert read.language.keys() == {f"model.{name}" for name in language_model()} | {"lm_head.weight"}
    assert read.tower.keys() == {"vision_model.x"}
    (tmp_path / "pytorch_model-1.bin").unlink()
    with pytest.raises(InputError, match=r"names 'pytorch_model-1\.bin', which is not there"):
        read_llava(tmp_path)


def write_lora(folder: Path, **more: Tensor) -> Path:
    write_llava(folder, llava_projector("linear"), "non_lora_trainables.bin", "base_model.model.model.")
    rest = {f"base_model.model.{'' if name.startswith('lm_head') else 'model.'}{name}": t for name, t in more.items()}
    saved = torch.load(folder / "non_lora_trainables.bin", weights_only=True)
    torch.save(saved | rest, folder / "non_lora_trainables.bin")
    lora = {f"base_model.model.model.layers.0.self_attn.q_proj.lora_{side}.weight": torch.ones(2, 2) for side in "AB"}
    torch.save(lora, folder / "adapter_model.bin")
    write_json(folder / "adapter_config.json", {"r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "peft_type": "LORA"})
    return folder


def test_lora_is_read_with_the_projector_that_lies_beside_it(tmp_path: Path) -> None:
    read = read_llava(write_lora(tmp_path))
    assert (read.kind, read.projector_kind, read.lora_config["r"]) == ("lora", "linear", 2)
    assert read.lora.keys() == {f"model.layers.0.self_attn.q_proj.lora_{side}.weight" for side in "AB"}


def test_lora_without_its_projector_is_refused(tmp_path: Path) -> None:
    (write_lora(tmp_path) / "non_lora_trainables.bin").unlink()
    with pytest.raises(InputError, match=r"adapter_model\.bin.*no non_lora_trainables\.bin"):
        read_llava(tmp_path)


@pytest.mark.parametrize("bounded", [True, False])
def test_what_was_saved_of_the_language_model_beside_lora_is_read(bounded: bool, tmp_path: Path) -> None:
    embeddings, head = torch.randn(VOCABULARY, HIDDEN), torch.randn(VOCABULARY, HIDDEN)
    write_lora(tmp_path, **{"embed_tokens.weight": embeddings, "lm_head.weight": head})
    write_json(tmp_path / "config.json", CONFIG | {"mm_use_im_start_end": bounded})
    read = read_llava(tmp_path)
    assert (read.kind, read.language) == ("lora", {})
    assert read.beside_lora.keys() == {"model.embed_tokens.weight", "lm_head.weight"}
    assert (read.boundaries is not None) == bounded
    assert read.boundaries is None or torch.equal(read.boundaries, embeddings[-2:])


def test_an_output_folder_called_checkpoint_has_its_projector_beside_it(tmp_path: Path) -> None:
    folder = write_llava(tmp_path / "checkpoint-7", llava_projector("linear"))
    (tmp_path / "mm_projector").mkdir()
    (folder / "mm_projector.bin").rename(tmp_path / "mm_projector" / "checkpoint-7.bin")
    assert read_llava(folder).projector_kind == "linear"


LINEAR = llava_projector("linear")


@pytest.mark.parametrize(
    ("tensors", "config", "says"),
    [
        (llava_projector("mlp2x_gelu"), {}, "mm_projector_type 'linear', the tensors are 'mlp2x_gelu'"),
        (LINEAR, {"mm_hidden_size": 1024}, "from 24 to 32, config.json says from 1024 to 32"),
        (LINEAR, {"hidden_size": None}, "hidden_size has to be a whole number, found None"),
        (LINEAR | {"mm_projector.4.weight": torch.ones(1)}, {}, "Found: '4.weight', 'bias', 'weight'"),
        ({"mm_projector.weight": LINEAR["mm_projector.weight"]}, {}, "Found: 'weight'."),
        ({"embed_tokens.weight": torch.ones(1)}, {"mm_use_im_start_end": True}, "Found: none"),
        (LINEAR, {"mm_use_im_start_end": True}, "Found besides the projector: nothing"),
        (
            LINEAR | {"embed_tokens.weight": torch.ones(9, HIDDEN)},
            {"mm_use_im_start_end": True},
            f"9 rows, config.json says {VOCABULARY}",
        ),
        (LINEAR | {"embed_tokens.weight": torch.ones(9, HIDDEN)}, {}, "'model.embed_tokens.weight'"),
        (LINEAR | {"vision_resampler.x": torch.ones(9)}, {}, "'model.vision_resampler.x': resamplers"),
        (LINEAR, {"model_type": "llava_mpt"}, "'llava_mpt' is not known; it can be llava, llava_llama"),
        (LINEAR, {"model_type": "llama"}, "has to name a model_type of llava, llava_llama"),
        (LINEAR, {"vision_config": {}}, "A LLaVA of Hugging Face needs no conversion"),
    ],
)
def test_what_is_wrong_is_said_with_what_was_found_and_what_was_expected(
    tensors: dict[str, Tensor], config: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as error:
        read_llava(write_llava(tmp_path, tensors, **config))
    assert says in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_folder_without_weights_is_answered_with_the_files_there_are(tmp_path: Path) -> None:
    (write_llava(tmp_path, LINEAR) / "mm_projector.bin").rename(tmp_path / "other.bin")
    with pytest.raises(InputError, match=r"Expected: mm_projector\.bin; or .*Found: 'config\.json', 'other\.bin'"):
        read_llava(tmp_path)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("evil-ran"),)


def test_nothing_in_a_pickle_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_llava(tmp_path, LINEAR)
    torch.save({"model.mm_projector.weight": Evil()}, tmp_path / "mm_projector.bin")
    with pytest.raises(InputError, match=r"not a file of tensors alone.*Nothing in it was run"):
        read_llava(tmp_path)
    assert not Path("evil-ran").exists()


@pytest.mark.parametrize("content", [[1, 2], {"a": 3}, {}])
def test_a_file_of_other_things_than_tensors_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, write_llava(tmp_path, LINEAR) / "mm_projector.bin")
    with pytest.raises(InputError, match="has to hold tensors by name, found"):
        read_llava(tmp_path)


def test_only_a_config_of_llava_s_own_is_taken_for_one(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    assert not is_llava_folder(tmp_path)
    for config, expected in (
        ({"model_type": "llava", "hidden_size": 4096}, True),
        ({"model_type": "llava_llama"}, True),
        ({"model_type": "llava", "text_config": {}, "vision_config": {}}, False),
        ({"model_type": "llama"}, False),
        ([], False),
    ):
        path.write_text(json.dumps(config))
        assert is_llava_folder(tmp_path) == expected
