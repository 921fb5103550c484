"""Offer and answer (RFC 3264) for one audio stream with telephone events (RFC 4733).

`offer` makes our offer, `accept` reads the answer to it, `answer` answers the far end's offer.
The caller counts the session version: one more for every description that differs (section 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from outdial.errors import NegotiationError
from outdial.legs import Codec, Direction, MediaKeys, MediaParams
from outdial.sdp import crypto
from outdial.sdp.crypto import Chosen, Security
from outdial.sdp.description import MediaDescription, SessionDescription, parse
from outdial.sdp.formats import chosen, event_of, of_answer, of_offer

_PLAIN = ("RTP/AVP", "RTP/AVPF")
_SECURED = ("RTP/SAVP", "RTP/SAVPF")
_PTIMES = (10, 20, 30, 40, 60)
_OPUS_PTIMES = (10, 20, 40, 60)

# (sends, receives), from the point of view of whoever wrote the attribute.
_FLOWS = {
    Direction.SENDRECV: (True, True),
    Direction.SENDONLY: (True, False),
    Direction.RECVONLY: (False, True),
    Direction.INACTIVE: (False, False),
}
_DIRECTIONS = {flow: direction for direction, flow in _FLOWS.items()}
_HELD = ("0.0.0.0", "::")


def offer(
    address: str,
    port: int,
    session_id: int,
    codecs: Sequence[Codec],
    *,
    telephone_event: int | None = 101,
    ptime_ms: int = 20,
    direction: Direction = Direction.SENDRECV,
    version: int = 1,
    security: Security | None = None,
) -> bytes:
    """Our offer: the codecs, best first, and telephone events unless the payload type is None."""
    body = _offered(tuple(codecs), telephone_event, ptime_ms, direction)
    profile, lines = ("RTP/AVP", "") if security is None else (security.profile, security.offered())
    audio = f"m=audio {port} {profile} {body}{lines}"
    return (_session(address, session_id, version) + audio).encode("ascii")


def accept(
    answer: bytes,
    codecs: Sequence[Codec],
    *,
    direction: Direction = Direction.SENDRECV,
    learn_address: bool = False,
    signalling_address: str = "",
    security: Security | None = None,
) -> MediaParams:
    """What the far end's answer to our offer of `codecs`, `direction` and `security` settles.

    Raises NegotiationError (no usable audio) and RemoteProtocolError (not a description).
    """
    session = parse(answer)
    protocols = _PLAIN if security is None else _PLAIN + _SECURED
    media = next(iter(_usable(session, codecs, protocols)), None)
    if media is None:
        raise NegotiationError("the answer has no audio in a codec that was offered")
    keys = None if security is None else _accepted_keys(media, security)
    return _params(session, media, codecs, direction, learn_address, signalling_address, keys)


def answer(
    offer: bytes,
    address: str,
    port: int,
    session_id: int,
    codecs: Sequence[Codec],
    *,
    direction: Direction = Direction.SENDRECV,
    version: int = 1,
    learn_address: bool = False,
    signalling_address: str = "",
    security: Security | None = None,
) -> tuple[bytes, MediaParams]:
    """Our answer to the far end's offer, and what it settles.

    The first usable audio line is taken with the offerer's best codec that is in `codecs`, with
    `security` the first that can be encrypted; every other line is refused with port 0 (section 6).
    `direction` is the most we want to do. Raises NegotiationError (SIP 488) and
    RemoteProtocolError.
    """
    session = parse(offer)
    media, line = _choose(session, codecs, security)
    keys = _keys(media, line, security)
    params = _params(session, media, codecs, direction, learn_address, signalling_address, keys)
    if (":" in params.remote_address) != (":" in address):
        raise NegotiationError("the offer is for the other IP version")
    formats, maps = of_answer(params)
    body = _audio(formats, maps, params.ptime_ms, params.direction)
    if line is not None and keys is not None:
        body += crypto.line(line.tag, keys.suite, keys.send)
    lines = [
        f"m=audio {port} {other.protocol} {body}"
        if other is media
        else f"m={other.kind} 0 {other.protocol} {other.formats[0]}\r\n"
        for other in session.media
    ]
    return (_session(address, session_id, version) + "".join(lines)).encode("latin-1"), params


def _session(address: str, session_id: int, version: int) -> str:
    family = "IP6" if ":" in address else "IP4"
    return (
        f"v=0\r\no=- {session_id} {version} IN {family} {address}\r\ns=-\r\n"
        f"c=IN {family} {address}\r\nt=0 0\r\n"
    )


@lru_cache(maxsize=256)
def _offered(
    codecs: tuple[Codec, ...], telephone_event: int | None, ptime_ms: int, direction: Direction
) -> str:
    return _audio(*of_offer(codecs, telephone_event), ptime_ms, direction)


def _audio(formats: list[str], maps: list[str], ptime_ms: int, direction: Direction) -> str:
    """The formats of the media line and the attributes below it."""
    return f"{' '.join(formats)}\r\n{''.join(maps)}a=ptime:{ptime_ms}\r\na={direction.text}\r\n"


def _usable(
    session: SessionDescription, codecs: Sequence[Codec], protocols: Sequence[str] = _PLAIN
) -> list[MediaDescription]:
    """The audio lines that are not refused, have one of the protocols and one of the codecs."""
    return [
        media
        for media in session.media
        if media.kind == "audio"
        and media.port
        and media.protocol.upper() in protocols
        and chosen(media, codecs)
    ]


def _accepted_keys(media: MediaDescription, security: Security) -> MediaKeys | None:
    """What an answer to our offer says of encryption: RFC 4568 section 5.1.3."""
    if media.crypto:
        return _keys(media, crypto.accepted(media.crypto, security), security)
    if media.protocol.upper() in _SECURED:
        raise NegotiationError("the answer is RTP/SAVP, but without a=crypto")
    if security.profile in _SECURED:
        raise NegotiationError("the answer is not encrypted, as it had to be: no a=crypto")
    return None


def _choose(
    session: SessionDescription, codecs: Sequence[Codec], security: Security | None
) -> tuple[MediaDescription, Chosen | None]:
    """The line of an offer that is answered, and how it is encrypted: section 5.1.2.

    Among several the first that can be: some offer RTP/SAVP and RTP/AVP side by side.
    """
    plain, secured = _usable(session, codecs), _usable(session, codecs, _SECURED)
    problem: NegotiationError | None = None
    if security is None and secured:
        problem = NegotiationError("the offer's audio is encrypted, and srtp is off for the trunk")
    elif security is not None:
        for media in [one for one in (*secured, *plain) if one.crypto]:
            try:
                return media, crypto.selected(media.crypto, security)
            except NegotiationError as error:
                problem = problem or error
    if plain and (security is None or not security.is_required):
        return plain[0], None
    if problem is not None:
        raise problem
    if secured:
        raise NegotiationError("the offer is RTP/SAVP, but without a=crypto: DTLS is not supported")
    if plain:
        raise NegotiationError("the offer is not encrypted, and srtp is mandatory for the trunk")
    raise NegotiationError("the offer has no audio line with a codec of ours")


def _keys(
    media: MediaDescription, line: Chosen | None, security: Security | None
) -> MediaKeys | None:
    if line is None or security is None:
        return None
    profile = "RTP/SAVP" if media.protocol.upper() in _SECURED else "RTP/AVP"
    return MediaKeys(line.suite, security.keys[line.suite], line.key, profile, line.tag)


def _params(
    session: SessionDescription,
    media: MediaDescription,
    codecs: Sequence[Codec],
    wanted: Direction,
    learn_address: bool,
    signalling_address: str,
    keys: MediaKeys | None,
) -> MediaParams:
    best = chosen(media, codecs)
    if best is None:  # `_usable` has looked already
        raise NegotiationError("no codec in common")
    codec, number = best
    event, event_hz = event_of(media, codec)
    address = _address(media.address or session.address)
    return MediaParams(
        remote_address=address,
        remote_port=media.port,
        codec=codec,
        telephone_event=event,
        ptime_ms=_ptime(session, media, _OPUS_PTIMES if codec is Codec.OPUS else _PTIMES),
        direction=_direction(session, media, address, wanted),
        remote_rtcp_port=_rtcp_port(media),
        learn_address=learn_address,
        signalling_address=signalling_address,
        payload_type=None if number == codec.value else number,
        telephone_event_hz=event_hz,
        keys=keys,
    )


@lru_cache(maxsize=1024)
def _address(text: str) -> str:
    """A unicast literal, in its shortest form; the unspecified address means hold."""
    try:
        address = ip_address(text)
    except ValueError:
        raise NegotiationError("the connection address is not an IP address") from None
    if address.is_multicast or address == IPv4Address("255.255.255.255"):
        raise NegotiationError("the connection address is not a unicast address")
    if isinstance(address, IPv6Address) and address.scope_id:
        raise NegotiationError("the connection address has a scope")
    return str(address)


def _ptime(session: SessionDescription, media: MediaDescription, possible: Sequence[int]) -> int:
    """The packet length the far end wants, as near as we send it; 20 ms when it says nothing."""
    wanted = _milliseconds(media.attributes.get("ptime") or session.attributes.get("ptime"), 20)
    most = _milliseconds(media.attributes.get("maxptime"), 60)
    fitting = [ptime for ptime in possible if ptime <= min(wanted, most)]
    return fitting[-1] if fitting else possible[0]


def _milliseconds(text: str | None, default: int) -> int:
    if not text:
        return default
    whole = text.partition(".")[0]
    return int(whole) if whole.isdecimal() and whole.isascii() and len(whole) <= 5 else default


def _direction(
    session: SessionDescription, media: MediaDescription, address: str, wanted: Direction
) -> Direction:
    theirs = _FLOWS[_stated(media.attributes) or _stated(session.attributes) or Direction.SENDRECV]
    ours = _FLOWS[wanted]
    # RFC 3264 section 8.4: the old way to hold is a connection address of zeros.
    sends = ours[0] and theirs[1] and address not in _HELD
    return _DIRECTIONS[sends, ours[1] and theirs[0]]


def _stated(attributes: dict[str, str]) -> Direction | None:
    for direction in Direction:
        if direction.text in attributes:
            return direction
    return None


def _rtcp_port(media: MediaDescription) -> int:
    """RFC 3605's attribute, else the next port (RFC 3550 section 11). Its address is not used:

    reports go where the audio goes, so that they cannot be aimed at a third party.
    """
    stated = media.attributes.get("rtcp", "").partition(" ")[0]
    if stated.isdecimal() and stated.isascii() and len(stated) <= 5 and 0 < int(stated) < 65536:
        return int(stated)
    return media.port + 1 if media.port < 65535 else 0
