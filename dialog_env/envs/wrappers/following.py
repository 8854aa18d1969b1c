"""Noticing that dialogs have gone on without the wrapper that remembers them."""

from __future__ import annotations

from typing import Any


class Follower:
    """Knows whether an environment is where it was last seen.

    A step or reset that is interrupted after the environment has made it, and before the wrapper has heard of it, would
    leave a hole in what the wrapper remembers. `DialogRetrieval-v0` has another object as its `state` after each step
    and reset, so that it can be told; environments in other processes are taken to be in their place.

    Args:
        env: single or vector environment of `DialogRetrieval-v0`, in wrappers or not.
    """

    def __init__(self, env: Any) -> None:
        self.env = env
        self._seen: list[Any] | None = None

    def seen(self) -> Follower:
        """One that has seen where the environment is now."""
        follower = Follower(self.env)
        follower._seen = follower._states()
        return follower

    def check(self, *, begun: bool = True) -> None:
        """RuntimeError where the environment is elsewhere, or, if it must have `begun`, was never seen."""
        seen = self._states() if self._seen is None and not begun else self._seen or []
        if not seen or any(now is not before for now, before in zip(self._states(), seen, strict=True)):
            raise RuntimeError(
                f"{self.env} has not been followed to where it is, for it was not reset through this wrapper or a step "
                "was interrupted; call reset, without a mask, first"
            )

    def _states(self) -> list[Any]:
        unwrapped = self.env.unwrapped
        each = getattr(unwrapped, "envs", None)  # of Gymnasium's SyncVectorEnv
        return [getattr(env.unwrapped, "state", None) for env in each or [unwrapped]]
