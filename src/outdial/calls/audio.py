"""A leg's audio: its media stream and the offer/answer that governs it."""

from __future__ import annotations

from collections.abc import Sequence

from outdial import sdp
from outdial.legs import Codec, MediaLeg


class Audio:
    """One media leg with the state of its negotiation."""

    __slots__ = (
        "_codecs",
        "_learn_address",
        "_session_id",
        "_started",
        "_version",
        "media",
        "signalling_address",
    )

    def __init__(self, media: MediaLeg, codecs: Sequence[Codec], session_id: int) -> None:
        self.media = media
        self._codecs = codecs
        self._session_id = session_id
        self._version = 0
        self._started = False
        self._learn_address = False
        self.signalling_address = ""

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
            self._codecs,
            version=self._version,
        )

    def accept(self, answer: bytes) -> None:
        """The far end's answer to `offer`: packets flow as it says.

        Raises NegotiationError, RemoteProtocolError.
        """
        params = sdp.accept(
            answer,
            self._codecs,
            learn_address=self._learn_address,
            signalling_address=self.signalling_address,
        )
        if self._started:
            self.media.update(params)
        else:
            self._started = True
            self.media.start(params)

    def answer(self, offer: bytes) -> bytes:
        """Our answer to the far end's new offer; packets flow as it says from now on.

        Raises NegotiationError, RemoteProtocolError; nothing has changed then.
        """
        answer, params = sdp.answer(
            offer,
            self.media.address,
            self.media.port,
            self._session_id,
            self._codecs,
            version=self._version + 1,
            learn_address=self._learn_address,
            signalling_address=self.signalling_address,
        )
        self._version += 1
        if self._started:
            self.media.update(params)
        else:
            self._started = True
            self.media.start(params)
        return answer
