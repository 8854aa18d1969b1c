"""Parts by name: what each kind of part is called, where one is found, and what it has to have.

A part is a simulator, an agent, a network, a source of catalogues, an observation, an action, a reward or a metric.
Wherever one is named, on the command line or in Python, these will do:

    name                    one that is registered, here or by an installed package
    module:Class            anybody's own, from a file that Python can import; module.Class is understood as well
    name@configuration      an agent with the settings of a configuration
    name:key=value,…        with settings; `name:argument` where a part takes one, such as `captioner:FOLDER`

and in Python the class or object itself. An installed package registers its parts by entry points of the group
`dialog_retrieval.<kind>`, such as `dialog_retrieval.simulators`.
"""

from __future__ import annotations

import inspect
import json
import re
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

PLACE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
"""`module:Class`."""

AFTER = re.compile(r"(@(?P<configuration>[^:@]+))?(:(?P<rest>.+))?", re.DOTALL)
"""What may follow a name."""

SETTING = re.compile(r"\s*([A-Za-z_]\w*)\s*=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Spec:
    """A part with its settings, as it is written.

    Args:
        text: all of it.
        name: registered, or `module:Class`.
        configuration: what follows the @, "" for none.
        argument: what follows the colon and is no setting, "" for none.
        settings: name to value; values are read as JSON where they can be, else as text.
    """

    text: str
    name: str
    configuration: str = ""
    argument: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


class Parts(Mapping[str, Any]):
    """The parts of one kind that are known by name, imported when they are asked for.

    Args:
        what: one of them is called, such as "user simulator".
        kind: in the plural and in one word, such as "simulators": the end of the name of the entry points' group.
        known: name to `module:Class`, or to the part itself.
        required: attributes that a part has to have, its class as well as an object.
    """

    def __init__(self, what: str, kind: str, known: Mapping[str, Any], required: tuple[str, ...] = ()) -> None:
        self.what, self.kind, self.required = what, kind, required
        self._known = dict(known)

    def __iter__(self) -> Iterator[str]:
        return iter({**self._known, **self._offered()})

    def __len__(self) -> int:
        return len({**self._known, **self._offered()})

    def __contains__(self, name: object) -> bool:
        return name in self._known or name in self._offered()

    def __getitem__(self, name: str) -> Any:
        """The part of a registered name; KeyError for another."""
        known = self._known[name] if name in self._known else self._offered()[name]
        return self._imported(known, name) if isinstance(known, str) else known

    def register(self, name: str, part: Any) -> None:
        """Makes `find(name)` give a part, or the one at `module:Class`; ValueError for a name that is taken."""
        if self._known.get(name, part) != part:
            raise ValueError(f"{self.what} {name!r} is already {self._known[name]}; choose another name")
        if not isinstance(part, str):
            self.check(part, name)
        self._known[name] = part

    def find(self, part: Any) -> Any:
        """The part that is meant.

        Args:
            part: a registered name, `module:Class`, or the part itself.

        Raises:
            ValueError: an unknown name, a module or class that is not there, or something that lacks what it needs.
        """
        if not isinstance(part, str):
            return self.check(part, getattr(part, "__name__", type(part).__name__))
        if part in self:
            return self.check(self[part], part)
        if ":" not in part and "." in part:
            part = ":".join(part.rsplit(".", 1))
        if not PLACE.fullmatch(part):
            known = ", ".join(sorted(self))
            raise ValueError(f"no {self.what} {_told(part)}; known are {known}, and module:Class for your own")
        return self.check(self._imported(part, part), part)

    def make(self, part: Any, *given: Any) -> Any:
        """An object of the part that is meant: a class is called, with the settings that are written; else it is one.

        Args:
            part: as for `find`, a name with settings if need be.
            *given: what its class is called with.

        Raises:
            ValueError: as for `find`; settings that the class does not take, or for what is no class.
        """
        spec = self.parse(part) if isinstance(part, str) else Spec("", "")
        found = self.find(spec.name or part)
        if spec.argument or spec.configuration or (spec.settings and not isinstance(found, type)):
            raise ValueError(f"{self.what} {_told(part)} is not understood; write name or name:key=value,…")
        if not isinstance(found, type):
            return found
        try:
            inspect.signature(found).bind(*given, **spec.settings)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{self.what} {spec.name or found.__name__!r} cannot be made ({error}); give the settings that it takes"
            ) from error
        return found(*given, **spec.settings)

    def parse(self, text: str) -> Spec:
        """A part and its settings from `name[@configuration][:argument][,key=value…]`.

        Raises:
            ValueError: a text of another form, or one that begins with no name that is known and no `module:Class`.
        """
        name = re.split("[@:]", text, maxsplit=1)[0]
        place = PLACE.match(text)
        if name not in self and place is not None:
            name = place[0]
        after = AFTER.fullmatch(text[len(name) :])
        pieces = _pieces((after and after["rest"]) or "")
        pairs = [SETTING.fullmatch(piece) for piece in pieces]
        first = next((number for number, pair in enumerate(pairs) if pair is not None), len(pairs))
        if not name or after is None or None in pairs[first:]:
            raise ValueError(
                f"{self.what} {_told(text)} is not understood; write name, name@configuration or name:key=value,…"
            )
        keys = [pair[1] for pair in pairs if pair is not None]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise ValueError(
                f"{self.what} {_told(text)} sets {twice} twice; if one is of a part within it, put that part in "
                f'quotes: {twice}="name:key=value,…"'
            )
        argument = ",".join(pieces[:first]).strip()
        settings = {pair[1]: _value(pair[2]) for pair in pairs if pair is not None}
        return Spec(text, name, after["configuration"] or "", argument, settings)

    def check(self, part: Any, name: str) -> Any:
        """The part; ValueError, naming them, where it lacks attributes."""
        missing = [attribute for attribute in self.required if not hasattr(part, attribute)]
        if missing:
            raise ValueError(
                f"{_told(name)} is no {self.what}: it has no {' and no '.join(missing)}; give it what is missing"
            )
        return part

    def name_of(self, part: type[Any]) -> str:
        """The name by which a class is registered, else its `module:Class`."""
        place = f"{part.__module__}:{part.__qualname__}"
        known = {**self._known, **self._offered()}
        return next((name for name, each in known.items() if each is part or each == place), place)

    def _imported(self, place: str, name: str) -> Any:
        module, _, attribute = place.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f"no {self.what} {_told(name)} ({_told_error(error)}); give module:Class of a file that is there"
            ) from error

    def _offered(self) -> dict[str, str]:
        """Names that installed packages offer."""
        return {entry.name: entry.value for entry in entry_points(group=f"dialog_retrieval.{self.kind}")}


def _pieces(text: str) -> list[str]:
    """The parts between commas that stand in no brackets and no quotes."""
    pieces, depth, quoted = [""], 0, False
    for letter in text:
        quoted ^= letter == '"'
        depth += 0 if quoted else (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth and not quoted:
            pieces.append("")
        else:
            pieces[-1] += letter
    return [piece for piece in pieces if piece.strip()]


def _told(value: Any) -> str:
    """A value as a message tells it: short, and in one line."""
    return " ".join(reprlib.repr(value).split())


def _told_error(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
