"""TLS that is altered on its way, in the handshake and behind it: heard right, or refused."""

from __future__ import annotations

import random
from pathlib import Path

from doubles.certificates import Authority
from hostile.corpus import Mutator
from outdial.tls.contexts import ClientSecurity, ServerSecurity
from outdial.tls.layer import TlsLayer
from outdial.tls.trouble import TlsFailed

NAME = "sip.example.com"
SAID = b"INVITE sip:1@example.com SIP/2.0\r\n" * 20
COUNT = 150


def test_what_is_altered_on_its_way_is_never_heard(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    made = authority.make()
    here = ClientSecurity("trunks.t", NAME, ca=authority.path)
    there = ServerSecurity("sip", str(made.path), str(made.key_path), "")
    chance = random.Random(5)
    mutator = Mutator(6, [bytes(range(256)), b"\x16\x03\x03\xff\xff" * 4])
    failed = 0
    for _ in range(COUNT):
        near, far = TlsLayer(here), TlsLayer(there)
        heard, altered = b"", False
        try:
            near.begin()
            for _ in range(4):
                for one, other in ((far, near), (near, far)):
                    data = other.outgoing()
                    if data and chance.random() < 0.25:
                        changed = mutator.alter(data)
                        altered, data = altered or changed != data, changed
                    heard += one.receive(data)
                    if near.established and far.established and not heard and one is near:
                        near.send(SAID)
        except TlsFailed:
            failed += 1
            refused = True
        else:
            refused = False
        assert altered or not refused
        assert SAID.startswith(heard) or heard == SAID * (len(heard) // len(SAID))
    assert COUNT / 5 < failed < COUNT
