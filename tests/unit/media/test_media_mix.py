"""The jitter buffer and the mix, without packets: samples in, samples out."""

from __future__ import annotations

from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles.far_end import power_at, tone
from outdial.media.core import g711, jitter, rtp
from outdial.media.core.jitter import FRAME, START_DELAY, WINDOW, JitterBuffer
from outdial.media.core.mix import VOICES, Cue, Member, Mix

DELAY = START_DELAY // FRAME


def numbered(first: int, size: int = FRAME) -> bytes:
    """Samples none of which is silent, and each of which is another than its neighbours."""
    return bytes((first + n) % 200 + 1 for n in range(size))


def frames(buffer: JitterBuffer, count: int) -> list[bytes | None]:
    return [buffer.take() for _ in range(count)]


# ------------------------------------------------------------------ jitter


def test_what_is_put_in_comes_out_after_the_delay() -> None:
    buffer = JitterBuffer()
    got = []
    for n in range(4):
        buffer.put(1000 + n * FRAME, rtp.PCMU, numbered(n))
        got.append(buffer.take())
    assert got == [None] * DELAY + [numbered(n) for n in range(4 - DELAY)]


def test_nothing_comes_before_the_first_packet() -> None:
    assert frames(JitterBuffer(), 3) == [None] * 3


def test_a_packet_that_is_not_there_is_silence_and_the_next_is_in_its_place() -> None:
    buffer = JitterBuffer()
    got = []
    for n in range(5):
        if n != 1:
            buffer.put(n * FRAME, rtp.PCMU, numbered(n))
        got.append(buffer.take())
    assert got[DELAY:] == [numbered(0), None, numbered(2)]


@pytest.mark.parametrize("size", [80, 160, 240, 480])
def test_packets_of_any_length(size: int) -> None:
    buffer = JitterBuffer()
    said = numbered(0, 2400)
    for at in range(0, 1920, size):
        buffer.put(at, rtp.PCMU, said[at : at + size])
    got = frames(buffer, DELAY + 12)
    assert b"".join(frame or b"" for frame in got) == said[:1920]


def test_out_of_order_packets_are_played_in_order() -> None:
    buffer = JitterBuffer()
    buffer.put(0, rtp.PCMU, numbered(0))
    buffer.put(2 * FRAME, rtp.PCMU, numbered(2))
    buffer.put(FRAME, rtp.PCMU, numbered(1), newest=False)
    assert frames(buffer, DELAY + 3)[DELAY:] == [numbered(n) for n in range(3)]


def test_an_old_packet_that_comes_too_late_is_left_out() -> None:
    buffer = JitterBuffer()
    buffer.put(0, rtp.PCMU, numbered(0))
    buffer.put(FRAME, rtp.PCMU, numbered(1))
    assert frames(buffer, DELAY + 1)[-1] == numbered(0)
    buffer.put(0, rtp.PCMU, numbered(9), newest=False)
    assert buffer.take() == numbered(1)


def test_a_late_packet_is_played_and_those_after_it_have_more_time() -> None:
    buffer = JitterBuffer()
    buffer.put(0, rtp.PCMU, numbered(0))
    frames(buffer, DELAY + 3)  # packet 1 should have been taken two frames ago
    buffer.put(FRAME, rtp.PCMU, numbered(1))
    assert buffer.take() == numbered(1)
    for n in range(2, 6):
        buffer.put(n * FRAME, rtp.PCMU, numbered(n))
        assert buffer.take() == numbered(n)


def test_the_delay_shrinks_when_nothing_needs_it() -> None:
    buffer = JitterBuffer()
    for n in range(8):  # a burst after a stall
        buffer.put(n * FRAME, rtp.PCMU, numbered(n))
    got = []
    for n in range(8, 8 + 2 * WINDOW):
        got.append(buffer.take())
        buffer.put(n * FRAME, rtp.PCMU, numbered(n))
    heard = [frame for frame in got if frame]
    # In the end a packet is taken as soon after its coming as at the start of a call.
    assert heard[-1] == numbered(8 + 2 * WINDOW - 1 - DELAY - 1)
    skips = [n for n, (one, two) in enumerate(pairwise(heard)) if two[0] != one[0] % 200 + 1]
    assert len(skips) == 1


