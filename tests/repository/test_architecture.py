"""The arrows between the packages, read from the import lines: docs/design.md says what they are.

Which modules may import torch, README's tree says: those below its line that names it. All others are plain.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import readme
from vqa_core import ROOT

PLAIN = {"numpy", "pandas", "scipy", "PIL", "tqdm"}
MODEL = PLAIN | {"torch", "transformers", "tokenizers", "peft", "safetensors", "accelerate", "onnx", "gguf", "ray"}
PAGE = {
    "gradio",
    "gradio_client",
    "fastapi",
    "starlette",
    "uvicorn",
    "python_multipart",
    "mcp",
}  # the latter come with the former
# Imported inside the functions that need it: what takes seconds to import, or is not there for everyone.
LATE = {
    "app": {"huggingface_hub"},
    "vqa_core.runs.training_rows": {"datasets"},
    "vqa_core.benchmarks.page.page": {"playwright"},
    "vqa_core.benchmarks.page.server": {"playwright"},
    "ui.workspace.models": {"torch", "transformers"},
    "vqa_core.data.formats.hf_dataset": {"datasets"},
    "vqa_core.data.formats.parquet": {"datasets", "pyarrow"},
}


def modules(*folders: str) -> list[str]:
    """Dotted names of the modules below some folders."""
    paths = sorted(path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths]


def file_of(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


CORE = modules("vqa_core")
COMMANDS = modules("train", "eval")
MODEL_MODULES = readme.model_modules()
PLAIN_MODULES = [module for module in CORE if module not in MODEL_MODULES]


def imports(module: str) -> Iterator[tuple[str, bool]]:
    """Dotted names that a module imports, each with whether that happens when the module itself is imported."""
    tree = ast.parse(file_of(module).read_text(encoding="utf-8"))
    late = {id(part) for node in ast.walk(tree) if _is_late(node) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: imports are written from the root"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in CORE else str(node.module) for name in inner]
        else:
            continue
        yield from ((name, id(node) not in late) for name in names)


def _is_late(node: ast.AST) -> bool:
    """A function's body, and what only a type checker reads."""
    checking = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return checking or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def foreign(module: str, allowed: set[str]) -> set[str]:
    """The packages that a module imports, early or late, that are neither the standard library's nor in `allowed`."""
    return {name.partition(".")[0] for name, _ in imports(module)} - sys.stdlib_module_names - allowed


def early(module: str) -> set[str]:
    return {name for name, now in imports(module) if now}


def test_a_module_is_called_a_model_module_only_where_it_needs_to_be() -> None:
    """Since it imports a model library or, at any time, another model module."""
    used = {module: {name for name, _ in imports(module)} for module in CORE}
    needs = {module for module in CORE if foreign(module, PLAIN | {"vqa_core"} | LATE.get(module, set()))}
    while more := {module for module in CORE if used[module] & needs} - needs:
        needs |= more
    assert needs == MODEL_MODULES


@pytest.mark.parametrize("module", PLAIN_MODULES)
def test_a_plain_module_imports_plain_things(module: str) -> None:
    assert not foreign(module, PLAIN | {"vqa_core"} | LATE.get(module, set()))
    assert not MODEL_MODULES & {name for name, _ in imports(module)}
    assert not LATE.get(module, set()) & early(module)


@pytest.mark.parametrize("module", sorted(MODEL_MODULES))
def test_a_model_module_imports_the_core_and_model_libraries(module: str) -> None:
    assert not foreign(module, MODEL | {"vqa_core"})


@pytest.mark.parametrize("module", COMMANDS)
def test_a_command_imports_the_core_alone_and_torch_not_at_once(module: str) -> None:
    assert not foreign(module, {"vqa_core"})
    assert not MODEL_MODULES & early(module)


@pytest.mark.parametrize("module", [*modules("ui"), "app"])
def test_the_page_imports_the_core_and_gradio_and_no_command_and_torch_not_at_once(module: str) -> None:
    assert not foreign(module, PLAIN | {"vqa_core", "ui", *PAGE} | LATE.get(module, set()))
    assert not (MODEL_MODULES | LATE.get(module, set())) & early(module)


def test_importing_every_plain_module_and_command_loads_no_torch() -> None:
    heavy = ["torch", "transformers", "datasets", "gradio", "peft", "wandb"]
    code = f"import importlib, sys\nfor name in {PLAIN_MODULES + COMMANDS}: importlib.import_module(name)\n"
    code += f"assert not sys.modules.keys() & {set(heavy)}, sys.modules.keys() & {set(heavy)}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
