"""Parts: a tab's components by name. A handler draws a value for each name, never a list by position.

parts = Parts(view=view_of("runs"))
parts.add("table", facts("runs-table", ...))                     # where it stands in the page
page.wire(timer.tick, tick, parts.only("view"), parts.only("table"))

def tick(values): return {"table": {"rows": ...}}                # a wrong name, or a missing one, is an error
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr

Drawn = dict[str, Any]  # what a handler draws: a value by the name of each part


class Parts(Mapping[str, Any]):
    """Components by name, in the order in which they were added. No two share a name."""

    def __init__(self, **components: Any) -> None:
        self._components = dict(components)

    def __getitem__(self, name: str) -> Any:
        return self._components[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._components)

    def __len__(self) -> int:
        return len(self._components)

    def __or__(self, other: "Parts") -> "Parts":
        joined = Parts(**self)
        for name, component in other.items():
            joined.add(name, component)
        return joined

    def add(self, name: str, component: Any) -> Any:
        """Keep a component under its name, and return it; a ValueError where the name is taken."""
        if name in self._components:
            raise ValueError(f"two parts are called {name!r}")
        self._components[name] = component
        return component

    def only(self, *names: str) -> "Parts":
        """These parts; a KeyError for a name that none has."""
        return Parts(**{name: self[name] for name in names})

    def without(self, *names: str) -> "Parts":
        """All parts but these; a KeyError for a name that none has."""
        return self.only(*(name for name in self if name not in self.only(*names)))

    def unchanged(self) -> Drawn:
        """A value for each part that leaves it as it is: `parts.unchanged() | {"table": ...}` draws the table alone."""
        return dict.fromkeys(self, gr.skip())

    def checked(self, drawn: Drawn) -> Drawn:
        """`drawn`, if it has a value for every part and no other; else a ValueError that names the wrong ones."""
        unknown, missing = drawn.keys() - self.keys(), self.keys() - drawn.keys()
        if unknown or missing:
            raise ValueError(f"drawn, but no part of the event: {sorted(unknown)}; not drawn: {sorted(missing)}")
        return drawn

    def by_component(self, drawn: Drawn) -> dict[Any, Any]:
        """What a handler drew, in the form that Gradio takes. Raises ValueError where a name is wrong or missing."""
        return {self[name]: value for name, value in self.checked(drawn).items()}

    def by_name(self, values: Mapping[Any, Any]) -> Drawn:
        """The values that Gradio gives by component, by name."""
        return {name: values[component] for name, component in self.items()}

    def script(self, js: str) -> str:
        """A JavaScript function that returns `{name: value}`, as Gradio runs it: its result becomes a list.

        A part that it leaves out, or whose value is undefined, stays as it is; a wrong name is an error.
        """
        return f"""(...inputs) => {{
  const names = {json.dumps(list(self))};
  const drawn = ({js})(...inputs);
  const unknown = Object.keys(drawn).filter((name) => !names.includes(name));
  if (unknown.length) throw new Error(`drawn, but no part of the event: ${{unknown}}`);
  return names.map((name) => drawn[name]);
}}"""
