"""What no source file may do, whoever writes it: read from the code, since no run would show it in time."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from vqa_core import ROOT

FOLDERS = ("vqa_core", "ui", "train", "eval", "docs")
SOURCES = [ROOT / "app.py", *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))]
PAGE = [path for path in SOURCES if path.is_relative_to(ROOT / "ui")]
LOADERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
OWN_PROCESSES = {"vqa_core/training/feed/transport.py"}
"""Sources that unpickle what a process of their own sent through its pipe, as multiprocessing does; never a file."""
OPTIONS = {  # keyword -> the value that opens a door; ... for any
    "shell": True,
    "weights_only": False,
    "allow_pickle": True,
    "trust_remote_code": True,
    "sanitize_html": False,
    "allowed_paths": ...,
    "share": True,
    "api_open": True,
    "show_error": True,
    "datatype": "html",
}
CALLS = {"eval", "exec", "system", "popen", "set_static_paths", "read_pickle"}
EVENTS = {"click", "change", "input", "submit", "upload", "tick", "then", "success", "failure"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def calls(path: Path) -> Iterator[tuple[ast.Call, str]]:
    """Every call in a file, and the last part of the name of what is called."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node, node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def options(path: Path) -> set[str]:
    found = set()
    for call, _ in calls(path):
        for keyword in call.keywords:
            given = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
            wanted = OPTIONS.get(str(keyword.arg), "\0")
            if wanted is ... or (given == wanted and type(given) is type(wanted)):
                found.add(f"{keyword.arg}={given} in line {call.lineno}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_is_loaded_that_can_run_and_no_door_is_opened(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} != {"UnpicklingError"}:
            imported.add(str(node.module).partition(".")[0])
    assert not imported & LOADERS or name_of(path) in OWN_PROCESSES
    assert not options(path)
    # `model.eval()` is PyTorch's, without arguments
    found = {f"{name} in line {call.lineno}" for call, name in calls(path) if name in CALLS and call.args}
    assert not found


@pytest.mark.parametrize("path", PAGE, ids=name_of)
def test_every_event_is_hooked_up_by_wiring(path: Path) -> None:
    """But for those that run in the browser alone: they take None for a handler."""
    if path.name in ("wiring.py", "api.py"):
        return
    direct = {
        f"{ast.unparse(call.func)} in line {call.lineno}"
        for call, name in calls(path)
        if name in EVENTS and isinstance(call.func, ast.Attribute) and (call.args or call.keywords)
        if not (call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value is None)
    }
    assert not direct


@pytest.mark.parametrize("path", PAGE, ids=name_of)
def test_only_widgets_make_html(path: Path) -> None:
    html = {call.lineno for call, name in calls(path) if name == "HTML"}
    assert not html or path.name == "widgets.py"


def test_the_check_sees_what_it_looks_for(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(
        "torch.load(f, weights_only=False)\nrun(c, shell=True)\nmount(a, allowed_paths=[d])\nok(shell=False)\n"
    )
    assert options(path) == {"weights_only=False in line 1", "shell=True in line 2", "allowed_paths=None in line 3"}
