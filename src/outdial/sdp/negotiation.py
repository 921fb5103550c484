"""Offer and answer (RFC 3264) for one audio stream with telephone events (RFC 4733).

`offer` makes our offer, `accept` reads the answer to it, `answer` answers the far end's offer.
The caller counts the session version: one more for every description that differs (section 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from outdial.errors import NegotiationError
from outdial.legs import Codec, Direction, MediaParams
from outdial.sdp.description import MediaDescription, SessionDescription, parse
from outdial.sdp.formats import chosen, event_of, of_answer, of_offer

_PROTOCOLS = ("RTP/AVP", "RTP/AVPF")
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
) -> bytes:
    """Our offer: the codecs, best first, and telephone events unless the payload type is None."""
    body = _offered(tuple(codecs), telephone_event, ptime_ms, direction)
    audio = f"m=audio {port} RTP/AVP {body}"
    return (_session(address, session_id, version) + audio).encode("ascii")


def accept(
    answer: bytes,
    codecs: Sequence[Codec],
    *,
    direction: Direction = Direction.SENDRECV,
    learn_address: bool = False,
    signalling_address: str = "",
) -> MediaParams:
    """What the far end's answer to our offer of `codecs` and `direction` settles.

    Raises NegotiationError (no usable audio) and RemoteProtocolError (not a description).
    """
    session = parse(answer)
    media = _usable(session, codecs)
    if media is None:
        raise NegotiationError("the answer has no audio in a codec that was offered")
    return _params(session, media, codecs, direction, learn_address, signalling_address)


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
) -> tuple[bytes, MediaParams]:
    """Our answer to the far end's offer, and what it settles.

    The first usable audio line is taken with the offerer's best codec that is in `codecs`; every
    other line is refused with port 0 (section 6). `direction` is the most we want to do.
    Raises NegotiationError (SIP 488) and RemoteProtocolError.
    """
    session = parse(offer)
    media = _usable(session, codecs)
    if media is None:
        raise NegotiationError("the offer has no audio line with a codec of ours")
    params = _params(session, media, codecs, direction, learn_address, signalling_address)
    if (":" in params.remote_address) != (":" in address):
        raise NegotiationError("the offer is for the other IP version")
    formats, maps = of_answer(params)
    body = _audio(formats, maps, params.ptime_ms, params.direction)
    lines = [
        f"m=audio {port} {line.protocol} {body}"
        if line is media
        else f"m={line.kind} 0 {line.protocol} {line.formats[0]}\r\n"
        for line in session.media
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
    return f"{' '.join(formats)}\r\n{''.join(maps)}a=ptime:{ptime_ms}\r\na={direction.value}\r\n"


def _usable(session: SessionDescription, codecs: Sequence[Codec]) -> MediaDescription | None:
    """The first audio line that is neither refused nor secured and has one of the codecs."""
    for media in session.media:
        if (
            media.kind == "audio"
            and media.port
            and media.protocol.upper() in _PROTOCOLS
            and chosen(media, codecs)
        ):
            return media
    return None


def _params(
    session: SessionDescription,
    media: MediaDescription,
    codecs: Sequence[Codec],
    wanted: Direction,
    learn_address: bool,
    signalling_address: str,
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
        if direction.value in attributes:
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
