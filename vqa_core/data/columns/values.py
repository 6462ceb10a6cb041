"""Values of typed columns and of JSON as text: what a number, a truth value, a date or a list becomes in an answer.

docs/formats.md has the table. A text stays as it is, to the letter. pandas makes whole numbers floating point as soon
as one of them is missing, and writes dates as timestamps at midnight: both are seen only in a whole column. Truth
values are `true` and `false`, as JSON and Arrow write them, in lower case as answers are.
"""

import datetime
import decimal
import json
import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

WHOLE = "whole numbers stored as floating point, written without `.0`"
ROUNDED = "numbers beyond 2**53 stored as floating point, which rounded them before they came here"
TRUTH = "truth values, written as `true` and `false`"
DATES = "dates and times, written as 2024-05-01, 2024-05-01 12:30:00 or 12:30:00"
BYTES = "bytes, read as UTF-8"
NESTED = "lists and objects, written as JSON"

_EXACT = 2**53
_MIDNIGHT = datetime.time()


class Column:
    """The values of one column, of which `add` has to see all before `text` writes any.

    `float_type` is the floating-point type that the source stored, such as `float32`: the 0.1 of that type is not the
    0.1 of Python's. `labels` are the names of a ClassLabel, whose values are their numbers.
    """

    def __init__(self, values: Iterable[Any] = (), float_type: str = "", labels: Sequence[str] = ()) -> None:
        self.float_type, self.labels = float_type, labels
        self._fractions = self._clocks = False
        for value in values:
            self.add(value)

    def add(self, value: Any) -> None:
        """Take note of what a value says about its column; of a list, what its items say."""
        if isinstance(value, str):
            return
        if isinstance(value, list | tuple):
            for item in value:
                self.add(item)
        elif isinstance(value, dict):
            for item in value.values():
                self.add(item)
        elif is_float(value):
            self._fractions = self._fractions or not float(value).is_integer()
        elif isinstance(value, datetime.datetime) and not is_missing(value):
            is_date = value.tzinfo is None and value.time() == _MIDNIGHT and not getattr(value, "nanosecond", 0)
            self._clocks = self._clocks or not is_date

    def text(self, value: Any) -> str | None:
        """The value as text; None if it is missing. Raises ValueError for bytes that are not UTF-8."""
        if isinstance(value, str):
            return str(value)
        if is_missing(value):
            return None
        if isinstance(value, bool | np.bool_):
            return "true" if value else "false"
        if isinstance(value, numbers.Integral):
            return self._label(int(value))
        if is_float(value):
            return self._float(value)
        if isinstance(value, decimal.Decimal):
            return format(value, "f")
        if isinstance(value, datetime.datetime):
            return value.isoformat(sep=" ") if self._clocks else value.date().isoformat()
        if isinstance(value, datetime.date | datetime.time):
            return value.isoformat()
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value).decode("utf-8")
        if isinstance(value, list | tuple | dict | np.ndarray):
            return json.dumps(self._plain(value), ensure_ascii=False)
        return str(value)

    def conversion(self, value: Any) -> str:
        """What `text` changed about a value, for the data report; empty for what is a text or a plain number."""
        if isinstance(value, str) or is_missing(value):
            return ""
        if isinstance(value, bool | np.bool_):
            return TRUTH
        if is_float(value) and not self._fractions:
            return ROUNDED if abs(value) > _EXACT else WHOLE
        if isinstance(value, datetime.date | datetime.time):
            return DATES
        if isinstance(value, bytes | bytearray | memoryview):
            return BYTES
        return NESTED if isinstance(value, list | tuple | dict | np.ndarray) else ""

    def _label(self, number: int) -> str | None:
        if not self.labels:
            return str(number)
        if number < 0:  # the label of a hidden test split
            return None
        return self.labels[number] if number < len(self.labels) else str(number)

    def _float(self, value: Any) -> str:
        if not self._fractions:
            return str(int(value))
        return str({"float32": np.float32, "float16": np.float16}.get(self.float_type, float)(value))

    def _plain(self, value: Any) -> Any:
        """A nested value for JSON, with numbers as this column writes them."""
        if isinstance(value, dict):
            return {str(key): self._plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple | np.ndarray):
            return [self._plain(item) for item in value]
        if isinstance(value, bool | np.bool_):
            return bool(value)
        text = self.text(value)
        if text is not None and isinstance(value, numbers.Real) and not self.labels and math.isfinite(value):
            return json.loads(text)
        return text


def is_missing(value: Any) -> bool:
    """Whether a value is None, or what pandas writes for an empty cell: NaN, NaT or NA."""
    if value is None:
        return True
    if isinstance(value, str | bytes | list | tuple | dict | np.ndarray):
        return False
    try:
        return bool(value != value)
    except TypeError:  # pandas.NA compares as itself, and is neither true nor false
        return True


def is_float(value: Any) -> bool:
    """Whether a value is a floating-point number, and not NaN."""
    return isinstance(value, float | np.floating) and not math.isnan(value)
