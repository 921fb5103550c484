"""Who hears what, from what is connected with what."""

from __future__ import annotations

from outdial.testing.rehearsal.hearing import Hearing, Stream
from outdial.testing.rehearsal.sounds import SAY, Sound, Utterance


def sound(text: str) -> Sound:
    return Sound(Utterance(SAY, text), text, None, 1.0)


class Line:
    """A leg of the server's and the phone at its other end."""

    def __init__(self, hearing: Hearing, number: int) -> None:
        ours, theirs = ("127.0.0.1", 2 * number), ("127.0.0.1", 1000 + 2 * number)
        self.leg = Stream(f"leg{number}", ours, theirs)
        self.phone = Stream(f"phone{number}", theirs, ours)
        hearing.add(self.leg)
        hearing.add(self.phone)


def lines(count: int) -> tuple[Hearing, list[Line]]:
    hearing = Hearing()
    return hearing, [Line(hearing, number) for number in range(count)]


def bridge(one: Stream, other: Stream) -> None:
    one.bridged, other.bridged = other, one


def test_a_phone_hears_what_its_leg_plays_and_the_leg_what_the_phone_says() -> None:
    hearing, (line,) = lines(1)
    line.leg.playing, line.phone.playing = prompt, answer = sound("prompt"), sound("answer")
    assert hearing.received(line.phone) == [prompt]
    assert hearing.received(line.leg) == [answer]


def test_nothing_is_heard_before_both_send() -> None:
    hearing, (line,) = lines(1)
    line.leg.playing = sound("prompt")
    line.phone.far_address = None
    assert hearing.received(line.phone) == []
    line.phone.far_address = ("127.0.0.1", 4)
    assert hearing.received(line.phone) == []


def test_a_bridge_passes_on_both_ways_but_under_what_is_played() -> None:
    hearing, (one, other) = lines(2)
    bridge(one.leg, other.leg)
    other.phone.playing = hello = sound("hello")
    assert hearing.received(one.phone) == [hello]
    assert hearing.received(other.phone) == []
    one.leg.playing = ringback = sound("ringback")
    assert hearing.received(one.phone) == [ringback]


def test_a_room_is_the_sum_of_all_others_who_are_not_muted() -> None:
    hearing, all_lines = lines(4)
    room = object()
    said = []
    for line in all_lines:
        line.leg.room = room
        line.phone.playing = sound(line.phone.leg_id)
        said.append(line.phone.playing)
    all_lines[3].leg.muted = True
    assert hearing.received(all_lines[0].phone) == said[1:3]
    assert hearing.received(all_lines[3].phone) == said[:3]
    all_lines[1].leg.room = object()
    assert hearing.received(all_lines[0].phone) == [said[2]]


def test_a_call_that_leads_back_to_itself_is_silent() -> None:
    hearing, (one, other) = lines(2)
    bridge(one.leg, other.leg)
    bridge(one.phone, other.phone)
    assert hearing.received(one.phone) == []


def test_a_watch_is_told_what_begins_and_ends() -> None:
    hearing, (one, other) = lines(2)
    told: list[tuple[str, str]] = []
    watch = hearing.watch(
        lambda: hearing.received(one.phone),
        lambda heard: told.append(("begins", heard.piece)),
        lambda heard: told.append(("ends", heard.piece)),
    )
    one.leg.playing = sound("prompt")
    hearing.changed()
    hearing.changed()
    one.leg.playing = None
    other.phone.playing = sound("hello")
    hearing.changed()
    bridge(one.leg, other.leg)
    hearing.changed()
    hearing.remove(other.leg)
    assert told == [
        ("begins", "prompt"),
        ("ends", "prompt"),
        ("begins", "hello"),
        ("ends", "hello"),
    ]
    assert one.leg.bridged is None
    one.leg.playing = sound("bye")
    hearing.changed()
    hearing.unwatch(watch)
    hearing.unwatch(watch)
    assert told[-1] == ("ends", "bye")
    assert len(told) == 6


def test_the_same_words_twice_are_two_sounds() -> None:
    hearing, (line,) = lines(1)
    begun: list[Sound] = []
    hearing.watch(lambda: hearing.received(line.phone), begun.append, lambda _: None)
    for _ in range(2):
        line.leg.playing = sound("again")
        hearing.changed()
    assert len(begun) == 2
