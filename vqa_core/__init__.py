"""Everything known about visual question answering; the commands and the page are thin shells round it.

Imports point one way, and `tests/repository/test_architecture.py` reads them:

    plain modules  ->  standard library, numpy, pandas, scipy, Pillow, tqdm
    model modules  ->  plain modules, torch, transformers, peft, ...
    train/ eval/ ui/  ->  vqa_core          app.py  ->  ui

Nothing here imports gradio or a command, and `datasets` only in the functions that need it.
"""

from pathlib import Path

__version__ = "0.1.0"
ROOT = Path(__file__).resolve().parents[1]
"""The checkout: where app.py, configs/ and demo/ lie, and what PYTHONPATH of a child process names."""
