"""The mechanism of settings: one declaration gives flag, help, limits and record."""

import argparse
from dataclasses import dataclass

import pytest

from vqa_core.files import InputError
from vqa_core.settings import Settings, add_arguments, resolve, setting


@dataclass(frozen=True)
class Toy(Settings):
    """Toy: a setting of every kind."""

    epochs: float = setting(1.0, "passes over 100 % of the rows", unit="epochs", minimum=0, maximum=10)
    batch_size: int = setting(8, "rows at once", minimum=1)
    kind: str = setting("linear", "which", choices=("linear", "pooled"))
    layers: tuple[str, ...] = setting((), "names of layers")
    cheap: bool = setting(False, "spare memory")
    limit: int | None = setting(None, "most rows", minimum=1)


def parse(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="toy")
    add_arguments(parser, Toy)
    return parser.parse_args(argv)


def test_a_flag_wins_over_the_file_and_the_file_over_the_default() -> None:
    toy = resolve(Toy, {"epochs": 2, "batch_size": 4}, parse("--epochs", "3"))
    assert (toy.epochs, toy.batch_size, toy.kind) == (3.0, 4, "linear")


def test_flags_that_are_not_given_leave_no_trace() -> None:
    assert vars(parse()) == {}


def test_every_kind_of_value_comes_from_its_flag() -> None:
    given = parse("--kind", "pooled", "--layers", "q", "v", "--cheap", "--limit", "5", "--epochs", "1e-1")
    assert resolve(Toy, {}, given) == Toy(kind="pooled", layers=("q", "v"), cheap=True, limit=5, epochs=0.1)
    assert resolve(Toy, {"cheap": True}, parse("--no-cheap")).cheap is False


def test_settings_come_back_from_their_record() -> None:
    toy = Toy(layers=("q",), limit=3, epochs=0.5)
    assert resolve(Toy, toy.to_dict(), {}) == toy


def test_a_quiet_setting_is_recorded_only_where_it_differs() -> None:
    @dataclass(frozen=True)
    class Later(Toy):
        orders: int = setting(1, "orders", quiet=True)

    assert Later(kind="pooled").to_dict() == Toy(kind="pooled").to_dict()
    assert Later(orders=4).to_dict() == Toy().to_dict() | {"orders": 4}
    assert resolve(Later, Later(orders=4).to_dict(), {}) == Later(orders=4)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"epochs": -1}, "--epochs is -1.0, the least allowed is 0 epochs"),
        ({"epochs": 11}, "--epochs is 11.0, the most allowed is 10 epochs"),
        ({"batch_size": "8"}, "--batch-size takes int, not '8'"),
        ({"batch_size": 1.5}, "--batch-size takes int, not 1.5"),
        ({"batch_size": True}, "--batch-size takes int, not True"),
        ({"batch_size": None}, "--batch-size takes int, not None"),
        ({"cheap": 1}, "--cheap takes bool, not 1"),
        ({"kind": "poled"}, "--kind 'poled' is not known; choose from linear, pooled. Did you mean 'pooled'?"),
        ({"batchsize": 1}, "Toy has no setting 'batchsize'. Did you mean 'batch_size'?"),
        ({"zzz": 1}, "Toy has no setting 'zzz'. Known: epochs, batch_size,"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_right(values: dict[str, object], says: str) -> None:
    with pytest.raises(InputError) as error:
        resolve(Toy, values, {})
    assert says in str(error.value)


def test_help_shows_unit_default_and_choices(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "--epochs FLOAT passes over 100 % of the rows (in epochs, default 1.0)" in text
    assert "--kind {linear,pooled} which (default linear)" in text
    assert "--cheap, --no-cheap" in text


def test_only_the_settings_named_become_flags() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser, Toy, only={"limit"})
    assert vars(parser.parse_args(["--limit", "2"])) == {"limit": 2}
    with pytest.raises(SystemExit):
        parser.parse_args(["--epochs", "1"])


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Toy().epochs = 2.0  # type: ignore[misc]


def test_annotations_as_text_are_refused_where_they_are_declared() -> None:
    wrong = dataclass(frozen=True)(type("Wrong", (Settings,), {"__annotations__": {"a": "int"}, "a": setting(1, "a")}))
    with pytest.raises(TypeError, match="drop `from __future__ import annotations`"):
        wrong()
