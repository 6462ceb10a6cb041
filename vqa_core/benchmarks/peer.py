"""`eval.benchmark peer`: the shared engine against LLaVA itself, one question at a time; same weights, same questions.

LLaVA (llava-torch) runs as another process in the environment that `make parity` creates; both sides run in fp32 on the
CPU with the same number of threads. The weights are a random CLIP tower, a random projector and the embedded language
model.
"""

import json
import logging
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from vqa_core import ROOT
from vqa_core.benchmarks.asking import WrongWork, describe_model, differences
from vqa_core.benchmarks.devices import describe_device, matmul_rate
from vqa_core.benchmarks.machine import describe_machine
from vqa_core.benchmarks.report import Report, arm_figures, comparison, comparison_lines, comparison_tables
from vqa_core.benchmarks.settings import PeerBench
from vqa_core.benchmarks.timing import interleave
from vqa_core.benchmarks.workloads import Questions, shape_of, workload_of
from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.convert.llava_export import export_llava
from vqa_core.data.pictures.links import make_link
from vqa_core.files import InputError, read_json, write_json
from vqa_core.inference.engine import Engine
from vqa_core.model.embedded import embedded_language_model
from vqa_core.model.folder import save_model_folder
from vqa_core.model.stages import prepare_stage
from vqa_core.model.vlm import Vlm, best_device, build_vlm
from vqa_core.runs.model_folder import Stage, describe_model_folder

logger = logging.getLogger("vqa")

SCRIPT = ROOT / "tests" / "parity" / "peer.py"
IMAGE = -200  # LLaVA's id of a picture
TOWER = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 12, "num_attention_heads": 6}
SIDE_PX, PATCH_PX = 224, 16


def bench_peer(settings: PeerBench) -> Iterator[Report]:
    """Yield the report. Raises WrongWork if an answer differs, InputError if LLaVA is not installed."""
    _check_environment(settings)
    questions = Questions.of_competition(settings.data).choose(settings.images, settings.questions_per_image)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vqa-bench-")))
        vlm = _build_models(folder, settings)
        asked = [
            {
                "picture": str(questions.root / example.image),
                "ids": [*vlm.prompt.prefix_ids, IMAGE, *vlm.prompt.branch_ids(example.question)[0]],
            }
            for example in questions.examples
        ]
        peer = stack.enter_context(_Peer(folder, settings, asked))
        ids = [example.question_id for example in questions.examples]
        given: list[dict[str, str]] = []
        rounds = interleave(
            {
                "shared": lambda: given.append(_answer(vlm, questions, settings)),
                "llava": lambda: given.append(dict(zip(ids, peer.answers(), strict=True))),
            },
            settings.rounds,
        )
    for question_id, answers in differences(given).items():
        raise WrongWork(f"question {question_id} is answered {' or '.join(map(repr, answers))}")
    device, shape = torch.device("cpu"), shape_of(vlm)
    work = workload_of(vlm, questions.examples, given[0])
    rate = matmul_rate(device, torch.float32, 1024)
    arms = {
        name: arm_figures(
            rounds.seconds[name],
            work.questions,
            shape.answer_flops(work, shared=shared),
            rate,
            encodes=work.encodes(shared),
            tokens=work.tokens(shared),
            padding=0,
            head_rows=work.head_rows if shared else work.tokens(False),  # LLaVA's forward scores every position
        )
        for name, shared in (("shared", True), ("llava", False))
    }
    found = {"questions_per_image": settings.questions_per_image} | comparison("shared", arms, work.speedup)
    report = Report("peer", describe_machine() | describe_device(device, torch.float32), settings.to_dict())
    report.numbers = found
    report.tables = comparison_tables(found)
    same = f"answers: all {work.questions} the same from both in each of {settings.rounds + 1} rounds"
    kinds = len(set(given[0].values()))
    report.lines = [
        describe_model("CLIP, mlp2x_gelu, SmolLM2", vlm),
        *comparison_lines(found),
        f"{same}, {kinds} kinds",
    ]
    yield report


