"""Imports run one way: docs/design.md says which, and every import is read, those inside functions included."""

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import pytest

from docs import packages
from vqa_core import ROOT

MODULES = packages.modules()
ORDER = packages.order()
PLACE = {name: place for place, name in enumerate(ORDER)}
IMPORTS = {module: list(packages.imports(module, MODULES)) for module in MODULES}

PLAIN = {"numpy", "pandas", "scipy", "PIL", "tqdm", "filelock", "psutil"}
TORCH = {"torch", "transformers", "tokenizers", "peft", "safetensors", "accelerate", "onnx", "gguf"}
PAGE = {"gradio", "gradio_client", "fastapi", "starlette", "uvicorn", "python_multipart", "mcp"}  # come with gradio
TORCH_PACKAGES = tuple(f"vqa_core.{name}" for name in ("model", "convert", "inference", "training", "benchmarks"))
LATE = {
    "app": {"huggingface_hub"},
    "ui.workspace.models": {"torch", "transformers"},
    "vqa_core.benchmarks.page.page": {"playwright"},
    "vqa_core.benchmarks.page.server": {"playwright"},
    "vqa_core.data.formats.hf_dataset": {"datasets"},
    "vqa_core.data.formats.parquet": {"datasets", "pyarrow"},
    "vqa_core.inference.ray_engine": {"ray"},
    "vqa_core.runs.training_rows": {"datasets"},
}
"""Imported inside functions: what takes seconds to import, or is not there for everyone."""


def package(module: str) -> str:
    return packages.package_of(module, ORDER)


def own(module: str) -> set[str]:
    """The modules of the project that a module imports, early or late."""
    return {each.name for each in IMPORTS[module] if each.name in MODULES and each.name != module}


def is_torch(module: str) -> bool:
    return f"{module}.".startswith(tuple(f"{name}." for name in TORCH_PACKAGES))


def test_every_package_has_its_place_in_the_order() -> None:
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in MODULES.values()} - {""}
    placed = {package(module) for module in MODULES if module != "ui"}
    assert placed == set(ORDER)
    assert {name for name in folders if name.count(".") < 2} <= set(ORDER) | {"ui"}


def test_a_module_imports_its_own_package_and_those_before_it() -> None:
    later = {
        (module, name) for module in MODULES for name in own(module) if PLACE[package(name)] > PLACE[package(module)]
    }
    assert not later, "docs/design.md places what they import after them"


def test_no_two_files_import_each_other_by_any_way_round() -> None:
    try:
        TopologicalSorter({module: own(module) for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(f"imports run in a circle: {' <- '.join(error.args[1])}")


def test_nothing_imports_a_command_and_the_page_and_the_core_no_more_than_is_theirs() -> None:
    wrong = set()
    for module in MODULES:
        banned = {"train", "eval", "app"}
        banned |= set() if module.startswith(("vqa_core.benchmarks", "eval.benchmark")) else {"vqa_core.benchmarks"}
        banned |= {"ui"} if module.split(".")[0] in ("vqa_core", "train", "eval") else set()
        prefixes = tuple(f"{name}." for name in banned)
        wrong |= {(module, name) for name in own(module) if f"{name}.".startswith(prefixes)}
    assert not wrong


def test_a_module_imports_the_libraries_of_its_place() -> None:
    wrong = set()
    for module in MODULES:
        allowed = PLAIN | {"vqa_core", "ui"} | LATE.get(module, set())
        allowed |= PAGE if module.split(".")[0] in ("ui", "app") else set()
        allowed |= TORCH if is_torch(module) else set()
        foreign = {each.name.partition(".")[0] for each in IMPORTS[module]} - sys.stdlib_module_names - allowed
        early = {each.name.partition(".")[0] for each in IMPORTS[module] if each.early} & LATE.get(module, set())
        wrong |= {(module, name) for name in foreign | early}
    assert not wrong


def test_importing_all_that_is_not_a_torch_package_loads_no_torch() -> None:
    heavy = {"torch", "transformers", "datasets", "peft", "wandb"}
    plain = [module for module in MODULES if not is_torch(module) and module.split(".")[0] not in ("ui", "app")]
    page = [module for module in MODULES if module.split(".")[0] in ("ui", "app")]
    for names, banned in ((plain, heavy | {"gradio"}), (page, heavy)):
        code = f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\n"
        code += f"assert not sys.modules.keys() & {banned}, sys.modules.keys() & {banned}"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
