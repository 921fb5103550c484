"""What the hostile messages are made from, and what is done to them; the same for the same seed.

Nothing here reads Outdial: the messages are bytes, altered as bytes.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from fuzz.sip_messages import _NASTY, MessageMaker
from torture import test_sip_torture_ipv6, test_sip_torture_valid
from torture.test_sip_torture_invalid import CASES

_MADE: Final = 1_500
_MOST_BYTES: Final = 8_000
"""Larger datagrams measure the loopback, not the server."""


def corpus(seed: int) -> list[bytes]:
    """Messages of the grammar, broken ones, and every torture message."""
    maker = MessageMaker(seed)
    made = [maker.valid() for _ in range(_MADE)] + [maker.broken() for _ in range(_MADE // 3)]
    return [data[:_MOST_BYTES] for data in made + torture()]


def torture() -> list[bytes]:
    """The messages of RFC 4475 and RFC 5118, right and wrong, as their tests have them."""
    wrong = [data for data, _ in CASES.values()]
    right = _read_by(test_sip_torture_valid) + _read_by(test_sip_torture_ipv6)
    return wrong + right


def _read_by(module: ModuleType) -> list[bytes]:
    """What the tests of the module give to the parser."""
    read: list[bytes] = []
    parse: Callable[..., Any] = vars(module)["parse_message"]

    def noted(data: bytes) -> Any:
        read.append(bytes(data))
        return parse(data)

    vars(module)["parse_message"] = noted
    try:
        for name, test in sorted(vars(module).items()):
            plain = inspect.isfunction(test) and not inspect.signature(test).parameters
            if name.startswith("test_") and plain:
                test()
    finally:
        vars(module)["parse_message"] = parse
    return read


class Mutator:
    """Does to messages what networks, old phones and attackers do. Cheap: it is asked millions of
    times."""

    def __init__(self, seed: int, others: list[bytes]) -> None:
        self._random = random.Random(seed).random
        self._others = others

    def _below(self, limit: int) -> int:
        return int(self._random() * limit)

    def alter(self, data: bytes) -> bytes:
        """The message with one to three things done to it."""
        for _ in range(1 + self._below(4) // 2):
            data = self._once(data)
        return data[:_MOST_BYTES]

    def _once(self, data: bytes) -> bytes:
        at = self._below(len(data) + 1)
        kind = self._below(10)
        if kind == 0:
            return data[:at] + bytes((self._below(256),)) + data[at + 1 :]
        if kind == 1:
            return data[:at] + _NASTY[self._below(len(_NASTY))] + data[at:]
        if kind == 2:
            nasty = _NASTY[self._below(len(_NASTY))]
            return data[:at] + nasty + data[at + self._below(12) :]
        if kind == 3:
            return data[:at] + data[at + self._below(40) :]
        if kind == 4:
            return data[:at]
        if kind == 5:
            other = self._others[self._below(len(self._others))]
            return data[:at] + other[self._below(len(other) + 1) :]
        if kind == 6:
            piece = data[at : at + 1 + self._below(60)]
            return data[:at] + piece * (2, 3, 60, 150)[self._below(4)] + data[at:]
        lines = data.split(b"\r\n")
        one, other_line = self._below(len(lines)), self._below(len(lines))
        if kind == 7:
            lines[one] = lines[other_line]
        elif kind == 8:
            lines[one], lines[other_line] = lines[other_line], lines[one]
        else:
            del lines[one]
        return b"\r\n".join(lines)
