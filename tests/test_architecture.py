"""The arrows between the packages, read from the import lines: vqa_core/__init__.py says what they are."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Modules that may import torch. Every other one of vqa_core is plain; a new module is plain until its name stands here.
MODEL_MODULES = {
    *("baselines", "batches", "checkpoints", "collator", "decoding", "engine", "finetuning", "packing", "predicting"),
    *("pretrained", "projectors", "stages", "trainer", "training_data", "tries", "vlm"),
}
PLAIN = {"numpy", "pandas", "scipy", "PIL", "tqdm"}
MODEL = PLAIN | {"torch", "transformers", "tokenizers", "peft", "safetensors", "accelerate", "onnx", "gguf"}
CORE = sorted((ROOT / "vqa_core").glob("*.py"))
COMMANDS = sorted([*(ROOT / "train").glob("*.py"), *(ROOT / "eval").glob("*.py")])


def plain(path: Path) -> bool:
    return path.stem not in MODEL_MODULES


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Dotted names that a file imports, each with whether that happens when the file itself is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {id(part) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) for part in ast.walk(node)}
    late |= {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are written from the root"
            whole = node.module or ""
            names = [f"vqa_core.{alias.name}" for alias in node.names] if whole == "vqa_core" else [whole]
        else:
            continue
        yield from ((name, id(node) not in late) for name in names)


def outside(path: Path, allowed: set[str]) -> list[str]:
    """The imports of a file, early or late, that are neither the standard library's nor in `allowed`."""
    tops = {name.partition(".")[0] for name, _ in imports(path)}
    return sorted(tops - sys.stdlib_module_names - allowed)


def test_the_lists_here_name_files_that_are_there() -> None:
    assert MODEL_MODULES <= {path.stem for path in CORE}


@pytest.mark.parametrize("path", [path for path in CORE if plain(path)], ids=lambda path: path.stem)
def test_a_plain_module_imports_plain_things(path: Path) -> None:
    tables = {"datasets"} if path.stem == "rows" else set()
    assert not outside(path, PLAIN | tables | {"vqa_core"})
    early = {name for name, now in imports(path) if now}
    assert "datasets" not in early, "it takes a second: import it in the function that needs it"
    assert not {f"vqa_core.{name}" for name in MODEL_MODULES} & {name for name, _ in imports(path)}


@pytest.mark.parametrize("path", [path for path in CORE if not plain(path)], ids=lambda path: path.stem)
def test_a_model_module_imports_the_core_and_model_libraries(path: Path) -> None:
    assert not outside(path, MODEL | {"vqa_core"})


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_a_command_imports_the_core_alone_and_torch_not_at_once(path: Path) -> None:
    assert not outside(path, {"vqa_core"})
    early = {name for name, now in imports(path) if now}
    assert not {f"vqa_core.{name}" for name in MODEL_MODULES} & early


def test_the_page_imports_the_core_and_gradio_and_no_command() -> None:
    for path in sorted((ROOT / "ui").glob("*.py")):
        assert not outside(path, PLAIN | {"vqa_core", "ui", "gradio"}), path
    app = ROOT / "app.py"
    if app.is_file():
        assert not outside(app, {"vqa_core", "ui", "gradio"})


def test_importing_every_plain_module_and_command_loads_no_torch() -> None:
    names = [f"vqa_core.{path.stem}" for path in CORE if plain(path) and path.stem != "__init__"]
    names += [f"{path.parent.name}.{path.stem}" for path in COMMANDS if path.stem != "__init__"]
    heavy = ["torch", "transformers", "datasets", "gradio", "peft", "wandb"]
    code = f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\n"
    code += f"print(*(name for name in {heavy} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
