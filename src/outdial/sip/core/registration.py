"""Registering with a carrier (RFC 3261 section 10): one binding, kept until it is taken back.

The registration says when it wants to be sent (`Due`) and is then given the addresses of the
registrar, best first, which only the shell can look up. What becomes of it comes as `Standing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum
from typing import TYPE_CHECKING, Literal

from outdial.errors import RemoteProtocolError
from outdial.frozen import frozen
from outdial.sip.core.authorization import Authorization, Credentials
from outdial.sip.core.fields import parse_delta
from outdial.sip.core.hop import UNREACHABLE, Hop
from outdial.sip.core.machines import Event
from outdial.sip.core.message import Response
from outdial.sip.core.outline import ALLOW, Outline, contact, field
from outdial.sip.core.timers import Timer
from outdial.sip.core.transaction import ClientTransaction, Trace
from outdial.sip.core.uri import Uri

if TYPE_CHECKING:
    from outdial.sip.core.agent import Agent

MAX_RETRY_AFTER_S = 3600.0
"""However long a registrar says to stay away: a slip of its must not keep calls out for ever."""
_LONGEST_GRANT_S = 7 * 86_400
_LONGEST_MIN_EXPIRES_S = 86_400
_MAX_LONGER = 2
"""How often 423 is followed in one attempt."""
_FIRST_RETRY_S = 5.0
_LAST_RETRY_S = 300.0
_FIRST_RETRY_OF_REJECTED_S = 60.0
_LAST_RETRY_OF_REJECTED_S = 3600.0
_FIRST_RETURN_S = 2.0
"""How soon a lost connection is made again, unless it does not last."""
_SHORT_LIVED_S = 30.0
_PATIENCE_T1 = 10
"""How many T1 an address may be silent while there is another one: 5 s."""
_TRANSIENT = frozenset((408, 430, 480, 491))
"""Of the 4xx those that say nothing about us; all 5xx are like them."""


@frozen
class Binding:
    """What is registered where."""

    registrar: str
    """Request-URI: the domain, without a user (section 10.2)."""
    address: str
    """The address-of-record: From and To."""
    expires_s: int
    """Asked for."""
    contact_user: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    """Further header fields."""
    is_query: bool = False
    """Nothing is to be registered: the registrar is asked once whether it knows us (section
    10.2.3)."""


@frozen
class Due:
    """It is time for `Registration.attempt`, or for `failed` if there is no address."""


@frozen
class Standing:
    """How the registration stands now."""

    status: Literal["registering", "registered", "rejected", "down", "ended"]
    """rejected: the registrar does not want us; down: it does not answer, or cannot; ended: it was
    taken back, or could not be."""
    code: int | None = None
    """Of the registrar's answer; None: there was none."""
    reason: str = ""
    hop: Hop | None = None
    """Who was asked."""
    rtt_s: float | None = None
    expires_s: float | None = None
    """Granted, from now on."""
    retry_in_s: float | None = None
    problem: str = ""
    """For a person."""


class _What(IntEnum):
    DUE = 1
    EXPIRED = 2
    SILENT = 3


