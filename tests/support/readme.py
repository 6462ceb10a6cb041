"""What README.md says that can be compared with the repository: its sections and its commands."""

import re
import shlex

from vqa_core import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text below the heading `## title`, up to the next one."""
    return re.split(rf"^## {re.escape(title)}$", TEXT, flags=re.MULTILINE)[1].split("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands(title: str) -> list[list[str]]:
    """The commands of a section, each as its words."""
    return commands_of(section(title))


def commands_of(text: str) -> list[list[str]]:
    """The commands of a text's `sh` blocks, each as its words; lines that a backslash joins are one."""
    lines = "\n".join(blocks(text, "sh")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]