def _check_environment(settings: PeerBench) -> None:
    if best_device().type != "cpu":
        raise InputError("LLaVA is measured on the CPU. Set CUDA_VISIBLE_DEVICES= (empty) for this command.")
    for path in (Path(settings.python), SCRIPT):
        if not path.is_file():
            raise InputError(f"LLaVA is not installed: {path} does not exist. Install it with `make parity`.")


def _build_models(folder: Path, settings: PeerBench) -> Vlm:
    """Build our model, and in `folder` the same for LLaVA: `clip`, `smollm2`, and the projector in `llava`."""
    tower = {"do": "clip_tower", "out": str(folder / "clip"), "side_px": SIDE_PX, "patch_px": PATCH_PX, "shape": TOWER}
    done = subprocess.run(**_process_arguments(folder, settings, [tower]), capture_output=True, encoding="utf-8")
    if done.returncode:
        raise RuntimeError(f"LLaVA's environment can't make a tower: {done.stderr[-2000:]}")
    vlm = build_vlm(ModelSettings(vision_tower=str(folder / "clip"), image_side_px=SIDE_PX, prompt_style="vicuna_v1"))
    stage = Stage("align")
    prepare_stage(vlm, stage)
    save_model_folder(folder / "model", vlm, stage, about={})
    vlm.model.requires_grad_(False)
    export_llava(describe_model_folder(folder / "model"), folder / "llava")
    write_old_spelling(embedded_language_model(), folder / "smollm2")
    return vlm


def write_old_spelling(source: Path, out: Path) -> None:
    """Write a language model's folder for tokenizers 0.15 and transformers 4, with links to the source's weights."""
    out.mkdir()
    backend = read_json(source / "tokenizer.json")
    backend["model"]["merges"] = [" ".join(pair) for pair in backend["model"]["merges"]]
    write_json(out / "tokenizer.json", backend)
    settings = read_json(source / "tokenizer_config.json") | {"tokenizer_class": "PreTrainedTokenizerFast"}
    write_json(out / "tokenizer_config.json", settings)
    for name in ("config.json", "model.safetensors"):
        make_link(out / name, source / name)


def _answer(vlm: Vlm, questions: Questions, settings: PeerBench) -> dict[str, str]:
    options = PredictSettings(engine="shared", max_new_tokens=settings.max_new_tokens)
    predictions = list(Engine(vlm, options, questions.root).generate(questions.examples))
    for prediction in predictions:
        if prediction.status != "ok":
            raise WrongWork(f"question {prediction.question_id} failed: {prediction.detail}")
    return {prediction.question_id: prediction.answer for prediction in predictions}


def _process_arguments(folder: Path, settings: PeerBench, jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """Arguments of subprocess: LLaVA's Python on jobs, outside the repository, so that it can't see our packages."""
    write_json(folder / "jobs.json", jobs)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return {
        "args": [str(Path(settings.python).absolute()), str(SCRIPT), str(folder / "jobs.json")],
        "cwd": folder,
        "env": environment | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
    }


class _Peer:
    """LLaVA as a process that answers all questions on request."""

    def __init__(self, folder: Path, settings: PeerBench, questions: list[dict[str, Any]]) -> None:
        job: dict[str, Any] = {
            "do": "serve",
            "model_path": str(folder / "llava"),
            "model_base": str(folder / "smollm2"),
        }
        job |= {"questions": questions, "new_tokens": settings.max_new_tokens, "threads": torch.get_num_threads()}
        with (folder / "peer.log").open("w", encoding="utf-8") as self.log:
            self.process = subprocess.Popen(
                **_process_arguments(folder, settings, [job]),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, encoding="utf-8",
            )  # fmt: skip

    def __enter__(self) -> "_Peer":
        self._read("ready")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def answers(self) -> list[str]:
        """The answers to all questions, in order; one round."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return list(self._read("answers"))

    def _read(self, key: str) -> Any:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)[key]
        said = Path(self.log.name).read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"LLaVA's process ended: {said[-2000:]}")
