"""How settings work: each field of a frozen dataclass carries help, limits and unit; flag, form and record read it.

@dataclass(frozen=True)
class Toy(Settings):
    epochs: float = setting(1.0, "passes over the training rows", unit="epochs", minimum=0)

parser = argparse.ArgumentParser()
add_arguments(parser, Toy)                       # --epochs FLOAT
toy = resolve(Toy, {"epochs": 2}, parser.parse_args())   # a flag overrides the file, the file overrides the default
"""

import argparse
import dataclasses
import difflib
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from vqa_core.files import InputError


def setting(
    default: Any,
    help: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    quiet: bool = False,
) -> Any:
    """Declare one setting. Help and forms show `unit`; limits are inclusive.

    A `quiet` setting is left out of records while it has its default, which may then never change. It is for a setting
    that most runs have no use for: their records stay what they were before there was such a setting.
    """
    limits = {"minimum": minimum, "maximum": maximum, "choices": choices}
    return field(default=default, metadata={"help": help, "unit": unit, **limits, "quiet": quiet})


@dataclass(frozen=True)
class Settings:
    """Base of all settings. Construction checks the values, so an instance is always within its limits."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = _coerce(item, getattr(self, item.name))
            object.__setattr__(self, item.name, value)
            _check(item, value)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON-ready values; without quiet ones that have their defaults."""
        values = {item.name: (item, getattr(self, item.name)) for item in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, (item, value) in values.items()
            if not (item.metadata.get("quiet") and value == item.default)
        }


SettingsT = TypeVar("SettingsT", bound=Settings)


def flag_of(name: str) -> str:
    """`text_token_budget` -> `--text-token-budget`."""
    return "--" + name.replace("_", "-")


def base_type(item: "dataclasses.Field[Any]") -> tuple[type, bool]:
    """The plain type of a field, and whether it may be None: `int | None` -> (int, True)."""
    hint = typing.get_type_hints(_owner_of(item)).get(item.name) if isinstance(item.type, str) else item.type
    if isinstance(hint, types.UnionType):
        inner = [part for part in typing.get_args(hint) if part is not type(None)]
        return typing.get_origin(inner[0]) or inner[0], True
    return typing.get_origin(hint) or hint, False  # type: ignore[return-value]


def _owner_of(item: "dataclasses.Field[Any]") -> type:
    raise TypeError(
        f"setting {item.name!r}: annotations must be real types; drop `from __future__ import annotations`."
    )


def _coerce(item: "dataclasses.Field[Any]", value: Any) -> Any:
    """Accept JSON's forms (1 for 1.0, a list for a tuple); refuse any other value of the wrong type."""
    kind, optional = base_type(item)
    if value is None and optional:
        return None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is tuple and isinstance(value, list):
        return tuple(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise InputError(f"{flag_of(item.name)} takes {kind.__name__}, not {value!r}.")
    return value


def _check(item: "dataclasses.Field[Any]", value: Any) -> None:
    meta = item.metadata
    unit = f" {meta['unit']}" if meta.get("unit") else ""
    if value is None:
        return
    if meta.get("choices") and value not in meta["choices"]:
        near = difflib.get_close_matches(str(value), meta["choices"], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(
            f"{flag_of(item.name)} {value!r} is not known; choose from {', '.join(meta['choices'])}.{hint}"
        )
    if meta.get("minimum") is not None and value < meta["minimum"]:
        raise InputError(f"{flag_of(item.name)} is {value}, the least allowed is {meta['minimum']}{unit}.")
    if meta.get("maximum") is not None and value > meta["maximum"]:
        raise InputError(f"{flag_of(item.name)} is {value}, the most allowed is {meta['maximum']}{unit}.")


def add_arguments(parser: argparse.ArgumentParser, *kinds: type[Settings], only: Collection[str] = ()) -> None:
    """Add one flag per setting to `parser`, grouped by class; with `only`, just for the settings named there.

    The namespace holds only the flags that the user passed.
    """
    for kind in kinds:
        group = parser.add_argument_group((kind.__doc__ or kind.__name__).strip().splitlines()[0].rstrip("."))
        for item in fields(kind):
            if only and item.name not in only:
                continue
            group.add_argument(flag_of(item.name), dest=item.name, default=argparse.SUPPRESS, **_argument(item))


def _argument(item: "dataclasses.Field[Any]") -> dict[str, Any]:
    base, _ = base_type(item)
    meta = item.metadata
    notes = [f"in {meta['unit']}"] if meta.get("unit") else []
    default: Any = item.default
    if default not in (None, "", ()):
        shown = " ".join(default) if base is tuple else default
        notes.append(f"default {shown}")
    text = meta["help"] + (f" ({', '.join(notes)})" if notes else "")
    text = text.replace("%", "%%")
    if base is bool:
        return {"action": argparse.BooleanOptionalAction, "help": text}
    if meta.get("choices"):
        return {"metavar": "{" + ",".join(meta["choices"]) + "}", "help": text}
    if base is tuple:
        return {"nargs": "*", "metavar": "NAME", "help": text}
    return {"type": base, "metavar": base.__name__.upper(), "help": text}


def resolve(
    kind: type[SettingsT], from_file: Mapping[str, Any], flags: argparse.Namespace | Mapping[str, Any]
) -> SettingsT:
    """Settings from the defaults, overridden by the file's section, overridden by the flags.

    Raises InputError for an unknown key, with the closest known one.
    """
    names = [item.name for item in fields(kind)]
    for key in from_file:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(names)}."
            raise InputError(f"{kind.__name__} has no setting {key!r}.{hint}")
    passed = vars(flags) if isinstance(flags, argparse.Namespace) else flags
    values = dict(from_file) | {name: passed[name] for name in names if name in passed}
    return kind(**values)


def flags_between(base: Settings, settings: Settings) -> list[str]:
    """The flags that turn `base` into `settings`, both of one class; the inverse of `resolve`.

    Raises ValueError if a value goes back to None, which no flag can express.
    """
    flags: list[str] = []
    for item in fields(settings):
        value, flag = getattr(settings, item.name), flag_of(item.name)
        if value == getattr(base, item.name):
            continue
        if value is None:
            raise ValueError(f"{flag} has no way to say None")
        if isinstance(value, bool):
            flags.append(flag if value else flag_of(f"no_{item.name}"))
        elif isinstance(value, tuple):
            flags += [flag, *value]
        elif isinstance(value, str) and value.startswith("-"):
            flags.append(f"{flag}={value}")  # apart, it would be read as a flag
        else:
            flags += [flag, f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)]
    return flags


def differing_settings(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """`{"train.seed": (0, 1)}`: the leaves of two configs that differ; None means that one is missing."""
    old, new = dict(_leaves(a)), dict(_leaves(b))
    return {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}


def _leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """`--image-aspect 'pad', not 'square'; ...`: the settings of `theirs` that differ in `ours`; "" if none does."""
    differing = differing_settings({name: ours.get(name) for name in theirs}, theirs)
    return "; ".join(f"{flag_of(name)} {shown(our)}, not {shown(their)}" for name, (our, their) in differing.items())


def shown(value: Any) -> str:
    """A value for a message; of a long text, its beginning and its end."""
    return repr(f"{value[:30]}...{value[-30:]}" if isinstance(value, str) and len(value) > 60 else value)