class Registration:
    """One binding of one of our addresses. All of its requests share a Call-ID, and their CSeq
    grows (section 10.2.4)."""

    __slots__ = (
        "_agent", "_authorization", "_binding", "_call_id", "_contact", "_cseq", "_expires_s",
        "_expiry", "_failures", "_hop", "_hops", "_is_ending", "_is_registered", "_longer",
        "_losses", "_patience", "_routes", "_sent_at", "_tag", "_timer", "_trace", "_transaction",
    )  # fmt: skip

    def __init__(self, agent: Agent, binding: Binding, trace: Trace | None = None) -> None:
        self._agent = agent
        self._binding = binding
        self._trace = trace
        self._authorization = Authorization(None, agent.token)
        """Kept for all requests: a refresh shows its digest at once."""
        self._call_id = agent.token()
        self._tag = agent.token()
        self._cseq = 0
        self._expires_s = binding.expires_s
        """What is asked for, more than the settings say once 423 has said so."""
        self._longer = 0
        self._contact: Uri | None = None
        self._hop: Hop | None = None
        """Where the last request went."""
        self._routes: tuple[str, ...] = ()
        self._hops: list[Hop] = []
        """Where else the registrar is."""
        self._transaction: ClientTransaction | None = None
        self._timer: Timer | None = None
        self._expiry: Timer | None = None
        self._patience: Timer | None = None
        """With the registrar's address that was asked, while there is another one."""
        self._sent_at = 0.0
        self._failures = 0
        """In a row."""
        self._losses = 0
        """Connections in a row, each of which broke soon after the one before."""
        self._is_registered = False
        self._is_ending = False

    @property
    def is_registered(self) -> bool:
        """Whether the last attempt made a binding."""
        return self._is_registered

    # ------------------------------------------------------------ for the shell

    def start(self) -> None:
        """`Due` follows at once."""
        self._emit(Standing("registering"))
        self._agent.emit(self, Due())

    def attempt(
        self,
        hops: Sequence[Hop],
        credentials: Credentials | None = None,
        routes: tuple[str, ...] = (),
    ) -> None:
        """Sends REGISTER to the first of the addresses, to the others while nobody answers.
        `routes` are the values of Route."""
        if self._is_ending or self._transaction is not None or not hops:
            return
        self._authorization.credentials = credentials
        self._routes = routes
        self._longer = 0
        self._authorization.settled("REGISTER")
        self._hops = list(hops[1:])
        self._send(hops[0])

    def failed(self, problem: str) -> None:
        """There is nowhere to send it to; it is tried again later."""
        if not self._is_ending:
            self._fail(None, problem)

    def lost(self, host: str, port: int) -> None:
        """The connection to that address is gone. What was registered over it is registered again
        at once: over this connection its calls came."""
        hop = self._hop
        if (
            hop is not None
            and hop.reliable
            and (hop.host, hop.port) == (host, port)
            and self._is_registered
            and self._transaction is None
            and not self._is_ending
        ):
            self._is_registered = False
            self._agent.timers.stop(self._expiry)
            if self._agent.now - self._sent_at > _SHORT_LIVED_S:
                self._losses = 0
            self._emit(Standing("registering", hop=hop, problem="the connection was lost"))
            delay = _FIRST_RETURN_S * 4.0 ** min(self._losses, 10)
            self._losses += 1
            self._again_in(self._jittered(min(delay, _LAST_RETRY_S)))

    def end(self) -> None:
        """Takes the binding back; `Standing` "ended" follows when that is answered, or at once if
        there is none."""
        if self._is_ending:
            return
        self._is_ending = True
        self._agent.timers.stop(self._timer)
        self._agent.timers.stop(self._expiry)
        self._agent.timers.stop(self._patience)
        if self._hop is None or not (self._is_registered or self._transaction is not None):
            self._over()
        else:
            self._hops = []
            self._longer = 0
            self._authorization.settled("REGISTER")
            self._send(self._hop)

    def on_timer(self, what: int) -> None:
        """Time for the next attempt; or the binding has ended before it was refreshed."""
        if what == _What.DUE:
            self._timer = None
            self._agent.emit(self, Due())
        elif what == _What.SILENT:
            self._next_address()
        elif self._is_registered:
            self._is_registered = False
            problem = "it ran out while the registrar did not answer"
            self._emit(Standing("registering", hop=self._hop, problem=problem))

    def _next_address(self) -> None:
        """Whatever the one before still says comes too late."""
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            transaction.fire(Event.GIVE_UP)
        if self._hops:
            self._send(self._hops.pop(0))

    # ------------------------------------------------------------ REGISTER

    def _send(self, hop: Hop) -> None:
        agent, binding = self._agent, self._binding
        self._hop = hop
        self._cseq += 1
        where = contact(hop, binding.contact_user)
        self._contact = Uri.parse(where.strip("<>"))
        outline = Outline(
            uri=binding.registrar,
            hop=hop,
            branch=agent.branch(),
            routes=self._routes,
            from_=f"<{binding.address}>;tag={self._tag}",
            to=f"<{binding.address}>",
            call_id=self._call_id,
            cseq=self._cseq,
        )
        fields = f"Allow: {ALLOW}\r\nUser-Agent: {agent.name}\r\n"
        if not binding.is_query:
            expires = 0 if self._is_ending else self._expires_s
            fields += f"Contact: {where};expires={expires}\r\nExpires: {expires}\r\n"
        for name, value in binding.headers:
            fields += field(name, value)
        fields += self._authorization.fields("REGISTER", outline.uri, hop)
        self._sent_at = agent.now
        data = outline.encode("REGISTER", fields)
        self._transaction = agent.request(outline, "REGISTER", data, self, self._trace)
        agent.timers.stop(self._patience)
        if self._hops:
            due = agent.now + _PATIENCE_T1 * agent.timings.t1
            self._patience = agent.timers.start(due, self, _What.SILENT)

    def on_response(self, transaction: ClientTransaction, response: Response, source: Hop) -> None:
        """What the registrar says."""
        status = response.status
        if transaction is not self._transaction:
            return
        self._agent.timers.stop(self._patience)
        if status < 200:
            return
        self._transaction = None
        if self._answers(response, source):
            self._send(transaction.hop)
        elif self._is_ending:
            self._over()
        elif status < 300:
            self._succeed(response)
        elif status == 503 and self._hops:
            self._send(self._hops.pop(0))
        else:
            self._fail(response, self._in_words(response))

    def on_no_response(self, transaction: ClientTransaction, *, unreachable: bool) -> None:
        """Nobody there."""
        if transaction is not self._transaction:
            return
        self._agent.timers.stop(self._patience)
        self._transaction = None
        if self._is_ending:
            self._over()
        elif self._hops:
            self._send(self._hops.pop(0))
        else:
            self._fail(None, self._silence(transaction.hop, unreachable=unreachable))

    def _answers(self, response: Response, source: Hop) -> bool:
        """Whether the same request is worth another try: with a digest, or for longer."""
        if response.status == 423:
            wanted = _delta(response, "Min-Expires")
            if wanted is None or not self._expires_s < wanted <= _LONGEST_MIN_EXPIRES_S:
                return False
            self._longer += 1
            self._expires_s = wanted
            return self._longer <= _MAX_LONGER and not self._is_ending
        return self._authorization.takes(response, source)

    def _succeed(self, response: Response) -> None:
        agent = self._agent
        taken = Standing(
            "registered",
            response.status,
            response.reason,
            self._hop,
            agent.now - self._sent_at,
        )
        if self._binding.is_query:
            self._emit(taken)
            return
        granted = self._granted(response)
        if granted <= 0:
            self._fail(response, "the registrar took the REGISTER and keeps no binding of it")
            return
        self._authorization.settled("REGISTER")
        self._failures = 0
        self._is_registered = True
        agent.timers.stop(self._expiry)
        self._expiry = agent.timers.start(agent.now + granted, self, _What.EXPIRED)
        spare = min(granted / 2, max(5.0, granted * (0.1 + 0.1 * agent.fraction())))
        self._again_in(max(1.0, granted - spare))
        self._emit(replace(taken, expires_s=granted))

    def _granted(self, response: Response) -> float:
        """How long our own binding lasts: the 200 lists all that there are of the address
        (section 10.3, step 8), and some registrars write down another contact than ours."""
        contacts = response.contacts
        own = [one for one in contacts if self._contact and one.uri.equivalent(self._contact)]
        if not own and len(contacts) == 1:
            own = contacts
        said = own[0].params.get("expires") if own else None
        seconds = int(said) if said and said.isascii() and said.isdigit() else None
        if seconds is None:
            seconds = _delta(response, "Expires")
        return float(min(self._expires_s if seconds is None else seconds, _LONGEST_GRANT_S))

    def _fail(self, response: Response | None, problem: str) -> None:
        """Another attempt comes later, each time much later than the one before."""
        status = None if response is None else response.status
        is_rejected = status is not None and 200 <= status < 700 and not _is_transient(status)
        first, last = (
            (_FIRST_RETRY_OF_REJECTED_S, _LAST_RETRY_OF_REJECTED_S)
            if is_rejected
            else (_FIRST_RETRY_S, _LAST_RETRY_S)
        )
        delay = self._jittered(min(last, first * 2.0 ** min(self._failures, 20)))
        asked = None if response is None else response.retry_after_s
        if asked:
            delay = max(1.0, min(asked, MAX_RETRY_AFTER_S)) * (1 + 0.1 * self._agent.fraction())
        self._failures += 1
        self._is_registered = False
        self._agent.timers.stop(self._expiry)
        self._again_in(delay)
        self._emit(
            Standing(
                "rejected" if is_rejected else "down",
                status,
                "" if response is None else response.reason,
                self._hop,
                None if response is None else self._agent.now - self._sent_at,
                retry_in_s=delay,
                problem=problem,
            )
        )

    def _over(self) -> None:
        self._is_registered = False
        self._emit(Standing("ended", hop=self._hop))
        self._agent.registrations.discard(self)

    def _again_in(self, delay_s: float) -> None:
        timers = self._agent.timers
        timers.stop(self._timer)
        self._timer = timers.start(self._agent.now + delay_s, self, _What.DUE)

    def _jittered(self, seconds: float) -> float:
        """Somewhere in its upper half: whom one failure hit at once shall not come back at once
        (RFC 5626 section 4.5)."""
        return seconds * (0.5 + 0.5 * self._agent.fraction())

    def _silence(self, hop: Hop, *, unreachable: bool) -> str:
        if not unreachable:
            return f"no answer from {hop.peer}"
        why = self._agent.trouble
        return f"nobody listens at {hop.peer}" + ("" if why == UNREACHABLE else f": {why}")

    def _in_words(self, response: Response) -> str:
        status = response.status
        said = f"{status} {response.reason}".rstrip()
        if status in (401, 407):
            if self._authorization.credentials is None:
                return f"{said}: it wants a user name and a password"
            return f"{said}: it does not take the user name and password"
        if 300 <= status < 400:
            return f"{said}: it wants us to register elsewhere"
        if status == 423:
            return f"{said}: no registration is long enough for it"
        return said

    def _emit(self, standing: Standing) -> None:
        self._agent.emit(self, standing)


def _is_transient(status: int) -> bool:
    return status in _TRANSIENT or 500 <= status < 600


def _delta(response: Response, name: str) -> int | None:
    """Seconds in that header; None: it is not there, or malformed."""
    text = response.headers.get(name)
    try:
        return None if text is None else parse_delta(text, name)[0]
    except RemoteProtocolError:
        return None


class Registrations:
    """Those of an agent."""

    __slots__ = ("_agent", "_all")

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._all: set[Registration] = set()

    def start(self, binding: Binding, trace: Trace | None = None) -> Registration:
        """Keeps a binding with a registrar; a `Due` follows, and `Standing`s."""
        registration = Registration(self._agent, binding, trace)
        self._all.add(registration)
        registration.start()
        return registration

    def lost(self, host: str, port: int) -> None:
        """A connection is gone."""
        for registration in self._all:
            registration.lost(host, port)

    def discard(self, registration: Registration) -> None:
        """It is over."""
        self._all.discard(registration)

    def __len__(self) -> int:
        return len(self._all)
