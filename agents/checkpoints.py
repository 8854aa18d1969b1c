"""Checkpoints of agents are files of tensors with facts, as all that is trained here."""

from __future__ import annotations

from dialog_env.checkpoints import FORMAT, REMEDY, VERSION, Saved, fingerprint, read, write

__all__ = ["FORMAT", "REMEDY", "VERSION", "Saved", "fingerprint", "read", "write"]
