"""The simulated phones, driven in virtual time over legs without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from outdial.errors import SpeechError
from outdial.legs import (
    Answered,
    Clip,
    Codec,
    Digit,
    DigitInfo,
    MediaLost,
    Reanswered,
    Reoffer,
)
from outdial.sdp import negotiation
from outdial.sim.carrier import SimulatedCarrier
from outdial.sim.gate import SimulatedLeg
from outdial.sim.personas import PERSONAS
from outdial.sim.steps import Answer, Challenge, Listen, Persona, Press, Ring, Say
from outdial.testing.clock import FakeClock, settle
from outdial.testing.legs import OFFER, FakeIncomingLeg, FakeMediaLeg, FakeMediaPlane

Spoken = list[tuple[str, str, str]]


class World:
    """A carrier, its clock, its streams and what was spoken."""

    def __init__(self, personas: dict[str, Persona] | None = None, admit: bool = True) -> None:
        self.clock = FakeClock()
        self.plane = FakeMediaPlane(self.clock.sleep)
        self.spoken: Spoken = []
        self.mute = False
        self.admit = admit
        self.carrier = SimulatedCarrier(
            self.plane,
            self.speak,
            self.clock,
            personas=PERSONAS if personas is None else personas,
            admits=self.admits,
            sleep=self.clock.sleep,
        )

    async def speak(self, text: str, voice: str, language: str) -> AsyncIterator[Clip]:
        if self.mute:
            raise SpeechError("no engine")
        self.spoken.append((text, voice, language))
        yield Clip(f"{text}.ulaw", f"{text}.alaw", 1000)

    def admits(self, leg: SimulatedLeg, challenge: Challenge) -> bool:
        if not self.admit:
            leg.reject(407)
        return self.admit

    async def call(self, number: str, offer: bytes | None = OFFER) -> FakeIncomingLeg:
        leg = FakeIncomingLeg(number, offer)
        self.carrier.take(leg)
        await settle()
        return leg

    @property
    def media(self) -> FakeMediaLeg:
        return self.plane.legs[-1]

    def texts(self) -> list[str]:
        return [text for text, _, _ in self.spoken]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.carrier.stop()
    assert world.carrier.calls == 0
    assert world.clock.sleepers == 0
    assert all(media.closed for media in world.plane.legs)


async def test_an_answering_phone_rings_answers_says_hello_and_listens(world: World) -> None:
    leg = await world.call("15005550001")
    assert leg.statuses == [180]
    await world.clock.advance(0.7)
    assert leg.statuses == [180, 200]
    assert [what for what, *_ in world.media.done] == ["start", "record"]
    await world.clock.advance(0.4)
    assert world.texts() == ["Hello?"]
    await world.clock.advance(3600)
    assert leg.statuses == [180, 200]
    leg.bye()
    await settle()
    assert world.media.closed
    assert world.carrier.calls == 0


async def test_any_other_number_is_a_person_who_answers_after_a_second(world: World) -> None:
    leg = await world.call("442071838750")
    await world.clock.advance(0.99)
    assert leg.statuses == [180]
    await world.clock.advance(0.02)
    assert leg.statuses == [180, 200]


@pytest.mark.parametrize(
    ("number", "after_s", "expected"),
    [
        ("15005550002", 0, [486]),
        ("15005550004", 0.5, [180, 603]),
        ("15005550005", 0, [404]),
        ("15005550006", 0, [503]),
        ("15005550012", 0, [488]),
    ],
)
async def test_phones_that_refuse(
    world: World, number: str, after_s: float, expected: list[int]
) -> None:
    leg = await world.call(number)
    await world.clock.advance(after_s)
    assert leg.statuses == expected
    assert world.plane.legs == []
    assert world.carrier.calls == 0


async def test_a_phone_that_rings_for_ever_stops_when_the_caller_gives_up(world: World) -> None:
    leg = await world.call("15005550003")
    await world.clock.advance(86_400)
    assert leg.statuses == [180]
    leg.cancel()
    await settle()
    assert leg.statuses == [180]
    assert world.carrier.calls == 0


async def test_early_media_is_heard_before_the_answer_and_recorded_after_it(world: World) -> None:
    leg = await world.call("15005550007")
    assert leg.statuses == [183]
    assert [what for what, *_ in world.media.done] == ["start", "play"]
    await world.clock.advance(1.0)
    assert ("tone", "ringback") in world.media.done
    assert leg.statuses == [183]
    await world.clock.advance(1.5)
    assert leg.statuses == [183, 200]
    assert leg.sent[0][1] == leg.sent[1][1], "the answer repeats the early session description"
    assert [what for what, *_ in world.media.done][-1] == "record"


async def test_voicemail_greets_beeps_and_records_a_minute(world: World) -> None:
    leg = await world.call("15005550008")
    await world.clock.advance(1.3 + 1.0 + 0.5)
    assert [what for what, *_ in world.media.done] == ["start", "record", "play", "tone"]
    await world.clock.advance(59.9)
    assert leg.statuses == [180, 200]
    await world.clock.advance(0.2)
    assert leg.statuses == [180, 200, "BYE"]


async def test_the_menu_connects_on_101_and_the_digits_interrupt_its_prompt(world: World) -> None:
    leg = await world.call("15005550009")
    await world.clock.advance(0.9)
    assert world.texts() == ["Welcome. Please enter the extension."]
    for digit in "101":
        world.media.emit(Digit(digit, "rfc4733", 100))
    await world.clock.advance(0.01)
    assert ("stop",) in world.media.done
    assert world.texts()[-1] == "Connected to extension one zero one."
    heard = world.carrier.heard("15005550009")
    assert heard is not None and heard.digits == "101"
    assert leg.statuses == [180, 200]


async def test_the_menu_takes_digits_keyed_before_it_spoke(world: World) -> None:
    leg = await world.call("15005550009")
    await world.clock.advance(0.5)
    for digit in "101":
        leg.emit(DigitInfo(digit, 160))
    await world.clock.advance(0.4)
    assert world.texts() == ["Connected to extension one zero one."]


async def test_the_menu_refuses_other_digits_asks_three_times_and_hangs_up(world: World) -> None:
    leg = await world.call("15005550009")
    await world.clock.advance(0.9)
    for digit in "999":
        world.media.emit(Digit(digit, "in-band", 100))
    await world.clock.advance(60)
    prompt = "Welcome. Please enter the extension."
    assert world.texts() == [prompt, "That is not an extension.", prompt, prompt, "Goodbye."]
    assert leg.statuses[-1] == "BYE"


async def test_a_phone_that_hangs_up_does_so_after_two_seconds(world: World) -> None:
    leg = await world.call("15005550010")
    await world.clock.advance(2.49)
    assert leg.statuses == [180, 200]
    await world.clock.advance(0.02)
    assert leg.statuses == [180, 200, "BYE"]
    assert world.media.closed


async def test_the_silent_phone_sends_rtp_but_no_sound(world: World) -> None:
    await world.call("15005550011")
    await world.clock.advance(600)
    assert [what for what, *_ in world.media.done] == ["start", "record"]
    assert world.spoken == []


async def test_the_talking_phone_speaks_and_presses_four_keys(world: World) -> None:
    await world.call("15005550014")
    await world.clock.advance(0.5 + 1.5 + 1.0 + 0.3)
    assert world.media.done[-1] == ("digits", "1234")
    assert len(world.spoken) == 1


@pytest.mark.parametrize(("admit", "expected"), [(True, [180, 200]), (False, [407])])
async def test_the_digest_phone_answers_only_the_right_credentials(
    admit: bool, expected: list[int]
) -> None:
    world = World(admit=admit)
    leg = await world.call("15005550013")
    await world.clock.advance(1)
    assert leg.statuses == expected
    await world.carrier.stop()


async def test_an_offer_without_g711_is_refused_with_488(world: World) -> None:
    offer = (
        b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        b"m=audio 4000 RTP/AVP 9\r\na=rtpmap:9 G722/8000\r\n"
    )
    leg = await world.call("15005550001", offer)
    await world.clock.advance(1)
    assert leg.statuses == [180, 488]


async def test_an_offer_that_cannot_be_read_is_refused_with_400(world: World) -> None:
    leg = await world.call("15005550001", b"not a session description")
    await world.clock.advance(1)
    assert leg.statuses == [180, 400]


async def test_no_free_port_is_answered_with_503(world: World) -> None:
    world.plane.capacity = 0
    leg = await world.call("15005550001")
    await world.clock.advance(1)
    assert leg.statuses == [180, 503]


@pytest.mark.parametrize("event", [Answered, Reanswered])
async def test_an_invite_without_an_offer_gets_ours_and_starts_with_the_ack(
    world: World, event: type[Answered] | type[Reanswered]
) -> None:
    leg = await world.call("15005550011", None)
    await world.clock.advance(1)
    ours = leg.sent[-1][1]
    assert [what for what, *_ in world.media.done] == ["record"]
    answer, _ = negotiation.answer(ours, "127.0.0.1", 41000, 7, (Codec.PCMA,))
    leg.emit(event(answer))
    assert world.media.params is not None
    assert (world.media.params.remote_port, world.media.params.codec) == (41000, Codec.PCMA)


async def test_a_reoffer_is_answered_and_moves_the_stream(world: World) -> None:
    leg = await world.call("15005550011")
    await world.clock.advance(1)
    leg.emit(Reoffer(negotiation.offer("127.0.0.1", 42000, 1, (Codec.PCMA,), version=2)))
    assert leg.statuses[-1] == "answer"
    assert world.media.params is not None
    assert world.media.params.remote_port == 42000
    leg.emit(Reoffer(b"rubbish"))
    assert leg.sent[-1] == ("refuse", 488)
    leg.emit(Reoffer(None))
    assert leg.statuses[-1] == "answer"


async def test_a_machine_without_speech_has_silent_phones(world: World) -> None:
    world.mute = True
    leg = await world.call("15005550001")
    await world.clock.advance(10)
    assert leg.statuses == [180, 200]
    assert ("play", "Hello?.ulaw") not in world.media.done


async def test_a_lost_stream_hangs_the_phone_up(world: World) -> None:
    leg = await world.call("15005550001")
    await world.clock.advance(5)
    world.media.emit(MediaLost("the worker died"))
    await settle()
    assert leg.statuses[-1] == "BYE"
    assert world.carrier.calls == 0


async def test_stopping_the_carrier_hangs_up_and_deletes_the_recordings(world: World) -> None:
    leg = await world.call("15005550001")
    await world.clock.advance(5)
    heard = world.carrier.heard("15005550001")
    assert heard is not None and heard.path.parent.is_dir()
    await world.carrier.stop()
    assert leg.statuses[-1] == "BYE"
    assert not heard.path.parent.exists()


async def test_personas_can_be_given_by_who_uses_the_carrier() -> None:
    steps = (Ring(0.1), Answer(), Say("Hi", voice="woman", language="es"), Press("#"), Listen(2))
    world = World({"12": Persona("mine", "", steps)})
    leg = await world.call("12")
    await world.clock.advance(0.2)
    assert world.spoken == [("Hi", "woman", "es")]
    await world.clock.advance(4)
    assert leg.statuses == [180, 200, "BYE"], "a list of steps that ends hangs up"
    await world.carrier.stop()


async def test_a_persona_that_speaks_before_it_answers_ends_only_its_own_call() -> None:
    world = World({"12": Persona("wrong", "", (Say("too early"),))})
    leg = await world.call("12")
    assert leg.statuses == [603]
    other = await world.call("13")
    await world.clock.advance(1)
    assert other.statuses == [180, 200]
    await world.carrier.stop()


async def test_a_persona_that_never_answers_is_refused_at_its_end() -> None:
    world = World({"12": Persona("shy", "", (Ring(1),))})
    leg = await world.call("12")
    await world.clock.advance(1)
    assert leg.statuses == [180, 480]
    await world.carrier.stop()


def test_the_table_has_the_fourteen_reserved_numbers_each_with_a_summary() -> None:
    assert list(PERSONAS) == [f"150055500{n:02d}" for n in range(1, 15)]
    assert all(persona.summary and persona.steps for persona in PERSONAS.values())
    assert len({persona.name for persona in PERSONAS.values()}) == 14


async def test_recordings_are_named_by_a_count_never_by_the_number(world: World) -> None:
    await world.call("..%2F..%2Fetc%2Fpasswd")
    await world.clock.advance(1)
    recorded = Path(str(world.media.done[1][1]))
    assert recorded.name == "heard-1.wav"
