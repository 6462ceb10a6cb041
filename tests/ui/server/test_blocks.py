"""What a reader is told when something fails, whoever fails: ui/components/wiring.py
and ui/server/blocks.py behind Gradio's own routes.

The canary stands for a secret in an exception's text; paths of this machine are none of the reader's business either.
"""

import http.client
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import uvicorn
from fastapi import FastAPI
from PIL import Image

from tests.support.browser import free_port
from ui.components.parts import Drawn, Parts
from ui.components.wiring import Wiring
from ui.components.words import Words
from ui.server.blocks import PageBlocks
from vqa_core.files import InputError

CANARY = "canary-2d9e-/etc/secret"


def fails(*_: Any) -> Drawn:
    raise RuntimeError(CANARY)


def fails_midway(*_: Any) -> Iterator[Drawn]:
    yield {"out": "first"}
    raise RuntimeError(CANARY)


def refuses(*_: Any) -> Drawn:
    raise InputError("there is no run 'x' in runs.")


def answers_nonsense(*_: Any) -> Drawn:
    return {"whole": object()}


def echoes(value: Any, *_: Any) -> Drawn:
    return {"out": str(value)}


class Service:
    """A page of five fields in Korean, served from a thread."""

    def __init__(self) -> None:
        t = Words("ko")
        wire = Wiring(t)
        with PageBlocks(t, analytics_enabled=False) as blocks:
            text, out = gr.Textbox(max_length=10), Parts(out=gr.Textbox())
            fields = {
                "text": text,
                "image": gr.Image(type="filepath", image_mode=None),
                "pil": gr.Image(type="pil"),
                "choice": gr.Dropdown(["a", "b"]),
                "number": gr.Number(),
                "file": gr.File(),
            }
            whole = Parts(whole=gr.Image())
            handlers = {"fails": fails, "fails_midway": fails_midway, "refuses": refuses}
            for name, handler in handlers.items():
                wire(gr.Button(name).click, handler, [text], out)
            wire(gr.Button("nonsense").click, answers_nonsense, [text], whole)
            for field in fields.values():
                wire(field.change, echoes, [field], out)
        blocks.queue(api_open=False)
        self.numbers = {name: number for number, name in enumerate([*handlers, "nonsense", *fields])}
        app = gr.mount_gradio_app(FastAPI(), blocks, "/", show_error=False, ssr_mode=False, max_file_size="30mb")
        self.port = free_port()
        self.server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=self.port, log_level="error"))
        threading.Thread(target=self.server.run, daemon=True).start()
        while not self.server.started:
            time.sleep(0.01)

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, {"content-type": kind})
        return connection.getresponse().read()

    def call(self, name: str, value: Any) -> tuple[str, str]:
        """The last event's error, and all that was sent."""
        session = f"{name}-{time.monotonic_ns()}"
        body = {"data": [value], "fn_index": self.numbers[name], "session_hash": session}
        joined = self.ask("POST", "/gradio_api/queue/join", json.dumps(body).encode())
        sent = self.ask("GET", f"/gradio_api/queue/data?session_hash={session}").decode()
        events = [json.loads(line[6:]) for line in sent.splitlines() if line.startswith("data: ")]
        last = next(event for event in events if event["msg"] == "process_completed")
        return str(last["output"].get("error")), joined.decode() + json.dumps(events, ensure_ascii=False)

    def upload(self, name: str, data: bytes) -> dict[str, Any]:
        """What the browser sends for a file."""
        body = f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode() + data
        paths = json.loads(
            self.ask("POST", "/gradio_api/upload", body + b"\r\n--b--\r\n", "multipart/form-data; boundary=b")
        )
        return given(paths[0], name)


def given(path: str, name: str = "x.png") -> dict[str, Any]:
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("uploads")
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    service = Service()
    yield service
    service.server.should_exit = True
    if before is None:
        del os.environ["GRADIO_TEMP_DIR"]
    else:
        os.environ["GRADIO_TEMP_DIR"] = before


