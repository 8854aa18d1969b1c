"""Dialogs with a person at the other end, instead of a user simulator."""

from dialog_env.sessions.answer import Answer, Image
from dialog_env.sessions.partner import Partner
from dialog_env.sessions.session import Session, Sessions, say_together

__all__ = ["Answer", "Image", "Partner", "Session", "Sessions", "say_together"]
