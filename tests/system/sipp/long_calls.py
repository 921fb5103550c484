"""The calls that need real time: they are placed together and looked at when they are over."""

from __future__ import annotations

from system.sipp.stage import HANG_UP, Call, Phone, Scene

RING_S = 41
REFRESHED_S = 47
"""A session of 90 s is refreshed after 45 (RFC 4028 section 10)."""


class LongCalls:
    """What each of them is, tells its test."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        silent = scene.phone("answer")
        self.silent = silent, scene.call(silent, _pause(30))
        self.talking = self._place("answer", _pause(4))
        self.slow = self._place("slow-ring", HANG_UP, ring_ms=str(RING_S * 1000))
        self.updated = self._place("refreshed-by-update", _pause(REFRESHED_S))
        self.reinvited = self._place("refreshed-by-reinvite", _pause(REFRESHED_S))
        self.forgotten = self._place("not-refreshed", _pause(120))

    def _place(self, name: str, document: str, ring_ms: str = "") -> tuple[Phone, Call]:
        phone = self._scene.phone(name, timeout_s=120, ring_ms=ring_ms)
        phone.ear.babble()
        return phone, self._scene.call(phone, document)


def _pause(seconds: int) -> str:
    return f'<Response><Pause length="{seconds}"/></Response>'