def reference(said: str) -> str:
    found = re.search("참조 번호 ([0-9a-f]{6})", said)
    assert found, said
    return found[1]


@pytest.mark.parametrize("name", ["fails", "fails_midway", "nonsense"])
def test_an_unforeseen_error_is_a_reference_number_whose_trace_is_in_the_log(
    service: Service, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    said, everything = service.call(name, "x")
    assert CANARY not in everything
    assert reference(said) in caplog.text
    assert name == "nonsense" or CANARY in caplog.text


def test_an_error_of_the_input_is_a_sentence(service: Service) -> None:
    assert "runs" in service.call("refuses", "x")[0]


UPLOADS_ALONE = [
    given("/etc/passwd"), given("../../etc/passwd"), given(str(Path(__file__).resolve())), given("tests/test_files.py"),
    given("/proc/self/environ"), given("/nowhere/x.png"), given("a\0b"), given(""), given("~/.ssh/id_rsa"),
    {"path": "/etc/passwd"},
    {"path": "http://127.0.0.1:9/x.png", "url": "http://127.0.0.1:9/x.png", "meta": {"_type": "gradio.FileData"}},
    {"path": "file:///etc/passwd", "meta": {"_type": "gradio.FileData"}},
]  # fmt: skip


@pytest.mark.parametrize("value", UPLOADS_ALONE)
@pytest.mark.parametrize("name", ["image", "pil", "file"])
def test_a_file_field_takes_uploads_alone(
    service: Service, name: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Gradio takes any path of this machine, and hands the file out, where Blocks are mounted and not launched."""
    said, everything = service.call(name, value)
    assert reference(said) in caplog.text
    assert_tells_nothing(everything)


@pytest.mark.parametrize(
    ("name", "value"),
    [("choice", "c"), ("choice", {"a": 1}), ("number", "eleven"), ("number", [1]), ("image", "x"), ("pil", 5)],
)
def test_a_value_that_can_t_be_is_told_in_our_words(
    service: Service, name: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    said, everything = service.call(name, value)
    if said != "None":  # Gradio takes some of them
        assert reference(said) in caplog.text
        assert "파일을 선택" in said
    assert_tells_nothing(everything)


def assert_tells_nothing(everything: str) -> None:
    for word in ("Traceback", "site-packages", "root:x:0", "gradio cache", "choices", os.environ["GRADIO_TEMP_DIR"]):
        assert word not in everything, everything


@pytest.mark.parametrize("name", ["image", "pil"])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_oversized_picture_is_refused_before_it_is_decoded(service: Service, name: str, tmp_path: Path) -> None:
    Image.new("1", (13_000, 13_000)).save(tmp_path / "bomb.png")
    value = service.upload("bomb.png", (tmp_path / "bomb.png").read_bytes())
    service.call("text", "warm")
    before, started = resident_peak(), time.perf_counter()
    said, _ = service.call(name, value)
    seconds = time.perf_counter() - started
    assert "13000" in said.replace(",", "")
    assert seconds < 0.2
    assert resident_peak() - before < 100 << 20


def resident_peak() -> int:
    """Bytes; the most this process has held."""
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) * 1024


@pytest.mark.parametrize("data", [b"", b"no picture", b"<svg onload=alert(1)>", b"\x89PNG\r\n\x1a\n cut"])
def test_a_file_that_is_no_picture_is_a_sentence(service: Service, data: bytes) -> None:
    said, everything = service.call("image", service.upload("한글 이름.png", data))
    assert said != "None"
    assert os.environ["GRADIO_TEMP_DIR"] not in said
    assert "Traceback" not in everything


def test_a_picture_with_a_korean_name_arrives(service: Service, tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    said, everything = service.call("image", service.upload("한글 이름 (1).png", (tmp_path / "x.png").read_bytes()))
    assert said == "None"
    assert "한글 이름" in everything
