"""A submission and its card take their places together: no card ever stands beside a file that it does not tell of."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vqa_core.submission.card import card_path


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yield a path to write the file `out` to, and its card beside it; both take their places when the block ends.

    An error leaves `out` and its card as they were. A kill may leave the old file or the new one without its card, and
    a hidden folder, which the next call removes. To be called under `writing(run)`.
    """
    folder = out.with_name(f".{out.name}.new")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    new = folder / out.name
    try:
        yield new
        card_path(out).unlink(missing_ok=True)
        os.replace(new, out)
        os.replace(card_path(new), card_path(out))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
