"""MESSAGE outside of calls (RFC 3428): a text for somebody, and whether the next hop took it."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from outdial.frozen import frozen
from outdial.messages import MessageResult
from outdial.sip.core.authorization import Authorization, Credentials
from outdial.sip.core.hop import Hop
from outdial.sip.core.message import Response
from outdial.sip.core.outline import Outline, field
from outdial.sip.core.transaction import ClientTransaction, Trace

if TYPE_CHECKING:
    from outdial.sip.core.agent import Agent

MOST_BYTES = 1300
"""Of a whole request, section 8: there may be a hop over UDP further on, whatever our own is."""
FIELDS_BYTES = 700
"""Of these left to all that is not the text, credentials included; a longer head takes more."""
_TYPE = "Content-Type: text/plain;charset=UTF-8\r\n"
_JOINER = "\u200d"


@frozen
class InstantMessage:
    """What a MESSAGE says, resolved down to the address that it goes to."""

    call_id: str
    uri: str
    """Request-URI and To."""
    from_: str
    """From value without tag."""
    hop: Hop
    text: bytes
    """UTF-8."""
    routes: tuple[str, ...] = ()
    """Values of Route: the proxies that it goes by."""
    credentials: Credentials | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """Who sends it, besides From."""


class Sending:
    """One MESSAGE until its final response. A `MessageResult` follows as the only event.

    There is no Contact (section 4), a 3xx is not followed, and nothing is sent a second time but
    with credentials after a challenge.
    """

    __slots__ = ("_agent", "_authorization", "_cseq", "_from", "_message", "_sent_at", "_trace")

    def __init__(self, agent: Agent, message: InstantMessage, trace: Trace | None) -> None:
        self._agent = agent
        self._message = message
        self._trace = trace
        self._authorization = Authorization(message.credentials, agent.token)
        self._from = f"{message.from_};tag={agent.token()}"
        self._cseq = 0
        self._sent_at = 0.0

    def send(self) -> None:
        """Sends it, the first time or with credentials."""
        agent, message = self._agent, self._message
        self._cseq += 1
        outline = Outline(
            uri=message.uri,
            hop=message.hop,
            branch=agent.branch(),
            routes=message.routes,
            from_=self._from,
            to=f"<{message.uri}>",
            call_id=message.call_id,
            cseq=self._cseq,
        )
        fields = f"User-Agent: {agent.name}\r\n{_TYPE}"
        for name, value in message.headers:
            fields += field(name, value)
        fields += self._authorization.fields("MESSAGE", outline.uri, outline.hop, message.text)
        self._sent_at = agent.now
        data = outline.encode("MESSAGE", fields, message.text)
        agent.request(outline, "MESSAGE", data, self, self._trace)

    def on_response(self, transaction: ClientTransaction, response: Response, source: Hop) -> None:
        """A provisional response changes nothing; a challenge is answered; the rest is the end."""
        status = response.status
        if status < 200:
            return
        if status in (401, 407) and self._authorization.takes(response, source):
            self.send()
            return
        if status in (400, 403):
            self._authorization.refused()
        self._agent.emit(
            self, MessageResult(status, response.reason, not_taken=_is_refusal(status))
        )

    def on_no_response(self, transaction: ClientTransaction, *, unreachable: bool) -> None:
        """Nobody there. Whether the message was taken is certain only while one copy was sent."""
        agent = self._agent
        if unreachable:
            alone = agent.now - self._sent_at < agent.timings.t1
            result = MessageResult(503, agent.trouble, local=True, not_taken=alone)
        else:
            result = MessageResult(408, "Request Timeout", local=True)
        agent.emit(self, result)


def _is_refusal(status: int) -> bool:
    """Whether somebody else may take what this peer did not: the fault is its own, and certain.

    Not 408, 500 or 504: behind a proxy that says so there may be a phone that has it.
    """
    return status in (401, 403, 405, 407, 501, 503)


def room_bytes(head_bytes: int) -> int:
    """How much text one MESSAGE holds whose other parts take so many bytes, without credentials."""
    return MOST_BYTES - max(FIELDS_BYTES, head_bytes + 350)


def split(text: str, most_bytes: int) -> list[str]:
    """The text in pieces that are no longer in UTF-8, cut between words where that is possible.

    What belongs to one character (accents, joined emoji) stays together. White space at a cut is
    left out. `most_bytes` must be enough for a character with all that belongs to it.
    """
    if len(text.encode()) <= most_bytes:
        return [text]
    pieces = []
    rest = text.strip()
    while len(rest.encode()) > most_bytes:
        cut = _last_cut(rest, most_bytes)
        pieces.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*pieces, rest] if rest else pieces


def _last_cut(text: str, most_bytes: int) -> int:
    """Where the longest first piece ends."""
    size = end = space = 0
    for place, letter in enumerate(text):
        if size + len(letter.encode()) > most_bytes:
            break
        size += len(letter.encode())
        end = place + 1
        if letter.isspace():
            space = end
    else:
        return end
    if space > end // 2:
        return space
    whole = end
    while whole > 1 and _is_joined(text, whole):
        whole -= 1
    return whole if whole > 1 else end


def _is_joined(text: str, place: int) -> bool:
    """Whether a cut in front of that character would part what is one to the reader."""
    letter = text[place]
    return (
        unicodedata.combining(letter) != 0
        or letter == _JOINER
        or text[place - 1] == _JOINER
        or unicodedata.category(letter) in ("Mn", "Me")  # variation selectors too
        or "\U0001f3fb" <= letter <= "\U0001f3ff"  # skin tones
    )
