"""The calls that need real time: they are placed together and looked at when they are over."""

from __future__ import annotations

from doubles.faxes import Picture, is_installed
from outdial.testing.web import Answer
from system.sipp.fax_machine import FaxMachine
from system.sipp.stage import HANG_UP, Call, Phone, Scene

RING_S = 41
REFRESHED_S = 47
"""A session of 90 s is refreshed after 45 (RFC 4028 section 10)."""


FAXED = "/faxed"
QUIET = {"Connection": "close"}
_T38 = """Content-Type: application/sdp
Content-Length: [len]

v=0
o=phone 1 2 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=image 40000 udptl t38
a=T38FaxVersion:0
a=T38MaxBitRate:14400
a=T38FaxRateManagement:transferredTCF"""


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
        self.faxed = self._fax() if is_installed() else None
        self.forgotten = self._place("not-refreshed", _pause(120))

    def _place(self, name: str, document: str, ring_ms: str = "") -> tuple[Phone, Call]:
        phone = self._scene.phone(name, timeout_s=120, ring_ms=ring_ms)
        phone.ear.babble()
        return phone, self._scene.call(phone, document)

    def _fax(self) -> tuple[Phone, Call, FaxMachine]:
        """A fax of two pages, whose sender would rather have spoken T.38."""
        line = self._scene.stage.line()
        pictures = [Picture.drawn(160, 1), Picture.drawn(60, 2)]
        machine = self._scene.keep(FaxMachine(line.hosts[0], pictures))
        phone = self._scene.phone(
            "reinvites-in-vain",
            line,
            timeout_s=120,
            keys={"ear": str(machine.port)},
            vain=_T38,
        )
        web = self._scene.web
        action = Answer(body=b"<Response/>", content_type="text/xml", headers=QUIET)
        web.script(FAXED, action)
        call = self._scene.call(phone, f'<Response><Fax action="{FAXED}"/></Response>')
        return phone, call, machine


def _pause(seconds: int) -> str:
    return f'<Response><Pause length="{seconds}"/></Response>'
