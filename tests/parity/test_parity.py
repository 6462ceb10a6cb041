"""Ours against LLaVA itself, 1.2.2: `make parity` makes its environment and runs these tests.

Its checkpoints load here and ours load there, with equal logits and answers; ids and labels of training are equal.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.parity.conftest import PROJECTORS, TRAINED, World
from tests.parity.world import (
    ANSWERS,
    IMAGE,
    NEW_TOKENS,
    QUESTIONS,
    Answers,
    assert_equal_answers,
    our_answers,
    peer_answers,
    prompts_of,
    run_peer,
)
from tests.support.converting import round_trip
from train.convert import main as convert
from vqa_core.config import ModelSettings
from vqa_core.convert.llava_export import CONV_MODES
from vqa_core.files import read_json
from vqa_core.model.folder import load_model_folder, save_model_folder
from vqa_core.model.packing import IGNORE_INDEX
from vqa_core.model.parts import load_tokenizer
from vqa_core.model.stages import prepare_stage, trained_tensors
from vqa_core.model.vlm import Vlm, build_vlm
from vqa_core.prompts.encoder import PromptEncoder
from vqa_core.runs.model_folder import Stage
from vqa_core.training.data import BranchEncoder

pytestmark = pytest.mark.slow

BOUNDED = [name for name, (_, _, start_end, _) in PROJECTORS.items() if start_end]
STYLES = {
    "vicuna_v1": "v1", "llava_v1": "llava_v1", "plain": "plain", "llama_2": "llama_2",
    "llava_llama_2": "llava_llama_2", "mistral": "mistral_instruct", "v0": "llava_v0",
}  # fmt: skip
"""Our style -> LLaVA's `--version` in training. A new shared style is a line here, and in CONV_MODES if it asks so."""
ALIGN, FULL = Stage("align"), Stage("full")
LORA = Stage("lora", lora_rank=4, lora_alpha=8.0)  # on every layer, as our configs have it
SINCE = {
    "whole": ("boundaries-no-patch-token", FULL),
    "whole-with-tokens": ("trained-whole", FULL),
    "projector-with-tokens": ("trained-whole", ALIGN),
    "lora-everywhere": ("linear-square", LORA),
    "lora-boundaries": ("boundaries-no-patch-token", LORA),
    "lora-with-tokens": ("trained-whole", LORA),
}
"""Models of ours that go on from one of LLaVA's. `with-tokens`: its tokeniser has im_start and im_end already."""
BACK = [
    "linear-square",
    "mlp3x-pad",
    "trained-lora",
    "trained-lora-2023",
    "trained-whole",
    *BOUNDED,
    "embedded",
    *SINCE,
]
"""What is written for LLaVA."""
SAMPLES = [*zip(QUESTIONS, ANSWERS, strict=True), ("Why?\nSay it  shortly.", "none")]


@pytest.fixture(scope="session")
def ours(world: World) -> dict[str, Vlm]:
    """Every checkpoint of the peer's as it loads here."""
    loaded = {}
    for name in (*PROJECTORS, *TRAINED):
        folder = world.root / "ours" / name
        convert(["--from", str(world.checkpoint(name)), "--to", str(folder)])
        loaded[name] = load_model_folder(folder)
    return loaded


@pytest.fixture(scope="session")
def taken_back(world: World, ours: dict[str, Vlm]) -> dict[str, Path]:
    """Models of ours written for LLaVA: what was read from it, what was trained since, one on the embedded parts."""
    folders = {name: world.root / "ours" / name for name in BACK}
    parts = {"vision_tower": str(world.tower), "image_side_px": 28, "image_aspect": "pad"}
    built = {"embedded": (build_vlm(ModelSettings(**parts)), ALIGN)}
    built |= {name: (load_model_folder(world.root / "ours" / of), stage) for name, (of, stage) in SINCE.items()}
    for name, (vlm, stage) in built.items():
        prepare_stage(vlm, stage)
        generator = torch.Generator().manual_seed(6)
        for tensor in trained_tensors(vlm).values():
            tensor.data += torch.randn(tensor.shape, generator=generator) * 0.1
        save_model_folder(folders[name], vlm, stage, about={})
        ours[name] = load_model_folder(folders[name])
    written = {name: world.root / "back" / f"llava-{name}" for name in folders}
    for name, folder in folders.items():
        convert(["--from", str(folder), "--to-llava", str(written[name])])
    return written