def test_a_pause_with_timestamps_that_go_on_costs_nothing() -> None:
    buffer = JitterBuffer()
    buffer.put(0, rtp.PCMU, numbered(0))
    assert frames(buffer, 101)[DELAY] == numbered(0)
    buffer.put(100 * FRAME, rtp.PCMU, numbered(100))
    assert frames(buffer, 3) == [None, numbered(100), None]


@pytest.mark.parametrize("jump", [50_000, -50_000, 2**31, 2**31 + 100_000])
def test_timestamps_that_jump_begin_anew(jump: int) -> None:
    buffer = JitterBuffer()
    buffer.put(1_000_000, rtp.PCMU, numbered(0))
    frames(buffer, DELAY + 1)
    buffer.put((1_000_000 + jump) & 0xFFFFFFFF, rtp.PCMU, numbered(5))
    assert frames(buffer, DELAY + 1) == [None] * DELAY + [numbered(5)]


def test_a_restart_begins_anew() -> None:
    buffer = JitterBuffer()
    buffer.put(0, rtp.PCMU, numbered(0))
    buffer.restart()
    assert buffer.take() is None
    buffer.put(640, rtp.PCMU, numbered(3))
    assert frames(buffer, DELAY + 1)[-1] == numbered(3)


def test_timestamps_wrap() -> None:
    buffer = JitterBuffer()
    start = 2**32 - 3 * FRAME
    got = []
    for n in range(8):
        buffer.put((start + n * FRAME) & 0xFFFFFFFF, rtp.PCMU, numbered(n))
        got.append(buffer.take())
    assert got[DELAY:] == [numbered(n) for n in range(8 - DELAY)]


def test_the_timing_is_forgotten_after_a_minute_of_silence() -> None:
    buffer = JitterBuffer()
    buffer.put(0, rtp.PCMU, numbered(0))
    frames(buffer, jitter.FORGET // FRAME + DELAY + 5)
    buffer.put(12345, rtp.PCMU, numbered(1))
    assert frames(buffer, DELAY + 1)[-1] == numbered(1)


def test_the_law_may_change() -> None:
    buffer = JitterBuffer()
    buffer.put(0, rtp.PCMA, numbered(0))
    buffer.put(FRAME, rtp.PCMU, numbered(1))
    got = frames(buffer, DELAY + 2)[DELAY:]
    assert buffer.law == rtp.PCMA
    assert got == [numbered(0), numbered(1).translate(g711.ULAW_TO_ALAW)]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**32 - 1) | st.integers(0, 3000),
            st.sampled_from((rtp.PCMU, rtp.PCMA)),
            st.integers(0, 2048),
            st.booleans(),
            st.integers(0, 4),
        ),
        max_size=60,
    )
)
def test_any_packets_give_frames_or_silence(
    packets: list[tuple[int, int, int, bool, int]],
) -> None:
    buffer = JitterBuffer()
    for timestamp, law, size, newest, taken in packets:
        buffer.put(timestamp, law, bytes(size), newest=newest)
        for frame in frames(buffer, taken):
            assert frame is None or len(frame) == FRAME


# ------------------------------------------------------------------ the mix


class Table:
    """A room whose members say what they are given, in step with it."""

    def __init__(self, *laws: int) -> None:
        self.mix = Mix()
        self.timestamps: dict[Member, int] = {}
        for law in laws:
            self.join(Member(law))

    def join(self, member: Member) -> Member:
        self.mix.members.append(member)
        return member

    def say(self, said: dict[int, bytes], law: int = rtp.PCMU) -> list[bytes]:
        """What each hears, as 16-bit samples, while the members say their 16-bit samples."""
        members = list(self.mix.members)
        heard = [b"" for _ in members]
        length = max(map(len, said.values())) // (2 * FRAME)
        for frame in range(length + DELAY):
            for number, samples in said.items():
                part = samples[2 * FRAME * frame : 2 * FRAME * (frame + 1)]
                timestamp = self.timestamps.get(members[number], 0)
                self.timestamps[members[number]] = timestamp + FRAME
                if part:
                    members[number].buffer.put(timestamp, law, g711.encode(part, law))
            self.mix.mix()
            for number, payload in enumerate(self.mix.frames()):
                heard[number] += g711.decode(payload, members[number].law)
        return [samples[2 * FRAME * DELAY :] for samples in heard]


