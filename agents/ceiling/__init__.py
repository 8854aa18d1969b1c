"""What can be reached by who knows the user: the exact belief over the gallery, and the question that tells most."""

from __future__ import annotations

from dialog_env.agents.ceiling.agent import Ceiling, CeilingSettings

__all__ = ["Ceiling", "CeilingSettings"]
