"""Where requests that come at the same time become one batch for the agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from dialog_env.sessions.answer import Answer
from dialog_env.sessions.partner import MOST_AT_ONCE
from dialog_env.sessions.session import Session, say_together

T = TypeVar("T")


@dataclass(frozen=True)
class Waiting:
    """A sentence that was not heard yet."""

    session: Session
    sentence: str
    answer: asyncio.Future[Answer]


class Desk:
    """Lets one agent hear many people: what is said while it listens to others is heard together afterwards.

    The agent, and the simulator beside it, work in one thread, one batch at a time.
    """

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []
        self._worker: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="agent")

    async def run(self, work: Callable[..., T], *given: Any) -> T:
        """What a function gives that needs the agent or the simulator."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *given)

    async def say(self, session: Session, sentence: str) -> Answer:
        """The answer to a sentence; errors as of `Session.say`."""
        waiting = Waiting(session, sentence, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await waiting.answer

    async def _work(self) -> None:
        while self._waiting:
            batch: dict[int, Waiting] = {}
            later = []
            for each in self._waiting:
                room = id(each.session) not in batch and len(batch) < MOST_AT_ONCE
                batch.setdefault(id(each.session), each) if room else later.append(each)
            self._waiting = later
            answers = await self.run(_heard, list(batch.values()))
            for each, answer in zip(batch.values(), answers, strict=True):
                if each.answer.done():  # who asked has gone
                    continue
                if isinstance(answer, Answer):
                    each.answer.set_result(answer)
                else:
                    each.answer.set_exception(answer)


def _heard(batch: list[Waiting]) -> list[Answer | Exception]:
    """Answers, or what went wrong for those for whom it did."""
    try:
        return list(say_together([each.session for each in batch], [each.sentence for each in batch]))
    except Exception as error:
        if len(batch) == 1:
            return [error]
    return [_heard([each])[0] for each in batch]
