"""Everything the project knows about visual question answering; the commands and the page are thin shells round it.

The files here are the ground: every package may import them, and they import none of them, nor gradio, the page or a
command. docs/design.md lists the packages in order and draws them. The ground uses the standard library, numpy, pandas,
scipy, Pillow, tqdm, filelock and psutil.

answers.py    kinds of answers and questions; normalisers, for comparison only
apart.py      work done in a process of its own, so that its memory is freed
commands.py   what the commands share: errors as sentences, the log, --run and --config
config.py     the settings of every stage, each declared once
drives.py     what drives that are no disks refuse, and what is done instead
errors.py     InputError, raised wherever the input is wrong
files.py      files written whole, JSON lines, hashes
folders.py    a folder that is there whole or not at all
locks.py      locks between processes and threads
machine.py    what this machine has: memory, number formats, speed
places.py     caches, home and temporary files, and the variables that move them
processes.py  the processes that torchrun started together
progress.py   how far a long command has come
settings.py   a dataclass field as flag, form field, limits and record
space.py      room on a drive, and its errors as sentences
stops.py      signals that ask a command to stop
tabulate.py   small aligned tables for a terminal

A new setting is a field in config.py. A new file belongs here only if several packages need it.
"""

from pathlib import Path

__version__ = "0.1.0"
ROOT = Path(__file__).resolve().parents[1]
"""The checkout: where app.py, configs/ and demo/ lie, and what PYTHONPATH of a child process names."""
