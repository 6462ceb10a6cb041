"""Values of typed columns become the text that they were: 2.0 of a column of whole numbers is `2`, 2.5 stays 2.5."""

import datetime
import math
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from vqa_core.data.columns.values import BYTES, DATES, NESTED, ROUNDED, TRUTH, WHOLE, Column, is_missing

NOON = datetime.datetime(2024, 5, 1, 12, 30)
MIDNIGHT = datetime.datetime(2024, 5, 1)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (["none", "NA", "001", "", " 2.0 "], ["none", "NA", "001", "", " 2.0 "]),
        ([1, 2**63 - 1, 2**64 - 1, -5, np.int64(7)], ["1", "9223372036854775807", "18446744073709551615", "-5", "7"]),
        ([1000.0, None, math.nan, -0.0], ["1000", None, None, "0"]),
        ([1.0, 2.5, None], ["1.0", "2.5", None]),
        ([1.0, math.inf], ["1.0", "inf"]),
        ([1e22], ["10000000000000000000000"]),
        ([True, False, np.True_, None], ["true", "false", "true", None]),
        ([Decimal("2.50"), Decimal("1E+3"), Decimal("NaN")], ["2.50", "1000", None]),
        ([datetime.date(2024, 5, 1)], ["2024-05-01"]),
        ([MIDNIGHT, MIDNIGHT, pd.NaT], ["2024-05-01", "2024-05-01", None]),
        ([MIDNIGHT, NOON], ["2024-05-01 00:00:00", "2024-05-01 12:30:00"]),
        ([pd.Timestamp(1, unit="ns")], ["1970-01-01 00:00:00.000000001"]),
        ([MIDNIGHT.replace(tzinfo=ZoneInfo("Asia/Seoul"))], ["2024-05-01 00:00:00+09:00"]),
        ([datetime.time(12, 30)], ["12:30:00"]),
        ([datetime.timedelta(days=1, seconds=5)], ["1 day, 0:00:05"]),
        ([b"\xea\xb3\xb0"], ["곰"]),
        ([["a", 2.0, True, None], {"k": [3.0]}], ['["a", 2, true, null]', '{"k": [3]}']),
        ([[2.5, 2.0]], ["[2.5, 2.0]"]),
        ([pd.NA, None, math.nan], [None, None, None]),
    ],
)
def test_each_kind_of_value_has_its_text(values: list[Any], texts: list[str | None]) -> None:
    column = Column(values)
    assert [column.text(value) for value in values] == texts


def test_short_floating_point_types_keep_their_own_digits() -> None:
    tenth = float(np.float32(0.1))
    assert Column([tenth], "float32").text(tenth) == "0.1"
    assert Column([tenth]).text(tenth) == "0.10000000149011612"


def test_a_number_of_a_class_label_is_its_name_and_minus_one_is_hidden() -> None:
    column = Column(labels=["no", "none"])
    assert [column.text(value) for value in (0, 1, -1, 2)] == ["no", "none", None, "2"]


@pytest.mark.parametrize(
    ("values", "conversions"),
    [
        (["x", 1, None, Decimal("1.0")], ["", "", "", ""]),
        ([2.0, 2.0**53 + 2, None], [WHOLE, ROUNDED, ""]),
        ([2.0, 2.5], ["", ""]),
        ([True, MIDNIGHT, datetime.time(), b"x", []], [TRUTH, DATES, DATES, BYTES, NESTED]),
    ],
)
def test_what_was_changed_is_said_and_nothing_else(values: list[Any], conversions: list[str]) -> None:
    column = Column(values)
    assert [column.conversion(value) for value in values] == conversions


def test_bytes_that_are_no_text_are_an_error() -> None:
    with pytest.raises(UnicodeDecodeError):
        Column().text(b"\xff\xfe\xfd")


def test_texts_that_look_missing_are_not() -> None:
    assert not any(map(is_missing, ("nan", "None", "", [], {}, False, 0)))
