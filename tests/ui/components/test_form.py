"""The form: a setting is declared once, shown in both languages, and comes back as the same value."""

import argparse
from dataclasses import dataclass, fields
from typing import Any

import gradio as gr
import pytest

from ui.components.form import Form, info_of, label_of
from ui.components.words import LANGUAGES, Words, catalogue
from vqa_core.config import SECTIONS
from vqa_core.files import InputError
from vqa_core.settings import Settings, add_arguments, flags_between, resolve, setting

EN, KO = Words("en"), Words("ko")
ALL = [(section, item) for section, kind in SECTIONS.items() for item in fields(kind)]


@dataclass(frozen=True)
class Toy(Settings):
    """Toy: a setting of every kind."""

    epochs: float = setting(1.0, "passes", unit="epochs", minimum=0, maximum=10)
    batch_size: int = setting(8, "rows at once", minimum=1)
    kind: str = setting("linear", "which", choices=("linear", "pooled"))
    layers: tuple[str, ...] = setting((), "names of layers")
    cheap: bool = setting(False, "spare memory")
    limit: int | None = setting(None, "most rows", minimum=1)
    note: str = setting("", "a text")


TOY = Toy(epochs=0.5, batch_size=3, kind="pooled", layers=("q_proj", "v_proj"), cheap=True, limit=7, note=" -x ")


@pytest.fixture
def form(monkeypatch: pytest.MonkeyPatch) -> Form:
    texts = {f"settings.toy.{item.name}": {"en": item.name, "ko": item.name} for item in fields(Toy)}
    texts |= {f"{key}.help": value for key, value in texts.items()}
    known = dict(catalogue()) | texts
    monkeypatch.setattr("ui.components.words.catalogue", lambda: known)
    with gr.Blocks(analytics_enabled=False):
        form = Form(EN, "toy", {"toy": Toy}, {"note": ("a", "b")})
        form.draw("toy", "kind", "limit")
        form.draw("toy")
    return form


def values(form: Form, **changes: Any) -> dict[str, Any]:
    """What the components send when the form shows the defaults but for the changes."""
    return form.show({"toy": Toy()}) | {f"toy.{name}": value for name, value in changes.items()}


def test_every_field_becomes_one_component_of_its_kind(form: Form) -> None:
    kinds = {component.elem_id: type(component) for component in form.parts.values()}
    assert all(component.elem_id == name.replace(".", "-").replace("_", "-") for name, component in form.parts.items())
    assert kinds == {
        "toy-kind": gr.Dropdown, "toy-limit": gr.Number, "toy-epochs": gr.Number, "toy-batch-size": gr.Number,
        "toy-layers": gr.Textbox, "toy-cheap": gr.Checkbox, "toy-note": gr.Dropdown,
    }  # fmt: skip


@pytest.mark.parametrize("toy", [Toy(), TOY], ids=["defaults", "changed"])
def test_settings_come_back_from_the_form_as_they_went_in(form: Form, toy: Toy) -> None:
    back = form.read(form.show({"toy": toy}))["toy"]
    assert back == toy
    assert [type(getattr(back, item.name)) for item in fields(Toy)] == [
        type(getattr(toy, item.name)) for item in fields(Toy)
    ]


def test_every_real_section_comes_back_from_its_form() -> None:
    with gr.Blocks(analytics_enabled=False):
        form = Form(KO, "real", SECTIONS)
        for section in SECTIONS:
            form.draw(section)
    defaults = {section: kind() for section, kind in SECTIONS.items()}
    assert not [box for box in form.parts.values() if "trust" in str(box.elem_id)], "a page lets no stranger's code run"
    assert form.read(form.show(defaults)) == defaults


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"epochs": -1}, "“epochs” is -1.0; it must be at least 0."),
        ({"epochs": 10.5}, "“epochs” is 10.5; it must be at most 10."),
        ({"batch_size": 1.5}, "“batch_size” must be a whole number, not 1.5."),
        ({"batch_size": None}, "“batch_size” is empty. Enter a value."),
        ({"batch_size": "many"}, "“batch_size” must be a whole number, not 'many'."),
        ({"batch_size": True}, "“batch_size” must be a whole number, not True."),
        ({"epochs": float("nan")}, "“epochs” must be a number, not nan."),
        ({"kind": "poled"}, "“kind” can't be 'poled'; choose from linear, pooled."),
        ({"limit": 0}, "“limit” is 0; it must be at least 1."),
    ],
)
def test_a_value_outside_the_limits_is_named_with_its_field(form: Form, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as error:
        form.read(values(form, **changes))
    assert str(error.value) == says


def test_whole_numbers_may_come_as_floats_and_nothing_else_changes(form: Form) -> None:
    back = form.read(values(form, batch_size=4.0, epochs=2, layers="q_proj, v_proj", note="001"))["toy"]
    assert back == Toy(batch_size=4, epochs=2.0, layers=("q_proj", "v_proj"), note="001")


@pytest.mark.parametrize(("section", "item"), ALL, ids=lambda part: part if isinstance(part, str) else part.name)
def test_a_field_has_a_label_and_help_in_both_languages_and_its_help_is_the_declared_one(
    section: str, item: Any
) -> None:
    for language in LANGUAGES:
        t = Words(language)
        assert label_of(t, section, item).strip()
        assert info_of(t, section, item).strip()
    assert EN(f"settings.{section}.{item.name}.help") == item.metadata["help"]
    for key in (f"settings.{section}.{item.name}", f"settings.{section}.{item.name}.help"):
        assert any("가" <= character <= "힣" for character in KO(key)), key


def test_no_text_is_left_of_a_field_that_is_gone() -> None:
    known = {f"settings.{section}.{item.name}" for section, item in ALL}
    texts = {key.removesuffix(".help") for key in catalogue() if key.startswith("settings.")}
    assert {key for key in texts if key.split(".")[1] in SECTIONS} == known


@pytest.mark.parametrize(
    ("base", "settings"),
    [
        (Toy(), TOY),
        (TOY, Toy(limit=9)),
        (Toy(), Toy(note="-1 or --x")),
        (Toy(), Toy(epochs=1e-7)),
        (Toy(), Toy(epochs=0.1 + 0.2)),
        (Toy(note="a"), Toy(note="")),
    ],
)
def test_flags_make_one_setting_of_another_and_name_only_what_differs(base: Toy, settings: Toy) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser, Toy)
    flags = flags_between(base, settings)
    assert resolve(Toy, base.to_dict(), parser.parse_args(flags)) == settings
    differing = [item for item in fields(Toy) if getattr(base, item.name) != getattr(settings, item.name)]
    assert sum(flag.startswith("--") for flag in flags) == len(differing)


def test_no_flag_says_none() -> None:
    with pytest.raises(ValueError, match="--limit"):
        flags_between(Toy(limit=2), Toy())
