"""The digest challenge, answered by our own client side."""

from __future__ import annotations

import pytest

from outdial.sim.gate import DigestGate
from outdial.sim.steps import Challenge
from outdial.sip.core import digest
from outdial.testing.clock import FakeClock
from outdial.testing.legs import FakeIncomingLeg

NUMBER = "15005550013"
WANTED = Challenge("sim", "secret")


def challenged(gate: DigestGate) -> list[str]:
    leg = FakeIncomingLeg(NUMBER)
    assert not gate.admits(leg, WANTED)
    status, *headers = leg.sent[0]
    assert status == 407
    assert [name for name, _ in headers] == ["Proxy-Authenticate", "Proxy-Authenticate"]
    return [value for _, value in headers]


def credentials(
    challenge: str, username: str = "sim", password: str = "secret", number: str = NUMBER
) -> FakeIncomingLeg:
    value = digest.answer(
        digest.Challenge.parse(challenge),
        username,
        password,
        "INVITE",
        f"sip:{number}@carrier.example",
        b"",
        1,
        "c0ffee",
    )
    return FakeIncomingLeg(NUMBER, headers={"Proxy-Authorization": value})


@pytest.mark.parametrize("algorithm", [0, 1])
def test_the_right_credentials_are_admitted_by_either_algorithm(algorithm: int) -> None:
    gate = DigestGate(FakeClock())
    leg = credentials(challenged(gate)[algorithm])
    assert gate.admits(leg, WANTED)
    assert leg.sent == []


@pytest.mark.parametrize(
    ("username", "password", "number"),
    [("sim", "wrong", NUMBER), ("other", "secret", NUMBER), ("sim", "secret", "15005550001")],
)
def test_wrong_credentials_are_challenged_again(username: str, password: str, number: str) -> None:
    gate = DigestGate(FakeClock())
    leg = credentials(challenged(gate)[0], username, password, number)
    assert not gate.admits(leg, WANTED)
    assert leg.statuses == [407]


def test_an_old_nonce_is_challenged_again_as_stale() -> None:
    clock = FakeClock()
    gate = DigestGate(clock)
    challenge = challenged(gate)[0]
    clock.tick(120)
    leg = credentials(challenge)
    assert not gate.admits(leg, WANTED)
    assert digest.Challenge.parse(leg.sent[0][1][1]).stale


@pytest.mark.parametrize("value", ["", "Basic c2ltOnNpbQ==", 'Digest uri="', 'Digest x, uri="%%"'])
def test_rubbish_is_challenged_again(value: str) -> None:
    leg = FakeIncomingLeg(NUMBER, headers={"Proxy-Authorization": value})
    assert not DigestGate(FakeClock()).admits(leg, WANTED)
    assert leg.statuses == [407]
