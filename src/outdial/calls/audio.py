"""A leg's audio: its media stream and the offer/answer that governs it."""

from __future__ import annotations

from collections.abc import Sequence

from outdial import sdp
from outdial.config import Settings, Trunk
from outdial.legs import Codec, MediaLeg, MediaParams


def codecs_of(settings: Settings, trunk: Trunk | None) -> list[Codec]:
    """What is offered to the trunk and taken from it, best first; None: by a URI."""
    names = (trunk.codecs if trunk is not None else []) or settings.media.codecs
    return [Codec[name.upper()] for name in names]


class Audio:
    """One media leg with the state of its negotiation."""

    __slots__ = (
        "_learn_address",
        "_prepared",
        "_session_id",
        "_started",
        "_version",
        "codecs",
        "media",
        "params",
        "signalling_address",
    )

    def __init__(self, media: MediaLeg, codecs: Sequence[Codec], session_id: int) -> None:
        self.media = media
        self.codecs = codecs
        """What may be agreed on, best first."""
        self._session_id = session_id
        self._version = 0
        self._started = False
        self._learn_address = False
        self._prepared: MediaParams | None = None
        self.params: MediaParams | None = None
        """What holds now; None before packets flow."""
        self.signalling_address = ""

    @property
    def codec(self) -> Codec | None:
        """What was agreed on; None while nothing is."""
        params = self._prepared or self.params
        return params.codec if params is not None else None

    @property
    def is_started(self) -> bool:
        """Whether packets flow."""
        return self._started

    def offer(self, learn_address: bool = False) -> bytes:
        """A fresh offer of everything we take. `learn_address`: the peer is behind NAT."""
        self._learn_address = learn_address
        self._version += 1
        return sdp.offer(
            self.media.address,
            self.media.port,
            self._session_id,
            self.codecs,
            version=self._version,
        )

    def accept(self, answer: bytes, *, later: bool = False) -> None:
        """The far end's answer to `offer`: packets flow as it says, at once or (`later`) from
        `begin` on, if they do not flow yet.

        Raises NegotiationError, RemoteProtocolError.
        """
        params = sdp.accept(
            answer,
            self.codecs,
            learn_address=self._learn_address,
            signalling_address=self.signalling_address,
        )
        if later and not self._started:
            self._prepared = params
        else:
            self._flow(params)

    def answer(self, offer: bytes) -> bytes:
        """Our answer to the far end's new offer; packets flow as it says from now on.

        Raises NegotiationError, RemoteProtocolError; nothing has changed then.
        """
        answer, params = self._answer(offer)
        self._flow(params)
        return answer

    def prepare(self, offer: bytes) -> bytes:
        """Our answer to the far end's first offer; packets flow from `begin` on.

        Raises NegotiationError, RemoteProtocolError.
        """
        answer, self._prepared = self._answer(offer)
        return answer

    def begin(self) -> None:
        """What was prepared holds now: the ACK is on its way, in either direction."""
        if self._prepared is not None:
            self._flow(self._prepared)
            self._prepared = None

    def _answer(self, offer: bytes) -> tuple[bytes, MediaParams]:
        answer, params = sdp.answer(
            offer,
            self.media.address,
            self.media.port,
            self._session_id,
            self.codecs,
            version=self._version + 1,
            learn_address=self._learn_address,
            signalling_address=self.signalling_address,
        )
        self._version += 1
        return answer, params

    def _flow(self, params: MediaParams) -> None:
        self.params = params
        if self._started:
            self.media.update(params)
        else:
            self._started = True
            self.media.start(params)
