"""Enumerations of words that are stored, shown and looked up with."""

from __future__ import annotations

from enum import Enum


class Word(Enum):
    """An Enum whose members are told apart, and read, without running Python code.

    `text` is what `value` is. That is a property, and a hash of Enum's is one of its name: both
    are functions of Python's library, and a call reads such a member some fifty times.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    __hash__ = object.__hash__
