"""The packages and who imports whom, read from the code: for the test of imports and for the picture in docs/design.md.

The order is that of the first block in docs/design.md: each package may import those above it.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vqa_core import ROOT

DESIGN = ROOT / "docs/design.md"
TOPS = ("vqa_core", "ui", "train", "eval", "app")


@dataclass(frozen=True, slots=True)
class Import:
    """`early` is whether it happens when the module itself is imported; what only a type checker reads does not."""

    name: str
    early: bool


def order() -> dict[str, str]:
    """Packages from the ground up, each with its line in docs/design.md."""
    text = DESIGN.read_text(encoding="utf-8")
    block = re.search(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block, f"{DESIGN} has no block that begins with ```text"
    return {name: line.strip() for name, _, line in (row.partition(" ") for row in block[1].splitlines())}


def modules() -> dict[str, Path]:
    """Source files by dotted name; a package's name stands for its `__init__.py`."""
    paths = [path for top in TOPS for path in sorted((ROOT / top).rglob("*.py"))] + [ROOT / "app.py"]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def package_of(module: str, packages: dict[str, str]) -> str:
    """The package that a module belongs to: the longest of `packages` that its name begins with."""
    return max((name for name in packages if f"{module}.".startswith(f"{name}.")), key=len)


def imports(module: str, known: dict[str, Path]) -> Iterator[Import]:
    """What a module imports, late or early, each by the dotted name of the module that is meant."""
    tree = ast.parse(known[module].read_text(encoding="utf-8"))
    late = {id(part) for node in ast.walk(tree) if _is_late(node) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: imports are written from the root"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = sorted({name if name in known else str(node.module) for name in inner})
        else:
            continue
        yield from (Import(name, id(node) not in late) for name in names)


@cache
def package_imports() -> dict[str, set[str]]:
    """The packages that each package imports, early or late; without itself."""
    packages, known = order(), modules()
    known.pop("ui")  # belongs to no package
    found: dict[str, set[str]] = {name: set() for name in packages}
    for module in known:
        package = package_of(module, packages)
        names = {each.name for each in imports(module, known)} & known.keys()
        found[package] |= {package_of(name, packages) for name in names} - {package}
    return found


@cache
def torch_packages() -> set[str]:
    """The packages that load torch when they are imported."""
    packages, known = order(), modules()
    known.pop("ui")
    return {
        package_of(module, packages)
        for module in known
        if any(each.early and each.name.partition(".")[0] == "torch" for each in imports(module, known))
    }


def _is_late(node: ast.AST) -> bool:
    checking = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return checking or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
