"""The user agent: messages in, messages out, events out, with the time as an argument.

It holds all transactions and calls, finds the one that a message belongs to, and refuses whatever
belongs to none. Requests outside calls are answered without keeping state: see `stateless`.
"""

from __future__ import annotations

from collections.abc import Callable

from outdial.errors import LocalProtocolError, RemoteProtocolError
from outdial.frozen import frozen
from outdial.legs import Rejected, SignallingEvent
from outdial.messages import MessageResult
from outdial.sip.core.authorization import Credentials
from outdial.sip.core.counts import Caps, Counters, Drop, OnDrop, Tally
from outdial.sip.core.dialog_data import DialogData
from outdial.sip.core.entrance import Entrance
from outdial.sip.core.guard import Accounts
from outdial.sip.core.hop import UNREACHABLE, Hop
from outdial.sip.core.instant_message import InstantMessage, Sending
from outdial.sip.core.invite_client import Invitation, OutgoingCall
from outdial.sip.core.invite_server import IncomingCall
from outdial.sip.core.machines import Event, State
from outdial.sip.core.matching import server_key
from outdial.sip.core.message import Request, Response
from outdial.sip.core.orphans import TOO_LATE, Orphans
from outdial.sip.core.outline import ALLOW, Outline
from outdial.sip.core.parser import parse_message
from outdial.sip.core.peer import SOMEBODY, Peer
from outdial.sip.core.probe import Probe, ProbeResult
from outdial.sip.core.registration import Due, Registration, Registrations, Standing
from outdial.sip.core.replacing import is_misplaced
from outdial.sip.core.response import ResponseHead
from outdial.sip.core.session import capability_fields
from outdial.sip.core.stateless import (
    answer_options,
    deny,
    refusal_of,
    refuse_malformed,
    reply,
    way_back,
)
from outdial.sip.core.timers import TimerHeap, Timings
from outdial.sip.core.transaction import (
    ClientTransaction,
    ClientUser,
    ServerTransaction,
    Trace,
    Transaction,
    TransactionKey,
)

_BUSY_S = 5
TOO_MANY = "Too Many Calls"
"""The reason of a 503 of our own: no target is to blame for it."""


@frozen
class Invited:
    """A call towards us: `ring`, `accept` or `reject` it. `raw` is the INVITE."""

    raw: bytes


@frozen
class Outgoing:
    """A message to send."""

    data: bytes
    hop: Hop


Call = OutgoingCall | IncomingCall
Owner = Call | Probe | Sending | Registration
AgentEvent = SignallingEvent | Invited | ProbeResult | MessageResult | Due | Standing


