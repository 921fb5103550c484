"""A leg's negotiations one after the other: which keys and which form they have."""

from __future__ import annotations

import re
from typing import cast

import pytest

from doubles.legs import FakeMediaLeg
from outdial.calls.audio import SUITES, Audio
from outdial.errors import NegotiationError
from outdial.legs import Codec, CryptoSuite, MediaLeg

PLAIN = (
    b"v=0\r\no=far 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0\r\n"
)
KEYS = (
    b"NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj",
    b"PS1uQCVeeCFCanVmcjkpPywjNWhcYDlmNRpUKCBk",
)


def encrypted(key: bytes, profile: bytes = b"RTP/SAVP", tag: int = 1) -> bytes:
    """A description of the far end."""
    line = b"a=crypto:%d AES_CM_128_HMAC_SHA1_80 inline:%s\r\n" % (tag, key)
    return PLAIN.replace(b"RTP/AVP", profile) + line


def keys_in(description: bytes) -> list[bytes]:
    return re.findall(rb"inline:(\S+)", description)


@pytest.fixture
def media() -> FakeMediaLeg:
    return FakeMediaLeg("CA1", lambda event: None, None)


@pytest.fixture
def audio(media: FakeMediaLeg) -> Audio:
    return Audio(cast(MediaLeg, media), [Codec.PCMU], 7)


def test_without_a_word_nothing_is_encrypted(audio: Audio, media: FakeMediaLeg) -> None:
    assert b"crypto" not in audio.offer() and audio.agreed() == {}
    audio.accept(PLAIN)
    assert audio.agreed() == {"codec": "PCMU"}
    assert media.started[0].keys is None
    with pytest.raises(NegotiationError):
        audio.answer(encrypted(KEYS[0]))


def test_each_trunk_gets_keys_of_its_own(audio: Audio) -> None:
    audio.secure(is_required=True)
    first = keys_in(audio.offer())
    audio.secure(is_required=False)
    second = keys_in(audio.offer())
    assert len(first) == len(second) == len(set(first + second)) / 2 == len(SUITES)
    audio.expose()
    assert keys_in(audio.offer()) == []


def test_our_key_stays_and_theirs_is_followed(audio: Audio, media: FakeMediaLeg) -> None:
    audio.secure(is_required=True)
    ours = keys_in(audio.offer())
    audio.accept(encrypted(KEYS[0]), later=True)
    assert audio.agreed() == {"codec": "PCMU", "srtp": "AES_CM_128_HMAC_SHA1_80"}
    audio.begin()
    answer = audio.answer(encrypted(KEYS[1], tag=9))
    assert keys_in(answer) == ours[:1] and b"a=crypto:9 " in answer
    assert keys_in(audio.offer()) == ours
    with pytest.raises(NegotiationError):
        audio.answer(PLAIN)
    first, second = media.started[0].keys, media.started[1].keys
    assert first is not None and second is not None and audio.params is not None
    assert first.suite is second.suite is CryptoSuite.AES_CM_128_HMAC_SHA1_80
    assert first.send == second.send and first.receive != second.receive
    assert audio.params.keys == second, "the plain offer has changed nothing"


@pytest.mark.parametrize("profile", [b"RTP/AVP", b"RTP/SAVP"])
def test_later_offers_have_the_form_that_the_far_end_used(audio: Audio, profile: bytes) -> None:
    audio.secure(is_required=False)
    answer = audio.prepare(encrypted(KEYS[0], profile))
    assert b" %s 0\r\n" % profile in answer
    audio.begin()
    assert b" %s 0 101\r\n" % profile in audio.offer()


def test_what_may_be_plain_can_become_so_and_be_encrypted_again(
    audio: Audio, media: FakeMediaLeg
) -> None:
    audio.secure(is_required=False)
    audio.offer()
    audio.accept(encrypted(KEYS[0], b"RTP/AVP"))
    assert b"crypto" not in audio.answer(PLAIN) and audio.agreed() == {"codec": "PCMU"}
    assert b"a=crypto" in audio.answer(encrypted(KEYS[0]))
    assert [params.keys is not None for params in media.started] == [True, False, True]


def test_an_insisting_offer_is_strict_though_encryption_is_optional(audio: Audio) -> None:
    audio.secure(is_required=False, insists=True)
    assert b" RTP/SAVP 0 101\r\n" in audio.offer()
    with pytest.raises(NegotiationError):
        audio.accept(PLAIN)


def test_our_answer_sent_once_more_as_an_offer_may_be_answered(
    audio: Audio, media: FakeMediaLeg
) -> None:
    """A session is refreshed with the description that was sent last (RFC 4028)."""
    audio.secure(is_required=True)
    audio.prepare(encrypted(KEYS[0], tag=9))
    audio.begin()
    audio.accept(encrypted(KEYS[1], tag=9))
    last = media.started[-1].keys
    assert last is not None and last.receive != media.started[0].keys.receive  # type: ignore[union-attr]
    with pytest.raises(NegotiationError, match="tag 8"):
        audio.accept(encrypted(KEYS[1], tag=8))


def test_who_takes_the_place_of_another_gets_keys_of_its_own(audio: Audio) -> None:
    audio.renew()
    assert keys_in(audio.offer()) == [], "what is plain stays so"
    audio.secure(is_required=False, insists=True)
    first = audio.offer()
    audio.renew()
    second = audio.offer()
    assert not set(keys_in(first)) & set(keys_in(second))
    assert b" RTP/SAVP " in second
