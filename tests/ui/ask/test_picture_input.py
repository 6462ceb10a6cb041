"""A picture comes in as a file and is refused by its header: nothing of it is decoded before."""

import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import gradio as gr
import pytest
from gradio.data_classes import ImageData
from PIL import Image

from ui.ask.picture_input import PictureInput
from vqa_core import ROOT

REFUSE = """
import json, resource, sys, time
from pathlib import Path

import pytest
from gradio.data_classes import ImageData
from ui.ask.tab import upload_picture
from ui.ask.picture_input import PictureInput
from ui.components.words import Words
from ui.workspace.workspace import Workspace
from vqa_core.files import InputError

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

picture = PictureInput(type="filepath", image_mode=None)
workspace, t = Workspace(Path(sys.argv[2])), Words("ko")
before, started = peak(), time.process_time()
path = picture.preprocess(ImageData(path=sys.argv[1], orig_name="bomb.png"))
try:
    upload_picture(workspace, t, {}, path)
except InputError as error:
    said = str(error)
print(json.dumps({"seconds": time.process_time() - started, "bytes": peak() - before, "said": said}))
"""


@pytest.mark.slow
def test_a_small_file_of_169_million_pixels_is_refused_at_once_and_in_little_memory(tmp_path: Path) -> None:
    bomb = tmp_path / "한글 사진.png"
    Image.new("1", (13_000, 13_000)).save(bomb, optimize=True)
    assert bomb.stat().st_size < 30_000
    printed = subprocess.run(
        [sys.executable, "-c", REFUSE, bomb, tmp_path], check=True, cwd=ROOT, capture_output=True, text=True
    )
    found = json.loads(printed.stdout)
    assert "13000 x 13000 pixels" in found["said"]
    assert found["seconds"] < 0.2
    assert found["bytes"] < 100e6


def test_the_file_is_handed_over_as_it_came(tmp_path: Path) -> None:
    path = tmp_path / "사진.png"
    path.write_bytes(b"no picture at all")
    assert PictureInput().preprocess(ImageData(path=str(path), orig_name="사진.png")) == str(path)
    assert PictureInput().preprocess(None) is None


def test_a_picture_in_an_address_is_not_taken() -> None:
    content = io.BytesIO()
    Image.new("1", (13_000, 13_000)).save(content, "PNG", optimize=True)
    address = "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
    for payload in (ImageData(url=address), ImageData(url=address, path="/etc/passwd")):
        assert PictureInput().preprocess(payload) is None


def test_the_browser_sees_gradios_own_picture_field() -> None:
    assert PictureInput().get_block_name() == gr.Image().get_block_name()
    assert not list((ROOT / "ui").glob("*.pyi"))  # Gradio writes such files beside components
