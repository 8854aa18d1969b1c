"""Data out of a pickle without unpickling it."""

from __future__ import annotations

import pickletools
from pathlib import Path
from typing import Any

HARMLESS = frozenset(
    {
        ("argparse", "Namespace"),
        ("__builtin__", "object"),
        ("builtins", "object"),
        ("copy_reg", "_reconstructor"),
        ("copyreg", "_reconstructor"),
        ("_codecs", "encode"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "scalar"),
    }
)
"""Names that training options refer to. Even these are only noted, never looked up or called."""


class Opaque:
    """Stands where a pickle would have built an object: what it would have called, with what, and the state given."""

    def __init__(self, name: tuple[str, str], arguments: object = ()) -> None:
        self.name = name
        self.arguments = arguments
        self.state: object = None

    def __repr__(self) -> str:
        return f"Opaque({'.'.join(self.name)})"


_MARK = object()
_CONSTANTS: dict[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_PUSHED = {
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "FLOAT",
    "BINFLOAT",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def read_pickled_data(path: str | Path) -> Any:
    """The numbers, strings and containers of a pickle; objects become `Opaque`.

    The pickle's instructions are read one by one by this module. Nothing is imported and nothing is called, whatever
    the file says.

    Raises:
        ValueError: a damaged file, or one that refers to anything but harmless names.
    """
    machine = _Machine()
    try:
        for code, argument, _ in pickletools.genops(Path(path).read_bytes()):
            if code.name == "STOP":
                return machine.stack.pop()
            machine.run(code.name, argument)
    except _Refused as error:
        raise ValueError(f"{path} {error}; it is not a file of plain options, do not trust it") from error
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is not a readable pickle ({error}); give an undamaged file") from error
    raise ValueError(f"{path} ends early; give an undamaged file")


class _Refused(Exception):
    pass


class _Machine:
    """The part of the pickle machine that handles data."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, code: str, argument: Any) -> None:
        if code in _PUSHED:
            self.stack.append(argument)
        elif code in _CONSTANTS:
            self.stack.append(_CONSTANTS[code])
        elif code in _TUPLES:
            count = _TUPLES[code]
            self.stack.append(tuple(self.stack.pop() for _ in range(count))[::-1])
        elif code in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[int(argument)] = self.stack[-1]
        elif code == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif code in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[int(argument)])
        elif code not in ("PROTO", "FRAME"):
            method = getattr(self, f"_{code.lower()}", None)
            if method is None:
                raise _Refused(f"has the instruction {code}, which is no data")
            method(argument)

    def _since_mark(self) -> list[Any]:
        items: list[Any] = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def _mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def _pop(self, _: Any) -> None:
        self.stack.pop()

    def _empty_list(self, _: Any) -> None:
        self.stack.append([])

    def _empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def _empty_set(self, _: Any) -> None:
        self.stack.append(set())

    def _list(self, _: Any) -> None:
        self.stack.append(self._since_mark())

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _dict(self, _: Any) -> None:
        items = self._since_mark()
        self.stack.append(dict(zip(items[::2], items[1::2], strict=True)))

    def _append(self, _: Any) -> None:
        item = self.stack.pop()
        self._container(list).append(item)

    def _appends(self, _: Any) -> None:
        items = self._since_mark()
        self._container(list).extend(items)

    def _additems(self, _: Any) -> None:
        items = self._since_mark()
        self._container(set).update(items)

    def _setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._container(dict)[key] = value

    def _setitems(self, _: Any) -> None:
        items = self._since_mark()
        self._container(dict).update(zip(items[::2], items[1::2], strict=True))

    def _container(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise _Refused(f"fills {self.stack[-1]!r} as if it were a {kind.__name__}")
        return self.stack[-1]

    def _global(self, argument: Any) -> None:
        module, _, name = argument.partition(" ")
        self._refer(module, name)

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._refer(module, name)

    def _refer(self, module: str, name: str) -> None:
        if (module, name) not in HARMLESS:
            raise _Refused(f"refers to {module}.{name}")
        self.stack.append(Opaque((module, name)))

    def _reduce(self, _: Any) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        if not isinstance(called, Opaque):
            raise _Refused(f"calls {called!r}")
        self.stack.append(Opaque(called.name, arguments))

    _newobj = _reduce

    def _build(self, _: Any) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], Opaque):
            raise _Refused(f"gives a state to {self.stack[-1]!r}")
        self.stack[-1].state = state
