"""What a trunk's settings change of a leg's audio: the address shown, and whether one is learnt."""

from __future__ import annotations

from typing import Any

import pytest

from doubles.legs import ANSWER, FakeMediaLeg
from outdial import sdp
from outdial.calls.audio import Audio
from outdial.config import Trunk
from outdial.legs import Codec
from outdial.testing.legs import OFFER


def audio(**settings: Any) -> tuple[Audio, FakeMediaLeg]:
    media = FakeMediaLeg("CA1", lambda event: None, None)
    made = Audio(media, [Codec.PCMU, Codec.PCMA], 7)
    made.suit(Trunk(name="t", address="192.0.2.1", **settings))
    return made, media


def shown(description: bytes) -> set[str]:
    """Every address in it."""
    text = description.decode()
    return {line.rpartition(" ")[2] for line in text.split("\r\n") if line[:2] in ("c=", "o=")}


@pytest.mark.parametrize(
    ("setting", "address"),
    [("", "192.0.2.2"), ("192.168.1.20", "192.168.1.20"), ("192.168.1.20:5070", "192.168.1.20")],
)
def test_offers_and_answers_show_the_address_that_is_meant_for_the_trunk(
    setting: str, address: str
) -> None:
    made, _ = audio(public_address=setting)
    assert shown(made.offer()) == {address}
    assert shown(made.prepare(OFFER)) == {address}
    made.begin()
    assert shown(made.answer(OFFER)) == {address}
    assert shown(made.offer()) == {address}


def test_another_trunk_is_shown_another_one() -> None:
    made, media = audio(public_address="192.168.1.20")
    made.suit(None)
    assert shown(made.offer()) == {media.address}


@pytest.mark.parametrize("nat", [False, True])
def test_an_address_is_learnt_of_a_trunk_behind_nat(nat: bool) -> None:
    made, media = audio(nat=nat)
    made.offer()
    made.accept(ANSWER, early=True)
    made.offer()  # an offer of ours in mid-call changes nothing of that
    made.accept(ANSWER, later=True)
    early, answered = media.started
    assert (early.learn_address, early.early) == (nat, True)
    assert (answered.learn_address, answered.early) == (nat, False)


def test_so_it_is_of_calls_towards_us() -> None:
    made, media = audio(nat=True)
    made.prepare(OFFER)
    made.begin()
    assert media.started[0].learn_address
    assert not media.started[0].early


def test_the_description_is_one() -> None:
    made, _ = audio(public_address="192.168.1.20")
    parsed = sdp.parse(made.offer())
    assert parsed.address == "192.168.1.20"
