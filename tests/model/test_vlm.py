import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from tests.support.tiny import (
    PROCESSOR,
    TINY_MODEL,
    tiny_language_model,
    tiny_parts,
    tiny_picture,
    tiny_tokenizer,
    tiny_tower,
    tiny_vlm,
)
from vqa_core import machine
from vqa_core.config import ModelSettings
from vqa_core.files import InputError
from vqa_core.model.projectors import PROJECTORS
from vqa_core.model.vlm import assemble, build_vlm, resolve_precision


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    tower, language_model = tiny_parts(tmp_path_factory.mktemp("parts"))
    return {"vision_tower": str(tower), "language_model": str(language_model)}


@pytest.mark.parametrize("tower", ["dinov2", "clip"])
def test_image_tokens_are_those_that_transformers_llava_computes(tower: str) -> None:
    vlm = tiny_vlm(tower=tower)
    pixels = vlm.pixels([tiny_picture(seed) for seed in range(3)])
    theirs = vlm.model.get_image_features(pixels, vision_feature_layer=-2, vision_feature_select_strategy="default")
    torch.testing.assert_close(vlm.encode_images(pixels), torch.stack(list(theirs.pooler_output)))


@pytest.mark.parametrize("tower", ["dinov2", "clip"])
@pytest.mark.parametrize("side", [16, 64])
def test_a_tower_sees_pictures_of_another_size_than_it_was_made_for(tower: str, side: int) -> None:
    vlm = tiny_vlm(tower=tower, image_side_px=side)
    assert vlm.image_tokens == (side // 8) ** 2
    assert vlm.encode_images(vlm.pixels([tiny_picture(0)])).shape == (1, vlm.image_tokens, 32)


def test_a_tower_without_a_class_token_keeps_all_of_its_patches() -> None:
    shape = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    tower = SiglipVisionModel(SiglipVisionConfig(**shape, image_size=32, patch_size=8)).eval()
    tokenizer = tiny_tokenizer()
    vlm = assemble(tower, tiny_language_model(tokenizer), tokenizer, PROCESSOR, ModelSettings(**TINY_MODEL))
    pixels = vlm.pixels([tiny_picture(0)])
    patches = tower(pixels, output_hidden_states=True).hidden_states[-2]
    assert torch.equal(vlm.image_features(pixels), patches)


@pytest.mark.parametrize("kind", sorted(PROJECTORS))
def test_embeddings_are_the_text_s_with_image_tokens_in_their_places(kind: str) -> None:
    vlm = tiny_vlm(projector=kind)
    image = torch.randn(2, vlm.image_tokens, 32)
    ids = torch.tensor([[7, *[vlm.image_token_id] * vlm.image_tokens, 8, 9]] * 2)
    embeds = vlm.embed(ids, image)
    assert torch.equal(embeds[:, 1:-2], image)
    assert torch.equal(embeds[0, [0, -2, -1]], vlm.model.get_input_embeddings()(torch.tensor([7, 8, 9])))


def test_the_image_s_id_is_one_that_text_never_becomes() -> None:
    vlm = tiny_vlm()
    assert vlm.image_token_id == vlm.prompt.tokenizer.convert_tokens_to_ids("<file_sep>")
    assert vlm.image_token_id not in vlm.prompt.branch_ids("<file_sep> <image>")[0]


def test_a_tokeniser_that_takes_text_for_unknown_does_not_lend_that_token_to_the_image() -> None:
    words = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(["[", "]", "?", "yes"])}, unk_token="?")
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="[", eos_token="]", unk_token="?")
    tower, settings = tiny_vlm().vision_tower, ModelSettings(**TINY_MODEL | {"prompt_style": "bare"})
    with pytest.raises(InputError, match="no spare special token"):
        assemble(tower, tiny_language_model(tiny_tokenizer()), tokenizer, PROCESSOR, settings)
    tokenizer.add_tokens("<image>", special_tokens=True)
    vlm = assemble(tower, tiny_language_model(tiny_tokenizer()), tokenizer, PROCESSOR, settings)
    assert vlm.image_token_id == tokenizer.convert_tokens_to_ids("<image>")


def test_padding_s_token_stands_for_the_image_where_there_is_no_other_and_padding_is_another_then() -> None:
    """Vicuna's tokeniser: <unk> <s> </s>, padded with <unk>."""
    words = Tokenizer(models.BPE({"<unk>": 0, "<s>": 1, "</s>": 2, "a": 3}, [], unk_token=None))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<unk>"
    )
    settings = ModelSettings(**TINY_MODEL | {"prompt_style": "bare"})
    vlm = assemble(tiny_vlm().vision_tower, tiny_language_model(tiny_tokenizer()), tokenizer, PROCESSOR, settings)
    assert (vlm.image_token_id, vlm.pad_id) == (0, 2)
    assert tiny_vlm().pad_id == tiny_vlm().prompt.tokenizer.pad_token_id


def test_boundary_vectors_start_as_the_mean_embedding_as_llava_s_do() -> None:
    vlm = assemble(
        tiny_vlm().vision_tower,
        tiny_language_model(tiny_tokenizer()),
        tiny_tokenizer(),
        PROCESSOR,
        ModelSettings(**TINY_MODEL | {"image_boundaries": True}),
    )
    mean = vlm.model.get_input_embeddings().weight.mean(0)
    assert vlm.image_tokens == 18
    assert torch.equal(vlm.projector.start, mean)
    assert torch.equal(vlm.projector.end, mean)


