"""What README.md says that can be held against the repository: its tree and its commands."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
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


def tree() -> dict[str, str]:
    """Path -> comment, of every line of the tree. A folder's path ends with a slash; `--` lines are no files."""
    entries: dict[str, str] = {}
    folder = ""
    for line in blocks(section("The tree"), "text")[0].splitlines():
        name, _, comment = line.strip().partition(" ")
        if not line.strip() or name == "--":
            continue
        folder = folder if line.startswith(" ") else ""
        entries[folder + name] = comment.strip()
        if not line.startswith(" ") and name.endswith("/"):
            folder = name
    return entries


def model_modules() -> set[str]:
    """Names of the modules of vqa_core that the tree lists below its line `-- ... torch ...`."""
    whole = blocks(section("The tree"), "text")[0]
    core = re.split(r"^\S", whole.split("\nvqa_core/")[1], flags=re.MULTILINE)[0]
    below = re.split(r"^ *-- .*torch.*$", core, flags=re.MULTILINE)[1]
    return set(re.findall(r"^ +(\w+)\.py\b", below, flags=re.MULTILINE))