HZ = (400, 600, 900, 1300, 1900)


def test_each_hears_all_others_and_not_itself() -> None:
    table = Table(*[rtp.PCMU] * 5)
    heard = table.say({n: tone(hz, 400, 3000) for n, hz in enumerate(HZ)})
    for listener, samples in enumerate(heard):
        for speaker, hz in enumerate(HZ):
            power = power_at(samples, hz)
            if speaker == listener:
                assert power < 60
            else:
                assert power == pytest.approx(3000, rel=0.05)


def test_two_are_as_on_a_bridge() -> None:
    one, two = tone(500, 100), tone(700, 100)
    heard = Table(rtp.PCMU, rtp.PCMU).say({0: one, 1: two})
    transcoded = [g711.decode(g711.encode(said, rtp.PCMU), rtp.PCMU) for said in (two, one)]
    assert heard == transcoded


def test_laws_are_each_members_own() -> None:
    table = Table(rtp.PCMU, rtp.PCMA, rtp.PCMA)
    heard = table.say({0: tone(500, 200), 1: tone(700, 200)}, law=rtp.PCMA)
    assert power_at(heard[0], 700) == pytest.approx(8000, rel=0.05)
    assert power_at(heard[1], 500) == pytest.approx(8000, rel=0.05)
    assert power_at(heard[2], 500) == pytest.approx(8000, rel=0.05)
    assert power_at(heard[2], 700) == pytest.approx(8000, rel=0.05)


def test_a_member_that_says_nothing_hears_and_alone_hears_silence() -> None:
    heard = Table(rtp.PCMU, rtp.PCMU, rtp.PCMU).say({0: tone(500, 100)})
    assert not any(heard[0])
    assert heard[1] == heard[2]
    assert power_at(heard[1], 500) == pytest.approx(8000, rel=0.05)


def test_too_loud_a_sum_is_turned_down_and_only_for_those_who_hear_it() -> None:
    loud = array("h", [30000] * FRAME * 10).tobytes()
    heard = Table(*[rtp.PCMU] * 3).say({0: loud, 1: loud, 2: array("h", [-30000] * 1600).tobytes()})
    # Two loud ones are at the top; a loud one and its opposite cancel out.
    assert max(array("h", heard[2])) > 32000
    assert max(map(abs, array("h", heard[0]))) < 1200
    assert min(array("h", heard[2])) > 0


def distortion(samples: bytes, *frequencies_hz: int) -> float:
    """How much of the power is of none of these frequencies."""
    values = array("h", samples)
    power = sum(value * value for value in values) / len(values)
    wanted = sum(power_at(samples, hz) ** 2 / 2 for hz in frequencies_hz)
    return max(0.0, 1 - wanted / power)


def test_five_who_shout_are_not_distorted() -> None:
    heard = Table(*[rtp.PCMU] * 6).say({n: tone(hz, 600, 16000) for n, hz in enumerate(HZ)})
    settled = [samples[16 * 200 : 16 * 600] for samples in heard]
    for listener, samples in enumerate(settled):
        others = [hz for n, hz in enumerate(HZ) if n != listener]
        assert distortion(samples, *others) < 0.002
        assert max(map(abs, array("h", samples))) > 28000, "as loud as it can be"
    sums = map(sum, zip(*(array("h", tone(hz, 400, 16000)) for hz in HZ), strict=True))
    cut = array("h", [min(32124, max(-32124, value)) for value in sums]).tobytes()
    assert distortion(cut, *HZ) > 0.02, "as it would be if it were cut"