def test_the_same_seed_gives_the_same_projector_and_another_another(parts: dict[str, str]) -> None:
    settings = ModelSettings(**TINY_MODEL | parts)
    first, again, other = (build_vlm(settings, seed=seed).projector.linear_1.weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_parts_come_frozen_and_in_the_format_asked_for(parts: dict[str, str]) -> None:
    vlm = build_vlm(ModelSettings(**TINY_MODEL | parts), dtype=torch.bfloat16)
    assert not any(parameter.requires_grad for parameter in vlm.model.parameters())
    assert not vlm.model.training
    assert {p.dtype for p in vlm.language_model.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in vlm.projector.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"image_side_px": 60}, "60 is not a multiple of the tower's 8 px patches; try 56 or 64"),
        ({"projector": "mlp"}, "--projector 'mlp' is not known"),
        ({"prompt_style": "chat"}, "--prompt-style 'chat' is not known"),
        ({"projector": "pixel_shuffle_mlp", "pixel_shuffle": 3}, "--pixel-shuffle 3 does not divide"),
        ({"vision_tower": "/no/such"}, "The vision tower '/no/such' can't be loaded"),
        ({"language_model": "/no/such"}, "The language model '/no/such' can't be loaded"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(parts: dict[str, str], wrong: dict, said: str) -> None:
    with pytest.raises(InputError) as error:
        build_vlm(ModelSettings(**TINY_MODEL | parts | wrong))
    assert said in str(error.value)


def test_folders_that_lack_tokeniser_or_preprocessor_are_refused(parts: dict[str, str], tmp_path: Path) -> None:
    tiny_language_model(tiny_tokenizer()).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="tokeniser"):
        build_vlm(ModelSettings(**TINY_MODEL | parts | {"language_model": str(tmp_path)}))
    bare = tmp_path / "tower"
    tiny_vlm().vision_tower.save_pretrained(bare)
    with pytest.raises(InputError, match="preprocessor"):
        build_vlm(ModelSettings(**TINY_MODEL | parts | {"vision_tower": str(bare)}))


@pytest.mark.parametrize("backend", ["flash_attention_3", "flex_attention"])
def test_an_attention_backend_that_would_be_wrong_is_refused_before_anything_is_loaded(backend: str) -> None:
    with pytest.raises(InputError, match=f"--attention {backend}"):
        build_vlm(ModelSettings(vision_tower="/no/such"), attention=backend)


def test_a_language_model_of_another_build_is_refused_by_its_type() -> None:
    language = GPT2LMHeadModel(GPT2Config(vocab_size=320, n_embd=32, n_layer=1, n_head=2))
    with pytest.raises(InputError, match="'gpt2'"):
        assemble(tiny_vlm().vision_tower, language, tiny_tokenizer(), PROCESSOR, ModelSettings(**TINY_MODEL))


def test_precision_asked_for_is_precision_given() -> None:
    assert resolve_precision("fp32", torch.device("cpu")) == torch.float32
    assert resolve_precision("bf16", torch.device("cpu")) == torch.bfloat16


@pytest.mark.parametrize(
    ("vendor", "flags", "fast"),
    [
        ("GenuineIntel", "avx512f avx512_bf16 amx_tile", True),
        ("GenuineIntel", "avx512f avx512_bf16", False),
        ("AuthenticAMD", "avx512f avx512_bf16", True),
        ("AuthenticAMD", "avx2", False),
        ("", "", False),
    ],
)
def test_auto_is_bf16_on_processors_that_are_faster_in_it(
    vendor: str, flags: str, fast: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if vendor:
        (tmp_path / "cpuinfo").write_text(f"vendor_id\t: {vendor}\nflags\t\t: fpu {flags} sse\n")
    monkeypatch.setattr(machine, "Path", lambda _: tmp_path / "cpuinfo")
    assert resolve_precision("auto", torch.device("cpu")) == (torch.bfloat16 if fast else torch.float32)


def test_penalties_of_a_part_s_generation_config_are_not_taken_over(parts: dict[str, str], tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    language = tiny_language_model(tokenizer)
    language.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"repetition_penalty": 1.5}))
    vlm = build_vlm(ModelSettings(**TINY_MODEL | parts | {"language_model": str(tmp_path)}))
    assert vlm.model.generation_config.repetition_penalty in (None, 1.0)


def test_an_opt_whose_head_is_tied_to_its_embedding_is_a_sentence() -> None:
    tokenizer = tiny_tokenizer()
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "ffn_dim": 32,
        "word_embed_proj_dim": 32,
    }
    language = OPTForCausalLM(OPTConfig(vocab_size=len(tokenizer), tie_word_embeddings=True, **sizes))
    with pytest.raises(InputError, match=r"of type 'opt' can't be put into a LLaVA .*Choose one like Llama"):
        assemble(tiny_tower("dinov2"), language, tokenizer, PROCESSOR, ModelSettings(**TINY_MODEL))