@pytest.fixture(scope="session")
def theirs(world: World, ours: dict[str, Vlm], taken_back: dict[str, Path]) -> dict[str, Answers]:
    """What the peer answers with each of its checkpoints and, named `back-...`, with those written for it."""
    bases = {"back-embedded": world.embedded}
    for name in ("trained-whole", "projector-with-tokens", "lora-with-tokens"):
        bases[f"back-{name}"] = world.root / "ours/trained-whole-language-model"
    bases["back-trained-lora-2023"] = world.root / "ours/trained-lora-2023-language-model"
    checkpoints = {name: world.checkpoint(name) for name in (*PROJECTORS, *TRAINED)}
    checkpoints |= {f"back-{name}": folder for name, folder in taken_back.items()}
    jobs = []
    for name, folder in checkpoints.items():
        of = name.removeprefix("back-")
        config = read_json(folder / "config.json")
        rows = config["vocab_size"]
        ids = (rows - 2, rows - 1) if config["mm_use_im_start_end"] else ()
        job: dict[str, Any] = {
            "pictures": world.files,
            "prompts": prompts_of(ours[of].prompt, ids),
            "out": world.root / f"{name}.safetensors",
            "new_tokens": NEW_TOKENS,
        }
        if of in BOUNDED:
            job |= {"do": "answer_by_hand", "language_model": world.language_model, "tower": world.tower}
            job |= {"checkpoint": folder, "kind": config["mm_projector_type"]}
            job |= {"patch_token": config["mm_use_im_patch_token"]}
        else:
            base = bases.get(name, None if "whole" in name else world.language_model)
            job |= {"do": "answer", "model_path": folder, "model_base": base}
            job |= {"model_name": f"llava-{'lora' if 'lora' in name else ''}"}
        jobs.append(job)
    run_peer(world.root, *jobs)
    return {name: peer_answers(world.root / f"{name}.safetensors") for name in checkpoints}


@pytest.mark.parametrize("name", [*PROJECTORS, *TRAINED])
def test_a_checkpoint_of_llava_s_answers_here_as_it_does_there(
    name: str, world: World, ours: dict[str, Vlm], theirs: dict[str, Answers]
) -> None:
    assert_equal_answers(our_answers(ours[name], world.pictures), theirs[name])


@pytest.mark.parametrize("name", BACK)
def test_a_model_of_ours_answers_there_as_it_does_here(
    name: str, world: World, ours: dict[str, Vlm], theirs: dict[str, Answers]
) -> None:
    assert_equal_answers(our_answers(ours[name], world.pictures), theirs[f"back-{name}"])


@pytest.mark.parametrize("name", ["linear-square", "mlp3x-pad", "trained-lora"])
def test_a_checkpoint_comes_back_from_here_byte_for_byte(name: str, world: World, taken_back: dict[str, Path]) -> None:
    for file in ("mm_projector.bin", "adapter_model.bin", "non_lora_trainables.bin"):
        before, after = (folder / file for folder in (world.checkpoint(name), taken_back[name]))
        assert before.is_file() == after.is_file()
        if before.is_file():
            first, second = (torch.load(path, weights_only=True) for path in (before, after))
            assert first.keys() == second.keys()
            assert all(first[key].dtype == second[key].dtype for key in first)
            assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(scope="session")
def texts(world: World) -> dict[str, Any]:
    """What the peer makes of texts, by job, style, and whether it puts im_start and im_end round the picture."""
    kinds = {"ids_and_labels": (STYLES, {"samples": SAMPLES}), "prompt_ids": (CONV_MODES, {"questions": QUESTIONS})}
    jobs = [
        {"do": kind, "tokenizer": world.tokenizer, "style": theirs, "start_end": start_end, **what}
        | {"out": world.root / f"{kind}-{style}-{start_end}.json"}
        for kind, (styles, what) in kinds.items()
        for style, theirs in styles.items()
        for start_end in (False, True)
    ]
    run_peer(world.root, *jobs)
    return {job["out"].stem: json.loads(job["out"].read_text()) for job in jobs}