def test_the_first_shout_is_not_cut_either_and_afterwards_it_is_as_loud_as_before() -> None:
    table = Table(*[rtp.PCMA] * 3)
    quiet, loud = tone(400, 300, 4000), tone(400, 300, 20000)
    heard = table.say({0: quiet + loud + quiet * 2, 1: bytes(16 * 300) + tone(600, 300, 20000)})[2]
    shout = heard[16 * 300 : 16 * 600]
    assert distortion(shout, 400, 600) < 0.02
    assert max(map(abs, array("h", shout))) <= 32256
    assert power_at(heard[16 * 100 : 16 * 300], 400) == pytest.approx(4000, rel=0.05)
    assert power_at(heard[-16 * 200 :], 400) == pytest.approx(4000, rel=0.05)


def test_as_many_voices_as_fit_are_summed_without_loss() -> None:
    up, down = [array("h", [sign * 32000] * FRAME).tobytes() for sign in (1, -1)]
    said = {n: up if n % 2 else down for n in range(VOICES)}
    heard = Table(*[rtp.PCMU] * VOICES).say(said)
    assert all(max(array("h", samples)) > 31000 for n, samples in enumerate(heard) if not n % 2)


def test_a_muted_member_hears_and_is_not_heard_until_it_is_unmuted() -> None:
    table = Table(rtp.PCMU, rtp.PCMU)
    table.mix.members[0].muted = True
    heard = table.say({0: tone(500, 100), 1: tone(700, 100)})
    assert not any(heard[1])
    assert power_at(heard[0], 700) == pytest.approx(8000, rel=0.05)
    table.mix.members[0].muted = False
    assert power_at(table.say({0: tone(500, 100)})[1], 500) == pytest.approx(8000, rel=0.05)


def test_one_joins_and_leaves_while_others_talk() -> None:
    table = Table(rtp.PCMU, rtp.PCMU)
    table.say({0: tone(500, 100)})
    third = table.join(Member(rtp.PCMA))
    heard = table.say({0: tone(500, 100), 2: tone(900, 100)})
    assert power_at(heard[2], 500) == pytest.approx(8000, rel=0.05)
    assert power_at(heard[1], 900) == pytest.approx(8000, rel=0.05)
    table.mix.members.remove(third)
    assert power_at(table.say({0: tone(500, 100)})[1], 900) < 60


def test_a_cue_is_heard_by_all_but_one_over_what_is_said() -> None:
    table = Table(rtp.PCMU, rtp.PCMU, rtp.PCMU)
    cue = g711.encode(tone(1000, 200, 3000), rtp.PCMU)
    table.mix.add_cue(Cue(cue, unheard_by=table.mix.members[1]))
    table.mix.members[2].hears_cues = False
    heard = table.say({0: tone(500, 200, 3000)})
    # It began at once, what is said only after the delay.
    assert power_at(heard[0][: 16 * 160], 1000) == pytest.approx(3000, rel=0.05)
    for member in (1, 2):
        assert power_at(heard[member][: 16 * 160], 1000) < 60
        assert power_at(heard[member], 500) == pytest.approx(3000, rel=0.05)
    assert table.mix.total is not None
    table.mix.mix()
    assert table.mix.total is None


def test_a_cue_that_is_no_whole_number_of_frames_ends_in_silence() -> None:
    cue = Cue(b"\x10" * 200)
    assert [cue.take(), cue.take(), cue.take()] == [
        b"\x10" * 160,
        b"\x10" * 40 + b"\xff" * 120,
        None,
    ]


@pytest.mark.parametrize("samples", [80, 160, 240, 480])
def test_a_member_sends_packets_of_its_own_length(samples: int) -> None:
    member = Member(rtp.PCMA)
    said = numbered(0, 4800)
    got = b""
    for tick in range(0, 4800, 80):
        if tick % FRAME == 0:
            member.hear(said[tick : tick + FRAME], samples + FRAME)
        if tick % samples == samples - 80:
            taken = bytes(member.take(samples))
            assert len(taken) == samples
            if taken != b"\xd5" * samples:
                got += taken
    assert said.startswith(got)
    assert len(got) >= 4800 - samples - FRAME


def test_what_a_member_did_not_take_is_dropped() -> None:
    member = Member(rtp.PCMU)
    for n in range(5):
        member.hear(numbered(n), 2 * FRAME)
    assert member.take(FRAME) == numbered(3)
    member.drop()
    assert member.take(FRAME) == b"\xff" * FRAME
