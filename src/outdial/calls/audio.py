"""A leg's audio: its media stream and the offer/answer that governs it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace

from outdial import sdp
from outdial.config import Settings, Trunk
from outdial.config.checks import host_and_port
from outdial.legs import Codec, CryptoSuite, MediaLeg, MediaParams

SUITES = (
    CryptoSuite.AES_CM_128_HMAC_SHA1_80,
    CryptoSuite.AEAD_AES_256_GCM,
    CryptoSuite.AEAD_AES_128_GCM,
    CryptoSuite.AES_CM_128_HMAC_SHA1_32,
)
"""Offered in this order: first the one that everybody has, last the one with the short tag."""


def codecs_of(settings: Settings, trunk: Trunk | None) -> list[Codec]:
    """What is offered to the trunk and taken from it, best first; None: by a URI."""
    names = (trunk.codecs if trunk is not None else []) or settings.media.codecs
    return [Codec[name.upper()] for name in names]


class Audio:
    """One media leg with the state of its negotiation."""

    __slots__ = (
        "_learn_address",
        "_prepared",
        "_security",
        "_session_id",
        "_shown",
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
        self._shown = ""
        self._prepared: MediaParams | None = None
        self._security: sdp.Security | None = None
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

    def agreed(self) -> dict[str, str]:
        """What the timeline says of what was agreed on: the codec, and how it is encrypted."""
        params = self._prepared or self.params
        if params is None:
            return {}
        codec = {"codec": params.codec.encoding}
        return codec if params.keys is None else {**codec, "srtp": params.keys.suite.name}

    def secure(self, *, is_required: bool, insists: bool = False) -> None:
        """The audio is encrypted from the next negotiation on, with fresh keys of ours: what one
        trunk was told, the next one is not. See `sdp.Security`."""
        keys = {suite: secrets.token_bytes(suite.key_bytes) for suite in SUITES}
        self._security = sdp.Security(keys, is_required, insists)

    def renew(self) -> None:
        """Another far end takes the place of this one: it gets keys that the one before has not."""
        before = self._security
        if before is not None:
            self.secure(is_required=before.is_required, insists=before.insists)

    def expose(self) -> None:
        """The audio is plain from the next negotiation on."""
        self._security = None

    def suit(self, trunk: Trunk | None) -> None:
        """From the next negotiation on: whether the trunk's far ends are behind NAT, and which
        address of ours they are shown."""
        self._learn_address = trunk is not None and trunk.nat
        shown = trunk.public_address if trunk is not None else ""
        self._shown = host_and_port(shown)[0] if shown else ""

    @property
    def _address(self) -> str:
        return self._shown or self.media.address

    def offer(self) -> bytes:
        """A fresh offer of everything we take."""
        self._version += 1
        return sdp.offer(
            self._address,
            self.media.port,
            self._session_id,
            self.codecs,
            version=self._version,
            security=self._security,
        )

    def accept(self, answer: bytes, *, later: bool = False, early: bool = False) -> None:
        """The far end's answer to `offer`: packets flow as it says, at once or (`later`) from
        `begin` on, if they do not flow yet. `early`: it came with a provisional response.

        Raises NegotiationError, RemoteProtocolError.
        """
        params = sdp.accept(
            answer,
            self.codecs,
            learn_address=self._learn_address,
            signalling_address=self.signalling_address,
            security=self._security,
        )
        self._keep_profile(params)
        if early:
            params = replace(params, early=True)
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
            self._address,
            self.media.port,
            self._session_id,
            self.codecs,
            version=self._version + 1,
            learn_address=self._learn_address,
            signalling_address=self.signalling_address,
            security=self._security,
        )
        self._keep_profile(params)
        if self._security is not None and params.keys is not None:
            line = (params.keys.tag, params.keys.suite)
            self._security = replace(self._security, answered=line)
        self._version += 1
        return answer, params

    def _keep_profile(self, params: MediaParams) -> None:
        """Later offers of ours are written as the far end is known to take them."""
        if self._security is not None and params.keys is not None:
            insists = params.keys.profile == "RTP/SAVP"
            self._security = replace(self._security, insists=insists)

    def _flow(self, params: MediaParams) -> None:
        self.params = params
        if self._started:
            self.media.update(params)
        else:
            self._started = True
            self.media.start(params)