@pytest.mark.parametrize("start_end", [False, True], ids=["", "start-end"])
@pytest.mark.parametrize("style", [style for style in STYLES if style != "v0"])
def test_ids_and_labels_of_training_are_llava_s(
    style: str, start_end: bool, world: World, texts: dict[str, Any]
) -> None:
    tokenizer = load_tokenizer(str(world.language_model))
    encoder = BranchEncoder(PromptEncoder(tokenizer, style), 512)
    round_image = {len(tokenizer), len(tokenizer) + 1}  # <im_start>, <im_end>: vectors of our projector
    for (question, answer), theirs in zip(SAMPLES, texts[f"ids_and_labels-{style}-{start_end}"], strict=True):
        branch, cut = encoder.encode(question, answer)
        assert not cut
        prompt = [*encoder.prompt.prefix_ids, IMAGE, *branch.ids]
        kept = [index for index, token in enumerate(theirs["ids"]) if token not in round_image]
        assert [theirs["ids"][index] for index in kept] == prompt + branch.answer
        assert [theirs["labels"][index] for index in kept] == [IGNORE_INDEX] * len(prompt) + branch.answer


@pytest.mark.parametrize("start_end", [False, True], ids=["", "start-end"])
def test_of_v0_llava_learns_the_answer_and_some_of_the_headers(
    start_end: bool, world: World, texts: dict[str, Any]
) -> None:
    """`_mask_targets` leaves two tokens of each turn, and counts a turn longer by the beginning of a text."""
    tokenizer = load_tokenizer(str(world.language_model))
    encoder = BranchEncoder(PromptEncoder(tokenizer, "v0"), 256)

    def length(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    header = 1 + length(encoder.prompt.style.before_image.removesuffix("### Human: "))
    behind = tokenizer("\n### ", add_special_tokens=False)["input_ids"][length("\n") :]
    for (question, answer), theirs in zip(SAMPLES, texts[f"ids_and_labels-v0-{start_end}"], strict=True):
        branch, _ = encoder.encode(question, answer)
        human = 1 + length("### Human: ") + 1 + 2 * start_end + length(f"\n{question}\n")
        ids = theirs["ids"]
        image = ids.index(IMAGE)
        bounds = [image - 1, image + 1] if start_end else []
        kept = [token for at, token in enumerate(ids) if at not in bounds]
        assert kept == [*encoder.prompt.prefix_ids, IMAGE, *branch.ids, *branch.answer, *behind]
        learnt = [at for at, label in enumerate(theirs["labels"]) if label != IGNORE_INDEX]
        assert learnt == [header, header + 1, *range(header + human, len(ids))]
        assert header + human < len(ids) - len(behind) - len(branch.answer)  # so the whole answer is learnt


@pytest.mark.parametrize("start_end", [False, True], ids=["", "start-end"])
@pytest.mark.parametrize("style", CONV_MODES)
def test_prompts_of_asking_are_llava_s(style: str, start_end: bool, world: World, texts: dict[str, Any]) -> None:
    tokenizer = load_tokenizer(str(world.language_model))
    ids = (len(tokenizer), len(tokenizer) + 1) if start_end else ()
    assert texts[f"prompt_ids-{style}-{start_end}"] == prompts_of(PromptEncoder(tokenizer, style), ids)
    assert style != "llava_v0" or texts[f"prompt_ids-{style}-{start_end}"] != prompts_of(
        PromptEncoder(tokenizer, "v0"), ids
    )  # the prompt that it was trained with


@pytest.mark.parametrize("name", ["linear-square", "boundaries", "boundaries-no-patch-token", "trained-projector"])
def test_a_projector_of_llava_s_predicts_trains_on_and_comes_back(name: str, world: World, tmp_path: Path) -> None:
    patch_token = read_json(world.checkpoint(name) / "config.json")["mm_use_im_patch_token"]
    round_trip(world.checkpoint(name), tmp_path, patch_token=patch_token)


def test_old_tokenisers_left_no_blank_round_start_and_end(world: World) -> None:
    """As measured with transformers 4.31, which the peer's environment can't have beside its own."""
    tokenizer = load_tokenizer(str(world.language_model))
    prompt = PromptEncoder(tokenizer, "vicuna_v1_start_end")
    tokens = tokenizer.convert_ids_to_tokens(prompt.prefix_ids + prompt.branch_ids("What color is the bus?")[0])
    at = len(prompt.prefix_ids)
    assert "".join(tokens[:at]).endswith("USER:")
    assert tokens[at:][0].startswith("▁")  # what Llama's tokeniser puts before a text; no line break
