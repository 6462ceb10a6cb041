"""`eval.benchmark`, the command: every benchmark from end to end on models made in code."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eval.benchmark import main
from tests.support.tiny import tiny_competition
from vqa_core import ROOT
from vqa_core.benchmarks.gpu import gpu
from vqa_core.benchmarks.gpu.bed import GpuBed, StepFindings
from vqa_core.benchmarks.report import around_section
from vqa_core.benchmarks.settings import GpuBench
from vqa_core.files import InputError, read_json

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_competition(tmp_path_factory.mktemp("competition"), train_images=28, test_images=1)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    path = tmp_path / "benchmarks.md"
    path.write_text((ROOT / "docs/benchmarks.md").read_text(encoding="utf-8"), encoding="utf-8")
    return path


def test_infer_compares_the_three_engines(
    data: Path, docs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "infer.json"
    small = ["--images", "5", "--rounds", "2", "--questions-per-image", "3.4", "5"]
    main(["infer", "--model", "tiny", "--data", str(data), *small, "--out", str(out), "--write", str(docs)])
    output = capsys.readouterr().out
    for mean in ("3.4", "5"):
        for arm in ("naive", "hf_batch"):
            assert re.search(rf"^shared over {arm}: \d+\.\d\dx \({mean} questions/image\)$", output, re.MULTILINE)
    first, second = read_json(out)["numbers"]["workloads"]
    assert (first["questions"], second["questions"], first["images"]) == (17, 25, 5)
    for found in (first, second):
        shared, naive, batched = (found["arms"][name] for name in ("shared", "naive", "hf_batch"))
        assert len(shared["seconds"]) == len(found["over"]) == 2
        assert (shared["encodes"], naive["encodes"], batched["encodes"]) == (5, found["questions"], found["questions"])
        assert naive["tokens"] / shared["tokens"] == pytest.approx(found["tokens_ratio"])
        assert shared["head_rows"] == naive["head_rows"]
    written = docs.read_text(encoding="utf-8")
    assert "| shared over naive |" in written
    assert "python -m eval.benchmark infer --model tiny" in written
    before, after = around_section(ROOT / "docs/benchmarks.md", "infer")
    assert written.startswith(before)  # the other sections stay
    assert written.endswith(after)


def test_train_compares_packed_and_separate_rows(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "train.json"
    main(["train", "--model", "tiny", "--data", str(data), "--rounds", "1", "--batch-tokens", "400", "--out", str(out)])
    output = capsys.readouterr().out
    assert re.search(r"^packed over separate: \d+\.\d\dx \(3\.4 questions/image\)$", output, re.MULTILINE)
    (found,) = read_json(out)["numbers"]["workloads"]
    assert [found["arms"][arm]["encodes"] for arm in ("packed", "separate")] == [5, 17]
    assert found["loss_difference_fp32"] < 1e-5
    assert found["gradient_difference_fp32"] < 1e-4


def test_prepare_times_the_command_and_its_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "prepare.json"
    main(["prepare", "--share", "0.001", "--out", str(out)])
    numbers = read_json(out)["numbers"]
    assert (numbers["rows"], numbers["images"]) == (360 + 40, 107 + 12)
    assert 0 < numbers["seconds"] < 90
    assert 50e6 < numbers["peak_bytes"] < 1.5e9
    assert "within 90 s and 1.5 GB" in capsys.readouterr().out


def test_gpu_runs_wherever_torch_and_transformers_are_and_nothing_else_of_ours(tmp_path: Path) -> None:
    absent = ["accelerate", "datasets", "easy_vqa", "gguf", "gradio", "onnx", "pandas", "peft", "scipy", "wandb"]
    out = tmp_path / "gpu.json"
    code = f"import sys; sys.modules |= dict.fromkeys({absent}); from eval.benchmark import main; "
    code += f"main(['gpu', '--model', 'tiny', '--minutes', '0.5', '--out', {str(out)!r}])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    numbers = json.loads(out.read_text())["numbers"]
    assert list(numbers) == ["model", *gpu.STEPS]
    assert not [step for step, found in numbers.items() if "failed" in found], done.stdout
    assert [batch["images"] for batch in numbers["decode"]["batches"]] == [4, 8]
    assert set(numbers["answering"]["over"]) == {"naive", "hf_batch"}
    assert "beware" not in done.stdout
    assert "40,479 test questions: " in done.stdout
    assert "359,521 training questions: " in done.stdout


def found_nothing(_bed: GpuBed, _limit_s: float) -> StepFindings:
    return StepFindings(lines=["nothing"])


def test_gpu_ends_in_time_with_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def for_ever(_bed: GpuBed, _limit_s: float) -> StepFindings:
        while True:
            time.sleep(0.01)

    steps = {"quick": (found_nothing, 1.0), "slow": (for_ever, 1.0), "later": (found_nothing, 1.0)}
    monkeypatch.setattr(gpu, "STEPS", steps)
    started = time.monotonic()
    *_, report = gpu.bench_gpu(GpuBench(model="tiny", minutes=0.1))
    assert time.monotonic() - started < 12
    assert list(report.numbers) == ["model", "quick"]
    assert report.lines[-1] == "stopped after 0.1 minutes; what is missing was not measured"


def test_gpu_goes_on_after_a_step_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_bed: GpuBed, _limit_s: float) -> StepFindings:
        raise RuntimeError("out of memory\nat line 3")

    monkeypatch.setattr(gpu, "STEPS", {"large": (fail, 1.0), "small": (found_nothing, 1.0)})
    *_, report = gpu.bench_gpu(GpuBench(model="tiny"))
    assert report.lines[1:] == ["large failed: RuntimeError: out of memory", "nothing"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["infer", "--questions-per-image", "many"], "--questions-per-image many is not a list of numbers"),
        (["infer", "--questions-per-image", "0.5"], "--questions-per-image 0.5 is not a list of numbers"),
        (["infer", "--images", "1000"], "--images 1000 at --questions-per-image 3.4 needs more"),
        (["infer", "--batch-questions", "3", "--images", "5"], "--batch-questions 3 would split the 4 questions"),
        (
            ["infer", "--model", "missing/model", "--images", "5"],
            "--model missing/model is neither the folder of a trained model nor one of embedded, 7b, small, tiny",
        ),
        (["infer", "--write", "missing.md"], "--write missing.md does not exist"),
        (["train", "--rounds", "0"], "--rounds is 0, the least allowed is 1"),
        (["gpu", "--model", "13b"], "--model '13b' is not known; choose from 7b, small, tiny"),
        (["prepare", "--share", "2"], "--share is 2.0, the most allowed is 1.0"),
    ],
)
def test_wrong_input_is_a_sentence(data: Path, arguments: list[str], problem: str) -> None:
    name, *rest = arguments
    given = [*rest] if name in ("gpu", "prepare") else ["--data", str(data), "--questions-per-image", "3.4", *rest]
    with pytest.raises(InputError, match=re.escape(problem)):
        main([name, *given])


def test_7b_without_a_cuda_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="needs a CUDA device"):
        main(["gpu"])
