"""What is kept for those who come by the network: so much, so long, and so often asked as is allowed."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


class FullError(Exception):
    """As many are kept as may be."""


class BusyError(Exception):
    """Somebody asks more often than is allowed."""


@dataclass(frozen=True)
class Limits:
    """How much is allowed.

    Args:
        sessions: kept at once.
        idle: seconds after which a session that nobody asked for is forgotten.
        rate: requests a second for a session, over a longer time.
        burst: requests of a session at once.
        new: sessions a second that may begin, over a longer time; as many as fit may begin at once.
    """

    sessions: int = 2_000
    idle: float = 3_600.0
    rate: float = 10.0
    burst: int = 60
    new: float = 50.0


@dataclass
class Bucket:
    """Fills at a rate, and is emptied by one a request: a token bucket."""

    rate: float
    size: float
    level: float = field(init=False)
    filled: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.level = self.size

    def take(self, now: float) -> bool:
        """Whether there was one left."""
        self.level = min(self.size, self.level + (now - self.filled) * self.rate)
        self.filled = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


class Store(Generic[T]):
    """Things by a key that nobody can guess.

    Args:
        limits: of their number, their age and their use.
        clock: gives seconds.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits, self._clock = limits, clock
        self._kept: OrderedDict[str, tuple[T, Bucket, float]] = OrderedDict()  # the one used longest ago comes first
        self._begun = Bucket(limits.new, limits.sessions)

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, thing: Callable[[], T]) -> tuple[str, T]:
        """A new one, made by a function, under a new key.

        Raises:
            FullError: there is no room, or too many have begun of late.
        """
        now = self._clock()
        self._forget(now)
        if len(self._kept) >= self.limits.sessions or not self._begun.take(now):
            raise FullError
        key, made = secrets.token_urlsafe(18), thing()
        self._kept[key] = made, Bucket(self.limits.rate, self.limits.burst), now
        return key, made

    def get(self, key: str) -> T | None:
        """The one of a key, which stays for longer now; None where there is none, or was.

        Raises:
            BusyError: it is asked for too often.
        """
        now = self._clock()
        self._forget(now)
        if key not in self._kept:
            return None
        thing, bucket, _ = self._kept.pop(key)
        self._kept[key] = thing, bucket, now
        if not bucket.take(now):
            raise BusyError
        return thing

    def drop(self, key: str) -> None:
        """Forgets one, if there is one."""
        self._kept.pop(key, None)

    def _forget(self, now: float) -> None:
        while self._kept:
            _, _, used = next(iter(self._kept.values()))
            if now - used < self.limits.idle:
                return
            self._kept.popitem(last=False)
