"""What the tests of train/convert.py share: tiny parts, folders in LLaVA's layout, model folders of ours."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from eval.predict import main as predict
from tests.support.llava_files import llava_projector, write_llava
from tests.support.tiny import TINY_MODEL, tiny_parts, tiny_run
from train.convert import main as convert
from train.finetune import main as finetune
from vqa_core.config import ModelSettings
from vqa_core.files import read_json, write_json
from vqa_core.model.folder import load_model_folder, save_model_folder
from vqa_core.model.parts import load_language_model
from vqa_core.model.stages import prepare_stage
from vqa_core.model.vlm import Vlm, build_vlm
from vqa_core.runs.model_folder import Stage, describe_model_folder

VOCABULARY = 320  # of tiny's tokeniser
ALIGN = Stage("align")


def clip_parts(folder: Path) -> dict[str, str]:
    """A tiny CLIP tower and language model below `folder`, by the keys of LLaVA's config.json."""
    tower, language_model = tiny_parts(folder, tower="clip")
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