class Agent:
    """A SIP user agent without sockets. Call `receive` and `handle_timer`, then send what
    `outgoing` gives, deliver what `events` gives, and come back at `next_timer`."""

    def __init__(
        self,
        *,
        token: Callable[[], str],
        name: str = "Outdial",
        timings: Timings | None = None,
        session_expires_s: int = 1800,
        caps: Caps | None = None,
        takes_invites: bool = False,
        accepts: Callable[[str], bool] | None = None,
        refuses_strangers: bool = False,
        credentials_of: Callable[[str], Credentials | None] = lambda host: None,
        accounts_of: Callable[[str], Accounts | None] = lambda host: None,
        peer_of: Callable[[str, str], Peer] = lambda host, account: SOMEBODY,
        on_drop: OnDrop = lambda why, source, method: None,
    ) -> None:
        """`token` gives 16 or more random hexadecimal digits; `accepts` says for an address
        whether requests outside calls may come from it (none may without it; `refuses_strangers`
        says whether others get an answer), `accounts_of` what its calls must show one of,
        `peer_of` what the owner says of it (and of the user name that a call showed),
        `credentials_of` what may be shown to it when it challenges us in a call of an earlier
        process."""
        self.token = token
        self.name = name
        self.timings = timings or Timings()
        self.session_expires_s = session_expires_s
        self.caps = caps or Caps()
        self.takes_invites = takes_invites
        self.accepts = accepts
        self.refuses_strangers = refuses_strangers
        self.on_drop = on_drop
        self.credentials_of = credentials_of
        self.peer_of = peer_of
        self.now = 0.0
        self.held_bytes = 0
        self.trouble = UNREACHABLE
        """While requests fail because nothing can be sent: why, in words."""
        self.timers = TimerHeap()
        self.capabilities = capability_fields(name)
        self._clients: dict[TransactionKey, ClientTransaction] = {}
        self._servers: dict[TransactionKey, ServerTransaction] = {}
        self._calls: dict[str, Call] = {}
        """By our tag."""
        self.call_of: Callable[[str], Call | None] = self._calls.get
        """The call with that tag of ours."""
        self._entrance = Entrance(self, accounts_of)
        self.registrations = Registrations(self)
        self._orphans = Orphans(self)
        self._outgoing: list[Outgoing] = []
        self._events: list[tuple[Owner, AgentEvent]] = []
        self._dropped: dict[Drop, int] = {
            "malformed": 0, "denied": 0, "strays": 0, "overload": 0, "unauthorized": 0
        }  # fmt: skip

    # ------------------------------------------------------------ for the shell

    def receive(self, data: bytes, source: Hop, now: float) -> None:
        """Takes one whole message. Nothing that it contains raises."""
        self.now = now
        try:
            message = parse_message(data)
            if isinstance(message, Response):
                self._on_response(message, source, data)
            else:
                self._on_request(message, source, data)
        except RemoteProtocolError as error:
            self.throw_away("malformed", source)
            refuse_malformed(self, data, source, error.status_hint)

    def outgoing(self) -> list[Outgoing]:
        """The messages to send now, in order; each is given once."""
        messages, self._outgoing = self._outgoing, []
        return messages

    def events(self) -> list[tuple[Owner, AgentEvent]]:
        """What happened to whom, in order; each is given once."""
        events, self._events = self._events, []
        return events

    @property
    def has_events(self) -> bool:
        """Whether `events` would give any."""
        return bool(self._events)

    def next_timer(self) -> float | None:
        """When `handle_timer` is due."""
        return self.timers.next()

    def handle_timer(self, now: float) -> None:
        """Does what is due."""
        self.now = now
        self.timers.fire(now)

    def transport_failed(
        self, host: str, port: int, now: float, why: str = "", security: object = None
    ) -> None:
        """Nothing can be sent there (ICMP, refused connection): requests under way fail.

        With `security` only those whose hop has the same.
        """
        self.now = now
        self.trouble = why or UNREACHABLE
        for transaction in list(self._clients.values()):
            hop = transaction.hop
            if hop.port == port and hop.host == host and hop.security is security:
                transaction.fire(Event.TRANSPORT_ERROR)
        self.registrations.lost(host, port)

    def counters(self) -> Counters:
        """What is held now."""
        calls = list(self._calls.values())
        early = sum(
            len(call.early) if isinstance(call, OutgoingCall) else int(call.early) for call in calls
        )
        return Counters(
            client_transactions=len(self._clients),
            server_transactions=len(self._servers),
            calls=len(calls),
            dialogs=sum(call.session is not None for call in calls),
            early_dialogs=early,
            timers=self.timers.live,
            transaction_bytes=self.held_bytes,
        )

    def tally(self) -> Tally:
        """What was thrown away, and released."""
        return Tally(**self._dropped, orphans=self._orphans.count)

    # ------------------------------------------------------------ what we start

    def invite(
        self, invitation: Invitation, now: float, trace: Trace | None = None
    ) -> OutgoingCall:
        """Calls somebody. Every failure comes as an event, also one that is known at once."""
        self.now = now
        call = OutgoingCall(self, invitation, trace)
        if not self.has_room:
            self.emit(call, Rejected(503, TOO_MANY, local=True))
            return call
        self.hold(call)
        try:
            call.invite()
        except LocalProtocolError as error:
            self.drop(call)
            self.emit(call, Rejected(400, str(error), local=True))
        return call

    def release(
        self,
        data: DialogData,
        hop: Hop,
        credentials: Credentials | None,
        now: float,
        trace: Trace | None = None,
    ) -> None:
        """Ends a call of an earlier process; nobody is told. Raises ValueError for bad data."""
        self.now = now
        self._orphans.release(data, hop, credentials, trace)

    def probe(
        self,
        uri: str,
        hop: Hop,
        now: float,
        routes: tuple[str, ...] = (),
        trace: Trace | None = None,
    ) -> Probe:
        """Sends OPTIONS; a ProbeResult follows."""
        self.now = now
        probe = Probe(self)
        probe.send(uri, hop, routes, trace)
        return probe

    def message(self, message: InstantMessage, now: float, trace: Trace | None = None) -> Sending:
        """Sends a MESSAGE; a MessageResult follows."""
        self.now = now
        sending = Sending(self, message, trace)
        if self.has_room:
            sending.send()
        else:
            self.emit(sending, MessageResult(503, TOO_MANY, local=True, not_taken=True))
        return sending

    # ------------------------------------------------------------ for the parts of the agent

    @property
    def has_room(self) -> bool:
        """Whether one more call can be held."""
        return len(self._calls) < self.caps.calls and len(self._clients) < self.caps.transactions

    @property
    def is_busy(self) -> bool:
        """Whether there is a call, or a request that is answered or still remembered."""
        return bool(self._calls or self._clients or self._servers)

    @property
    def is_full(self) -> bool:
        """Whether no further request to us can be held."""
        caps = self.caps
        return len(self._servers) >= caps.transactions or self.held_bytes >= caps.transaction_bytes

    def _has_room_for(self, method: str) -> bool:
        """Whether a request inside a call can be held. One that ends it is what makes room again: a
        BYE that is refused would leave a call up that nobody is in. There is as much room above the
        caps as there may be calls, and no more: not every BYE ends one."""
        if not self.is_full:
            return True
        caps = self.caps
        return (
            method == "BYE"
            and len(self._servers) < caps.transactions + caps.calls
            and self.held_bytes < 2 * caps.transaction_bytes
        )

    @property
    def may_be_called(self) -> bool:
        """Whether one more call to us can be held."""
        return len(self._calls) < self.caps.calls and not self.is_full

    def is_peer(self, host: str) -> bool:
        """Whether requests outside calls may come from there."""
        return self.accepts is not None and self.accepts(host)

    def hold(self, call: Call) -> None:
        """Requests with the call's tag are its own from now on."""
        self._calls[call.local_tag] = call

    def branch(self) -> str:
        """A new branch."""
        return f"z9hG4bK{self.token()}"

    def fraction(self) -> float:
        """A random number from 0 to 1."""
        return int(self.token()[:8], 16) / 0x1_0000_0000

    def send(self, data: bytes, hop: Hop, trace: Trace | None) -> None:
        """Queues a message."""
        self._outgoing.append(Outgoing(data, hop))
        if trace is not None:
            trace(True, hop, data)

    def request(
        self, outline: Outline, method: str, data: bytes, user: ClientUser, trace: Trace | None
    ) -> ClientTransaction:
        """Starts a client transaction."""
        transaction = ClientTransaction(self, outline, method, data, user, trace)
        self._clients[transaction.key] = transaction
        transaction.start()
        return transaction

    def resume(self, outline: Outline, user: ClientUser, trace: Trace | None) -> ClientTransaction:
        """The client transaction of an INVITE that an earlier process sent."""
        transaction = ClientTransaction(self, outline, "INVITE", b"", user, trace)
        self._clients[transaction.key] = transaction
        transaction.resume()
        return transaction

    def serve(
        self, key: TransactionKey, request: Request, source: Hop, trace: Trace | None
    ) -> ServerTransaction:
        """Starts a server transaction."""
        head = ResponseHead(request, source)
        hop = way_back(self, request, source)
        transaction = ServerTransaction(self, key, request, head, hop, trace)
        self._servers[key] = transaction
        return transaction

    def overload(self, request: Request, source: Hop) -> None:
        """Refuses a request that there is no room for."""
        self._dropped["overload"] += 1
        reply(self, request, source, 503, f"Retry-After: {_BUSY_S}\r\n")

    def emit(self, owner: Owner, event: AgentEvent) -> None:
        """Queues an event."""
        self._events.append((owner, event))

    def forget(self, transaction: Transaction) -> None:
        """A transaction is terminated."""
        if isinstance(transaction, ClientTransaction):
            self._clients.pop(transaction.key, None)
        elif isinstance(transaction, ServerTransaction):
            self._servers.pop(transaction.key, None)
            self.held_bytes -= transaction.held_bytes
            transaction.held_bytes = 0
            if transaction.merge_key is not None:
                self._entrance.invites.discard(transaction.merge_key)

    def drop(self, call: Call) -> None:
        """A call is over; requests for it get 481 from now on."""
        self._calls.pop(call.local_tag, None)

    def throw_away(self, why: Drop, source: Hop, method: str = "") -> None:
        """A message comes to nothing: it is counted, and whoever wants to know is told."""
        self._dropped[why] += 1
        self.on_drop(why, source, method)

    def refuse_method(self, transaction: ServerTransaction) -> None:
        """For a method that is not taken within a call."""
        transaction.respond(refusal_of(transaction.method), "", f"Allow: {ALLOW}\r\n")

    # ------------------------------------------------------------ responses

    def _on_response(self, response: Response, source: Hop, data: bytes) -> None:
        branch = response.top_via.branch
        transaction = self._clients.get((branch or "", response.cseq.method))
        success = response.cseq.method == "INVITE" and 200 <= response.status < 300
        if success and transaction is not None and transaction.state is State.COMPLETED:
            # Section 16.7 step 5: a proxy passes a 2xx on even behind another final response.
            # Whoever has answered would repeat it in vain, and pay for a call with nobody in it.
            self._orphans.on_success(response, source, TOO_LATE)
        elif transaction is None:
            if not (success and self._on_late_success(response, source, data)):
                self.throw_away("strays", source)
        else:
            if transaction.trace is not None:
                transaction.trace(False, source, data)
            transaction.receive(response, source)

    def _on_late_success(self, response: Response, source: Hop, data: bytes) -> bool:
        """A 2xx whose INVITE is no longer under way, or was another process's."""
        call = self._calls.get(response.from_.tag or "")
        if not isinstance(call, OutgoingCall) or call.call_id != response.call_id:
            return self._orphans.on_success(response, source)
        if not call.has_sent(response.top_via.branch):  # it was sent to a target given up since
            return self._orphans.on_success(response, source)
        if call.trace is not None:
            call.trace(False, source, data)
        call.on_late_success(response, source)
        return True

    # ------------------------------------------------------------ requests

    def _on_request(self, request: Request, source: Hop, data: bytes) -> None:
        method = request.method
        key = server_key(request, "INVITE" if method == "ACK" else method)
        transaction = self._servers.get(key)
        if transaction is not None:
            if transaction.trace is not None:
                transaction.trace(False, source, data)
            if method == "ACK":
                transaction.ack(request)
            else:
                transaction.repeated()
            return
        tag = request.to.tag
        call = self._calls.get(tag) if tag is not None else None
        if method == "ACK":
            self._on_ack(call, request, source, data)
        elif method == "CANCEL":
            self._on_cancel(request, source, data)
        elif call is not None:
            self._on_dialog_request(call, key, request, source, data)
        elif not self.is_peer(source.host):
            deny(self, request, source, data)
        elif tag is not None:
            reply(self, request, source, 481)
        elif method == "INVITE":
            invited = self._entrance.take(key, request, source)
            if invited is not None:
                self._calls[invited.local_tag] = invited
                self.emit(invited, Invited(data))
        elif method == "OPTIONS":
            answer_options(self, request, source)
        else:
            reply(self, request, source, refusal_of(method), f"Allow: {ALLOW}\r\n")

    def _on_ack(self, call: Call | None, request: Request, source: Hop, data: bytes) -> None:
        if call is None or call.call_id != request.call_id:
            self._dropped["strays"] += 1
            if not self.is_peer(source.host):  # a peer acknowledges our stateless refusals
                self.on_drop("strays", source, "")
            return
        if call.trace is not None:
            call.trace(False, source, data)
        call.on_ack(request)

    def _on_cancel(self, request: Request, source: Hop, data: bytes) -> None:
        """Section 9.2. Only from where the INVITE came: a branch is not a secret."""
        invite = self._servers.get(server_key(request, "INVITE"))
        if invite is None or invite.hop.host != source.host:
            if self.is_peer(source.host):
                reply(self, request, source, 481)
            else:
                deny(self, request, source, data)
            return
        if invite.trace is not None:
            invite.trace(False, source, data)
        user = invite.user
        if not self.is_full:
            cancel = self.serve(server_key(request, "CANCEL"), request, source, invite.trace)
            tag = user.local_tag if isinstance(user, IncomingCall) else ""
            cancel.respond(200, "", f"Server: {self.name}\r\n", tag=tag)
        else:  # ending calls is what makes room again
            reply(self, request, source, 200)
        if isinstance(user, IncomingCall):
            user.on_cancel(request)

    def _on_dialog_request(
        self, call: Call, key: TransactionKey, request: Request, source: Hop, data: bytes
    ) -> None:
        if not self._has_room_for(request.method):
            self.overload(request, source)
            return
        if call.trace is not None:
            call.trace(False, source, data)
        source = source.showing(call.peer.shown)
        transaction = self.serve(key, request, source, call.trace)
        if is_misplaced(request, call.policy):
            transaction.respond(400)
        else:
            call.on_request(transaction, request, source)
