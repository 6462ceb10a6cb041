"""A submission and its card take their places together: no card ever stands beside a file that it does not tell of."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vqa_core.folders import put_in_place, scratch_folder
from vqa_core.space import DiskError
from vqa_core.submission.card import card_path


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yield a path to write the file `out` to, and its card beside it; both take their places when the block ends.

    An error leaves `out` and its card as they were. A kill may leave the old file or the new one without its card, and
    a hidden folder, which the next call removes.
    """
    with scratch_folder(out) as folder:
        new = folder / out.name
        try:
            yield new
        except DiskError as error:  # its sentence names the file that the reader knows
            raise DiskError(str(error).replace(str(new), str(out)), error) from error
        card_path(out).unlink(missing_ok=True)
        put_in_place(new, out)
        put_in_place(card_path(new), card_path(out))
