"""Help in a fraction of a second: what takes seconds to load computes, and help computes nothing.

Modules take classes from PyTorch and others to derive their own from, to name in annotations and to decorate functions
with. While help is asked for, they get stand-ins, which can be all of that and do nothing.
"""

from __future__ import annotations

import os
import sys
from abc import ABCMeta
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

SLOW = ("torch", "stable_baselines3", "safetensors", "h5py", "PIL", "pydantic", "tqdm", "unittest")
"""Packages that help does without; `unittest` is asked for by typeguard, and asks for asyncio."""
SWITCH = "DIALOG_RETRIEVAL_STAND_INS"
"""Environment variable: `no` lets help load everything."""


def install(needed: str = "") -> bool:
    """Lets imports of slow packages but one give stand-ins from now on in this process; False where it must not."""
    replaced = tuple(package for package in SLOW if package != needed)
    if os.environ.get(SWITCH) == "no" or any(package in sys.modules for package in replaced):
        return False
    sys.meta_path.insert(0, _Finder(replaced))
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
    """Finds stand-ins for packages and all that is in them."""

    def __init__(self, packages: tuple[str, ...]) -> None:
        self.packages = packages

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        """A module of one of these packages; None for any other."""
        if name.split(".")[0] not in self.packages:
            return None
        return ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """An empty one."""
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to execute."""
