"""LLaVA itself, run by its own environment's Python: `python peer.py JOBS.json`. Imports nothing of this repository.

JOBS.json is a list of objects: `do` names a function below, the rest are its arguments. Results are files, but for
`serve`, which answers on standard output.
Everything runs in fp32 on the CPU: LLaVA's loader asks for torch.float16 by name, and here gets torch.float32 for it.
"""

import json
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import torch
from llava import conversation
from llava.mm_utils import process_images, tokenizer_image_token
from llava.model import LlavaLlamaForCausalLM, builder
from llava.train import train as llava_train
from PIL import Image
from safetensors.torch import save_file
from transformers import (
    AutoTokenizer,
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
)


class _Torch:
    """torch, but for one number format."""

    float16 = torch.float32

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


builder.torch = llava_train.torch = _Torch()
# saving imports DeepSpeed to ask whether a weight is spread over processes; none is
llava_train.maybe_zero_3 = lambda weight, **_: weight.detach().cpu().clone()
PATCH_TOKENS = ("<im_patch>", "<im_start>", "<im_end>")


def parts(tokenizer: str, language_model: str, tower: str) -> None:
    """A Llama and a CLIP tower, small and random, as the peer's transformers writes them."""
    count = len(AutoTokenizer.from_pretrained(tokenizer, use_fast=False))
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
    llama = LlamaForCausalLM(LlamaConfig(vocab_size=count, num_key_value_heads=2, rms_norm_eps=1e-5, **shape))
    _randomise(llama, 1).save_pretrained(language_model)
    for file in Path(tokenizer).iterdir():
        shutil.copy(file, language_model)
    clip_tower(
        tower, 28, 7, {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
    )


def clip_tower(out: str, side_px: int, patch_px: int, shape: dict[str, int]) -> None:
    """A random CLIP tower of this shape, with its preprocessor."""
    config = CLIPVisionConfig(image_size=side_px, patch_size=patch_px, **shape)
    _randomise(CLIPVisionModel(config), 2).save_pretrained(out)
    size = {"height": side_px, "width": side_px}
    CLIPImageProcessor(size={"shortest_edge": side_px}, crop_size=size).save_pretrained(out)


def train(arguments: list[str], grown_matrices_are_trained: bool = False) -> None:
    """LLaVA's own training command, its own saving included.

    Before transformers 4.33, matrices that grew by a token were trained whatever LoRA had frozen, and so were saved.
    """
    sys.argv = ["train.py", *arguments]
    grow = LlavaLlamaForCausalLM.resize_token_embeddings

    def grow_and_train(model: Any, count: int) -> Any:
        grown = grow(model, count)
        grown.weight.requires_grad = model.get_output_embeddings().weight.requires_grad = True
        return grown

    if grown_matrices_are_trained:
        LlavaLlamaForCausalLM.resize_token_embeddings = grow_and_train
    llava_train.train()
    LlavaLlamaForCausalLM.resize_token_embeddings = grow


def projector(
    language_model: str, tower: str, out: str, kind: str, start_end: bool, patch_token: bool, aspect: str = "square"
) -> None:
    """A random projector, written by LLaVA's `safe_save_model_for_hf_trainer`. It can't train im_start and im_end."""
    model = _fresh(language_model, tower, kind, start_end, patch_token)
    _randomise(model.get_model().mm_projector, 3)
    if start_end:
        rows = model.get_input_embeddings().weight.data
        rows[-2:] = torch.randn(2, rows.shape[1], generator=torch.Generator().manual_seed(4)) * 0.7
    model.config.image_aspect_ratio = aspect
    model.config.tune_mm_mlp_adapter = True
    args = types.SimpleNamespace(tune_mm_mlp_adapter=True, use_im_start_end=start_end, local_rank=-1)
    Path(out).mkdir(parents=True)
    llava_train.safe_save_model_for_hf_trainer(types.SimpleNamespace(model=model, args=args), out)


def answer(
    model_path: str,
    model_base: str | None,
    model_name: str,
    pictures: list[str],
    prompts: list[list[int]],
    out: str,
    new_tokens: int,
) -> None:
    """Logits and greedy tokens of a folder as LLaVA's loader reads it; prompts are ids, -200 for the picture."""
    loaded = builder.load_pretrained_model(model_path, model_base, model_name, device_map="cpu", device="cpu")
    _, model, processor, _ = loaded
    _answer(model, processor, pictures, prompts, out, new_tokens)


def answer_by_hand(
    language_model: str,
    tower: str,
    checkpoint: str,
    kind: str,
    patch_token: bool,
    pictures: list[str],
    prompts: list[list[int]],
    out: str,
    new_tokens: int,
) -> None:
    """The same of a projector with im_start and im_end, which LLaVA's loader can't read: rows are put in by hand."""
    model = _fresh(language_model, tower, kind, True, patch_token)
    weights = torch.load(Path(checkpoint) / "mm_projector.bin", map_location="cpu")
    missing = model.load_state_dict(weights, strict=False)
    assert not missing.unexpected_keys
    _answer(model, model.get_vision_tower().image_processor, pictures, prompts, out, new_tokens)


def serve(model_path: str, model_base: str, questions: list[dict[str, Any]], new_tokens: int, threads: int) -> None:
    """Answer all questions once for each line of standard input, as model_vqa.py does: one at a time, the picture read
    and encoded again for each. A question is a `picture`, a path, and `ids`, its prompt."""
    torch.set_num_threads(threads)
    tokenizer, model, processor, _ = builder.load_pretrained_model(
        model_path, model_base, "llava", device_map="cpu", device="cpu"
    )
    _exact(model)
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        answers = []
        for question in questions:
            tokens = _tokens(model, processor, question["picture"], question["ids"], new_tokens)
            answers.append(tokenizer.decode(tokens, skip_special_tokens=True).strip())
        print(json.dumps({"answers": answers}), flush=True)


def ids_and_labels(tokenizer: str, style: str, samples: list[list[str]], start_end: bool, out: str) -> None:
    """What LLaVA's training makes of (question, answer) about a picture: ids with -200, labels with -100."""
    encoder = AutoTokenizer.from_pretrained(tokenizer, use_fast=False, model_max_length=2048)
    encoder.pad_token = encoder.unk_token
    if start_end:
        encoder.add_tokens(list(PATCH_TOKENS[1:]), special_tokens=True)
    conversation.default_conversation = conversation.conv_templates[style]
    made = []
    for question, reply in samples:
        turns = [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": reply}]
        args = types.SimpleNamespace(is_multimodal=True, mm_use_im_start_end=start_end)
        data = llava_train.preprocess(llava_train.preprocess_multimodal([turns], args), encoder, has_image=True)
        made.append({"ids": data["input_ids"][0].tolist(), "labels": data["labels"][0].tolist()})
    Path(out).write_text(json.dumps(made))


def prompt_ids(tokenizer: str, style: str, questions: list[str], start_end: bool, out: str) -> None:
    """What LLaVA's evaluation asks with."""
    encoder = AutoTokenizer.from_pretrained(tokenizer, use_fast=False)
    image = "<image>"
    if start_end:
        encoder.add_tokens(list(PATCH_TOKENS[1:]), special_tokens=True)
        image = "<im_start><image><im_end>"
    made = []
    for question in questions:
        talk = conversation.conv_templates[style].copy()
        talk.append_message(talk.roles[0], f"{image}\n{question}")
        talk.append_message(talk.roles[1], None)
        made.append(tokenizer_image_token(talk.get_prompt(), encoder))
    Path(out).write_text(json.dumps(made))


def _fresh(language_model: str, tower: str, kind: str, start_end: bool, patch_token: bool) -> Any:
    """A LLaVA as its training command sets it up."""
    model = LlavaLlamaForCausalLM.from_pretrained(language_model)
    tokenizer = AutoTokenizer.from_pretrained(language_model, use_fast=False)
    args = llava_train.ModelArguments(
        vision_tower=tower,
        mm_vision_select_layer=-2,
        mm_projector_type=kind,
        mm_use_im_start_end=start_end,
        mm_use_im_patch_token=patch_token,
    )
    model.get_model().initialize_vision_modules(args)
    model.initialize_vision_tokenizer(args, tokenizer)
    model.config.mm_use_im_start_end, model.config.mm_use_im_patch_token = start_end, patch_token
    return model.eval()


@torch.no_grad()
def _answer(
    model: Any, processor: Any, pictures: list[str], prompts: list[list[int]], out: str, new_tokens: int
) -> None:
    _exact(model)
    found = {}
    for number, (picture, ids) in enumerate(zip(pictures, prompts)):
        found[f"logits.{number}"] = model(torch.tensor([ids]), images=_seen(model, processor, picture)).logits[0]
        found[f"tokens.{number}"] = _tokens(model, processor, picture, ids, new_tokens)
    save_file({name: tensor.contiguous() for name, tensor in found.items()}, out)


@torch.no_grad()
def _tokens(model: Any, processor: Any, picture: str, ids: list[int], new_tokens: int) -> torch.Tensor:
    """The greedy answer, the beginning of a text before it."""
    images = _seen(model, processor, picture)
    options = {"do_sample": False, "max_new_tokens": new_tokens, "use_cache": True}
    return model.generate(torch.tensor([ids]), images=images, **options)[0]


def _seen(model: Any, processor: Any, picture: str) -> Any:
    return process_images([Image.open(picture).convert("RGB")], processor, model.config)


def _exact(model: Any) -> None:
    model.float().eval()
    model.get_vision_tower().float()


def _randomise(module: Any, seed: int) -> Any:
    """Weights so large that attention is sharp and logits lie well apart: a slip anywhere changes an answer."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(noise * (1.0 if "embed" in name else 1.6 / parameter[0].numel() ** 0.5))
            elif name.endswith("bias"):
                parameter.copy_(noise * 0.1)
    return module


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for job in json.loads(Path(sys.argv[1]).read_text()):
        globals()[job.pop("do")](**job)
