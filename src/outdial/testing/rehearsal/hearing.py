"""Who hears what: the streams of a test, whom each is connected with, and what each plays.

The same for streams with and without packets: it follows what is asked of them, not what arrives.
Connections are few, so that everything is looked at again whenever something changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from outdial.testing.rehearsal.sounds import Sound

Address = tuple[str, int]


@dataclass(eq=False, slots=True)
class Stream:
    """One leg's audio."""

    leg_id: str
    address: Address
    far_address: Address | None = None
    """Where it sends; None: it does not."""
    playing: Sound | None = None
    bridged: Stream | None = None
    room: object | None = None
    muted: bool = False
    hushed: bool = False
    """What it receives is thrown away."""


Listener = Callable[[Sound], None]


@dataclass(eq=False, slots=True)
class Watch:
    """Somebody who is told what begins and ends among some sounds."""

    sounds: Callable[[], Iterable[Sound]]
    begins: Listener
    ends: Listener
    now: list[Sound] = field(default_factory=list)
    """What sounds."""


class Hearing:
    """All streams. `changed` after every change of one."""

    def __init__(self) -> None:
        self._streams: dict[Address, Stream] = {}
        self._watches: list[Watch] = []

    def add(self, stream: Stream) -> None:
        """A stream is there."""
        self._streams[stream.address] = stream

    def stream_at(self, address: Address) -> Stream | None:
        """The stream that is there now."""
        return self._streams.get(address)

    def remove(self, stream: Stream) -> None:
        """It is there no more: nobody is connected with it."""
        self._streams.pop(stream.address, None)
        for other in self._streams.values():
            if other.bridged is stream:
                other.bridged = None
        stream.bridged = stream.room = stream.playing = None
        self.changed()

    def watch(
        self, sounds: Callable[[], Iterable[Sound]], begins: Listener, ends: Listener
    ) -> Watch:
        """Tells, from now on, which of the sounds begin and end. Neither may raise."""
        watch = Watch(sounds, begins, ends)
        self._watches.append(watch)
        self._look(watch)
        return watch

    def unwatch(self, watch: Watch) -> None:
        """Tells no more; what sounds ends with it. Idempotent."""
        if watch in self._watches:
            self._watches.remove(watch)
            for sound in watch.now:
                watch.ends(sound)
            watch.now = []

    def changed(self) -> None:
        """Looks at everything again."""
        for watch in list(self._watches):
            self._look(watch)

    def far_end(self, stream: Stream) -> Stream | None:
        """The stream at the other end, when both send to each other."""
        other = None if stream.far_address is None else self._streams.get(stream.far_address)
        return other if other is not None and other.far_address == stream.address else None

    def received(self, stream: Stream) -> list[Sound]:
        """What arrives on it."""
        return self._received(stream, set())

    def sent(self, stream: Stream) -> list[Sound]:
        """What leaves on it: what it plays, else what it passes on."""
        return self._sent(stream, set())

    def members(self, room: object) -> list[Stream]:
        """Those in the room."""
        return [stream for stream in self._streams.values() if stream.room is room]

    def _received(self, stream: Stream, seen: set[Address]) -> list[Sound]:
        far = self.far_end(stream)
        return [] if far is None or stream.hushed else self._sent(far, seen)

    def _sent(self, stream: Stream, seen: set[Address]) -> list[Sound]:
        if stream.address in seen:
            return []  # calls that lead back to themselves
        seen = seen | {stream.address}
        if stream.playing is not None:
            return [stream.playing]
        if stream.bridged is not None:
            return self._received(stream.bridged, seen)
        if stream.room is None:
            return []
        others = (one for one in self.members(stream.room) if one is not stream and not one.muted)
        return [sound for other in others for sound in self._received(other, seen)]

    def _look(self, watch: Watch) -> None:
        before, watch.now = watch.now, list(watch.sounds())
        for sound in before:
            if sound not in watch.now:
                watch.ends(sound)
        for sound in watch.now:
            if sound not in before:
                watch.begins(sound)
