"""Help in a fraction of a second: what takes seconds to load computes, and help computes nothing.

Modules take classes from PyTorch to derive their own from, to name in annotations and to decorate functions with. While
help is asked for, they get stand-ins, which can be all of that and do nothing.
"""

from __future__ import annotations

import os
import sys
from abc import ABCMeta
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

SLOW = ("torch", "stable_baselines3", "safetensors", "h5py")
"""Packages that help does without."""
SWITCH = "DIALOG_RETRIEVAL_STAND_INS"
"""Environment variable: `no` lets help load everything."""


def install() -> bool:
    """Lets imports of slow packages give stand-ins from now on in this process; False where it must not."""
    if os.environ.get(SWITCH) == "no" or any(package in sys.modules for package in SLOW):
        return False
    sys.meta_path.insert(0, _Finder())
    return True


def begin_anew() -> NoReturn:
    """Starts this process again, as it was started, without stand-ins."""
    sys.stdout.flush()
    os.environ[SWITCH] = "no"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


class StandIn(ABCMeta):
    """The class of stand-ins; what is derived from them is a class like any other."""

    def __getattr__(cls, name: str) -> Any:
        return _stand_in(name) if _is_stand_in(cls) and not name.startswith("__") else _missing(cls, name)

    def __getitem__(cls, kind: Any) -> Any:
        return cls

    def __iter__(cls) -> Any:
        return iter(())

    def __call__(cls, *given: Any, **keywords: Any) -> Any:  # noqa: D102
        return _nothing if _is_stand_in(cls) else super().__call__(*given, **keywords)


def _is_stand_in(kind: type) -> bool:
    return "stands_in" in vars(kind)


def _stand_in(name: str) -> StandIn:
    return StandIn(name, (), {"stands_in": True, "__init_subclass__": classmethod(lambda cls, **keywords: None)})


def _missing(owner: Any, name: str) -> Any:
    raise AttributeError(f"{owner.__name__!r} has no {name!r}")


def _nothing(function: Any = None, *given: Any, **keywords: Any) -> Any:
    """A decorator that leaves a function as it is."""
    return function


class _Module(ModuleType):
    __version__ = ""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            return _missing(self, name)
        made = _stand_in(name)
        setattr(self, name, made)
        return made


class _Finder:
    """Finds stand-ins for slow packages and all that is in them."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        """A module of a slow package; None for any other."""
        if name.split(".")[0] not in SLOW:
            return None
        return ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """An empty one."""
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to execute."""
