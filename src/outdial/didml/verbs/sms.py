"""Sms: a text message to send."""

from __future__ import annotations

from outdial.didml.rows import VerbRow

ROW = VerbRow("Sms", "Sends a text message.")
