"""What the parity tests stand on: a Llama tokeniser, pictures and questions, and LLaVA itself as another process."""

import io
import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import easy_vqa
import pytest
import sentencepiece
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from vqa_core import ROOT
from vqa_core.files import write_json
from vqa_core.inference.decoding import generate_packed
from vqa_core.inference.generation import Work
from vqa_core.model.packing import Branch, pack
from vqa_core.model.vlm import Vlm
from vqa_core.prompts.encoder import PromptEncoder
from vqa_core.prompts.styles import PROMPT_STYLES

IMAGE = -200  # LLaVA's id of a picture
NEW_TOKENS = 12
QUESTIONS = (
    "What color is the shape?",
    "Is there a blue triangle in the image?",
    "색은 무엇인가요?",
    "Which shape is 3 times as tall as 1.5?",
)
ANSWERS = ("red", "yes", "파란색", "circle 42")


def peer_python() -> str:
    """Python of the environment with LLaVA in it. Without one a test is skipped; in `make parity` it fails."""
    python = os.environ.get("VQA_PEER_PYTHON") or str(ROOT / ".venv-peer/bin/python")
    if not Path(python).is_file():
        said = f"LLaVA itself is not there ({python}): `make parity` installs it into .venv-peer"
        if os.environ.get("VQA_PARITY_REQUIRED"):
            pytest.fail(said)
        pytest.skip(said)
    return python


def run_peer(folder: Path, *jobs: dict[str, Any]) -> None:
    """Have LLaVA do some jobs, functions of peer.py by name, in one process."""
    path = folder / "jobs.json"
    path.write_text(json.dumps(jobs, default=str))
    done = subprocess.run(
        [peer_python(), str(Path(__file__).with_name("peer.py")), str(path)],
        cwd=folder,  # outside the repository, whose packages LLaVA's must not see
        env={name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]


def write_llama_tokenizer(folder: Path) -> Path:
    """A folder with a `tokenizer.model` made as LLaMA's was: byte fallback, digits split, <unk> <s> </s> first."""
    questions, answers, _ = easy_vqa.get_train_questions()
    prompts = [style.before_image + style.after_question for style in PROMPT_STYLES.values()]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*sorted({*questions, *answers}), *prompts * 3]),
        model_writer=model,
        model_type="bpe",
        vocab_size=500,
        hard_vocab_limit=False,
        byte_fallback=True,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        minloglevel=2,
    )
    folder.mkdir()
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    settings = {"add_bos_token": True, "add_eos_token": False, "model_max_length": 2048, "pad_token": None}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "LlamaTokenizer", **settings, **special})
    write_json(folder / "special_tokens_map.json", special | {"pad_token": "<unk>"})  # as Vicuna has it
    return folder


@dataclass(frozen=True)
class Answers:
    """Logits (T, V) after every token of each prompt, and the greedy tokens that follow it, its end included."""

    logits: list[Tensor]
    tokens: list[list[int]]


def peer_answers(path: Path) -> Answers:
    """What peer.py's `answer` wrote."""
    found = load_file(path)
    count = len(found) // 2
    tokens = [found[f"tokens.{number}"].tolist() for number in range(count)]
    # its generate() puts the beginning of a text before the answer
    return Answers([found[f"logits.{number}"] for number in range(count)], [answer[1:] for answer in tokens])


def prompts_of(prompt: PromptEncoder, boundary_ids: Sequence[int] = ()) -> list[list[int]]:
    """Our prompts as LLaVA takes them; with `boundary_ids` the ids of <im_start> and <im_end> round the picture."""
    image = [*boundary_ids[:1], IMAGE, *boundary_ids[1:]]
    return [prompt.prefix_ids + image + prompt.branch_ids(question)[0] for question in QUESTIONS]


@torch.inference_mode()
def our_answers(vlm: Vlm, pictures: Sequence[Image.Image]) -> Answers:
    """The same of our model: logits from one plain pass, tokens from shared-prefix decoding."""
    logits, tokens = [], []
    for picture, question in zip(pictures, QUESTIONS, strict=True):
        image = vlm.encode_images(vlm.pixels([picture]))
        branch = Branch(vlm.prompt.branch_ids(question)[0], [])
        row = pack(vlm.prompt.prefix_ids, vlm.image_token_id, vlm.image_tokens, [branch])
        embeds = vlm.embed(torch.tensor([row.input_ids]), image)
        logits.append(vlm.model.lm_head(vlm.language_model(inputs_embeds=embeds).last_hidden_state)[0])
        ((generated,),) = generate_packed(vlm, [row], image, NEW_TOKENS, None, Work())
        tokens.append(generated.ids + [vlm.prompt.end_id] * generated.ended)
    return Answers(logits, tokens)


def assert_equal_answers(ours: Answers, theirs: Answers) -> None:
    """Logits within 1e-4 of the peer's largest, greedy tokens identical."""
    for number, (one, other) in enumerate(zip(ours.logits, theirs.logits, strict=True)):
        other = other[:, : one.shape[1]]  # the peer's vocabulary may have grown by tokens that no answer has
        assert one.shape == other.shape
        assert (one - other).abs().max() < 1e-4 * other.abs().max(), number
    assert ours.tokens == theirs.tokens
    assert len({tuple(answer) for answer in ours.tokens}) > 1
