"""Fax: a fax to receive."""

from __future__ import annotations

from outdial.didml.rows import VerbRow

ROW = VerbRow("Fax", "Receives a fax.")
