"""What README.md says that can be held against the repository: its tree and its commands."""

import re
import shlex
from dataclasses import dataclass

from vqa_core import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text below the heading `## title`, up to the next one."""
    return re.split(rf"^## {re.escape(title)}$", TEXT, flags=re.MULTILINE)[1].split("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands(title: str) -> list[list[str]]:
    """The commands of a section's `sh` blocks, each as its words; lines that a backslash joins are one."""
    lines = "\n".join(blocks(section(title), "sh")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@dataclass(frozen=True)
class Entry:
    """A line of the tree. A folder's path ends with a slash; `kind` is the nearest line above that begins with `--`."""

    path: str
    comment: str
    kind: str


def tree() -> list[Entry]:
    """The lines of the tree that name files and folders; two blanks a level."""
    entries: list[Entry] = []
    folders: list[str] = []
    kind = ""
    for line in blocks(section("The tree"), "text")[0].splitlines():
        name, _, comment = line.strip().partition(" ")
        level = (len(line) - len(line.lstrip())) // 2
        if not name:
            continue
        if name == "--":
            kind = comment
            continue
        folders = folders[:level]
        kind = kind if level else ""
        entries.append(Entry("".join(folders) + name, comment.strip(), kind))
        if name.endswith("/"):
            folders.append(name)
    return entries


def model_modules() -> set[str]:
    """Dotted names of the modules of vqa_core that the tree lists below a line `-- ... torch ...`."""
    paths = [entry.path for entry in tree() if "torch" in entry.kind and entry.path.endswith(".py")]
    return {path.removesuffix(".py").replace("/", ".") for path in paths}
