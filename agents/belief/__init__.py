"""The agent `belief`: what each sentence tells of every image, added up over the dialog."""

from __future__ import annotations

from dialog_env.agents.belief.agent import Belief, BeliefSettings

__all__ = ["Belief", "BeliefSettings"]
