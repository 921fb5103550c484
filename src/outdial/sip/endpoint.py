"""The user agent on real sockets: one asyncio shell round the pure core.

Datagrams go straight from the socket's callback through the agent to the listeners of the legs; no
task is made for a message, and one timer of the event loop serves all timers of the agent.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from math import ceil

from outdial import log
from outdial.clock import Clock, SystemClock
from outdial.config import Sip
from outdial.errors import ConfigError
from outdial.legs import Replacing, TracedMessage, TraceListener
from outdial.messages import MessageResult
from outdial.sip.core.agent import Agent, Invited
from outdial.sip.core.authorization import Credentials
from outdial.sip.core.bans import Bans
from outdial.sip.core.counts import Caps
from outdial.sip.core.dialog_data import DialogData
from outdial.sip.core.guard import Accounts
from outdial.sip.core.hop import Hop
from outdial.sip.core.instant_message import InstantMessage, Sending
from outdial.sip.core.invite_client import Invitation, OutgoingCall
from outdial.sip.core.invite_server import IncomingCall
from outdial.sip.core.parser import is_keep_alive
from outdial.sip.core.peer import SOMEBODY, Peer
from outdial.sip.core.probe import Probe, ProbeResult
from outdial.sip.core.registration import Binding, Due, Registration, Standing
from outdial.sip.core.stream import PING_BYTES
from outdial.sip.core.timers import Timings
from outdial.sip.leg import InboundLeg, Leg
from outdial.sip.sentry import Sentry
from outdial.sip.tcp import TcpPool
from outdial.sip.tls import SecurityAt, TlsPool
from outdial.sip.udp import UdpListener
from outdial.tls.contexts import ServerSecurity

_TICKS_IN_T1 = 20

OnInvite = Callable[[InboundLeg], None]

_log = log.get("sip")


def _tokens() -> Iterator[str]:
    """Draws 128 at a time: asking the system for each one costs several times as much."""
    while True:
        drawn = os.urandom(1024).hex()
        for start in range(0, 2048, 16):
            yield drawn[start : start + 16]


random_token: Callable[[], str] = _tokens().__next__
"""16 random hexadecimal digits."""


class SipEndpoint:
    """Sockets, the agent, and the listeners of its legs. Make it with `start`."""

    def __init__(
        self,
        settings: Sip,
        *,
        on_invite: OnInvite | None = None,
        accept_source: Callable[[str], bool] | None = None,
        clock: Clock | None = None,
        caps: Caps | None = None,
    ) -> None:
        self._settings = settings
        self._on_invite = on_invite
        self.accept_source = accept_source
        """Whether requests outside calls may come from an address; None: from nowhere."""
        self.credentials_of: Callable[[str], Credentials | None] = lambda host: None
        """What may be shown to an address that challenges us in a call of an earlier process."""
        self.accounts_of: Callable[[str], Accounts | None] = lambda host: None
        """What calls from an address must show one of; None: they are taken as they are."""
        self.is_contact_user: Callable[[str, str], bool] = lambda user, host: False
        """Whether calls from an address are addressed to that user because we are registered so,
        whoever is called."""
        self.peer_of: Callable[[str, str], Peer] = lambda host, account: SOMEBODY
        """What the owner says of the peer at an address with that user name."""
        self.is_own: Callable[[str], bool] = self._accepts
        """Whether an address is that of a peer of ours, which nothing can ban."""
        self.security_at: SecurityAt = lambda host: None
        """How a TLS connection to the trunk at an address is made."""
        self.clock = clock or SystemClock()
        self._loop = asyncio.get_running_loop()
        bans = Bans(settings.ban_after, settings.ban_s)
        self.sentry = Sentry(
            bans, self.clock, self._loop.time, lambda host: self.is_own(host), self._is_called
        )
        """Who is not listened to."""
        self.agent = Agent(
            token=random_token,
            name=settings.user_agent,
            timings=Timings(settings.t1_ms / 1000),
            session_expires_s=settings.session_expires_s,
            caps=caps,
            takes_invites=on_invite is not None,
            accepts=self._accepts,
            refuses_strangers=settings.strangers == "refuse",
            credentials_of=lambda host: self.credentials_of(host),
            accounts_of=lambda host: self.accounts_of(host),
            peer_of=lambda host, account: self.peer_of(host, account),
            on_drop=self.sentry.offended,
        )
        self.security: ServerSecurity | None = None
        """What we show to those who connect over TLS."""
        self._udp: dict[str, UdpListener] = {}
        self._tcp: dict[str, TcpPool] = {}
        self._tls: dict[str, TlsPool] = {}
        self._legs: dict[OutgoingCall | IncomingCall, Leg] = {}
        self._probes: dict[Probe, Callable[[ProbeResult], None]] = {}
        self._messages: dict[Sending, Callable[[MessageResult], None]] = {}
        self._registrations: dict[Registration, Callable[[Due | Standing], None]] = {}
        self._wakeup: asyncio.TimerHandle | None = None
        self._wakes_at = 0.0
        self._tick_s = settings.t1_ms / 1000 / _TICKS_IN_T1
        self._pumping = False
        self._closed = False

    @classmethod
    async def start(
        cls,
        settings: Sip,
        *,
        on_invite: OnInvite | None = None,
        accept_source: Callable[[str], bool] | None = None,
        clock: Clock | None = None,
        caps: Caps | None = None,
    ) -> SipEndpoint:
        """Binds every listener of `settings.listen`. Raises ConfigError when one cannot be bound.

        `on_invite` is given each call towards us, ringing not yet; without it, and for calls from
        addresses that `accept_source` does not know, INVITE gets 403.
        """
        endpoint = cls(
            settings, on_invite=on_invite, accept_source=accept_source, clock=clock, caps=caps
        )
        try:
            for listener in settings.listen:
                await endpoint._bind(listener)
        except ConfigError:
            await endpoint.close()
            raise
        return endpoint

    async def _bind(self, listener: str) -> None:
        transport, host, port = parse_listener(listener)
        shown = self._settings.public_address
        try:
            if transport == "udp":
                udp = await UdpListener.bind(host, port, shown, self._received, self._failed)
                self._udp[udp.local] = udp
            elif transport == "tcp":
                pool = TcpPool(self._received, self._failed, self._accepts, self.sentry)
                await pool.bind(host, port, shown)
                self._tcp[pool.local] = pool
            else:
                secret = self._tls_pool()
                await secret.bind(host, port, shown)
                self._tls[secret.local] = secret
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            remedy = "choose a free port" if in_use else "name an address of this machine"
            raise ConfigError(
                "sip.listen", f"{listener}: {error.strerror or error}", remedy
            ) from error

    def _tls_pool(self) -> TlsPool:
        """Raises ConfigError for a certificate that cannot be used."""
        settings = self._settings
        if settings.tls_certificate and self.security is None:
            self.security = ServerSecurity(
                "sip", settings.tls_certificate, settings.tls_key, settings.tls_client_ca
            )
        return TlsPool(
            self._received,
            self._failed,
            lambda host: self._accepts(host) or self._is_called(host),
            self.sentry,
            self.security,
            lambda host: self.security_at(host),
            takes_strangers=settings.strangers == "refuse",
        )

    @property
    def listeners(self) -> list[str]:
        """What is bound, as in the settings but with the real ports."""
        bound = [("udp", udp.address) for udp in self._udp.values()]
        bound += [(pool.transport, pool.address) for pool in self._pools()]
        return [f"{name}:{_bracketed(host)}:{port}" for name, (host, port) in bound]

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the first UDP listener, or of the first one."""
        for listener in self._listeners():
            return listener.address
        raise ConfigError("sip.listen", "is empty", "udp:host:port")

    @property
    def connections(self) -> int:
        """TCP and TLS connections that are open."""
        return sum(pool.connections for pool in self._pools())

    def handshakes(self) -> Counter[str]:
        """How TLS handshakes ended, by the kind of trouble; "ok": well."""
        return sum((pool.handshakes for pool in self._tls.values()), Counter())

    def _pools(self) -> list[TcpPool]:
        return [*self._tcp.values(), *self._tls.values()]

    def _listeners(self) -> list[UdpListener | TcpPool]:
        return [*self._udp.values(), *self._pools()]

    def hop(self, transport: str, host: str, port: int, security: object = None) -> Hop | None:
        """The way to an address, from a listener of that transport and address family.

        `security` is what `Hop.security` says."""
        for listener in self._of(transport).values():
            if (":" in listener.address[0]) == (":" in host):
                return Hop(transport, host, port, listener.local, security)
        return None

    def places(self) -> list[tuple[str, str, str]]:
        """Of each listener the transport, the address that it is bound to, and what Via and Contact
        say of it."""
        found = [("udp", udp.address[0], udp.local) for udp in self._udp.values()]
        return found + [(pool.transport, pool.address[0], pool.local) for pool in self._pools()]

    # ------------------------------------------------------------ for plane and legs

    @property
    def now(self) -> float:
        """The time that the agent goes by."""
        return self._loop.time()

    def invite(self, leg: Leg, invitation: Invitation, trace: TraceListener | None) -> OutgoingCall:
        """Sends an INVITE for the leg."""
        wire_trace = None if trace is None else self.tracer(trace)
        self.sentry.lift(invitation.hop.host)  # or its answers would not be heard
        call = self.agent.invite(invitation, self.now, wire_trace)
        self._legs[call] = leg
        self.flush()
        return call

    def release(
        self,
        data: DialogData,
        hop: Hop,
        credentials: Credentials | None,
        trace: TraceListener | None,
    ) -> None:
        """Ends a call of an earlier process. Raises ValueError for data that cannot be used."""
        wire_trace = None if trace is None else self.tracer(trace)
        self.agent.release(data, hop, credentials, self.now, wire_trace)
        self.flush()

    def forget(self, call: OutgoingCall | IncomingCall) -> None:
        """The leg has had its terminal event."""
        self._legs.pop(call, None)

    def probe(
        self,
        uri: str,
        hop: Hop,
        done: Callable[[ProbeResult], None],
        routes: tuple[str, ...] = (),
        trace: TraceListener | None = None,
    ) -> None:
        """Sends OPTIONS; `done` is called once."""
        wire_trace = None if trace is None else self.tracer(trace)
        self._probes[self.agent.probe(uri, hop, self.now, routes, wire_trace)] = done
        self.flush()

    def register(
        self,
        binding: Binding,
        told: Callable[[Due | Standing], None],
        trace: TraceListener | None = None,
    ) -> Registration:
        """Keeps a binding; `told` is called whenever it is due, and with how it stands, the last
        time with "ended"."""
        self.agent.now = self.now
        wire_trace = None if trace is None else self.tracer(trace)
        registration = self.agent.registrations.start(binding, wire_trace)
        self._registrations[registration] = told
        self.flush()
        return registration

    def unregister(self, registration: Registration) -> None:
        """Takes the binding back."""
        self.agent.now = self.now
        registration.end()
        self.flush()

    def keep_alive(self, hop: Hop) -> None:
        """Two line ends to the peer (RFC 5626 sections 3.5.1 and 4.4.1): whatever stands between us
        and keeps count of who talks to whom does not forget us."""
        self.agent.send(PING_BYTES, hop, None)
        self.flush()

    def message(
        self,
        message: InstantMessage,
        done: Callable[[MessageResult], None],
        trace: TraceListener | None,
    ) -> None:
        """Sends MESSAGE; `done` is called once."""
        wire_trace = None if trace is None else self.tracer(trace)
        self._messages[self.agent.message(message, self.now, wire_trace)] = done
        self.flush()

    def tracer(self, trace: TraceListener) -> Callable[[bool, Hop, bytes], None]:
        """The listener as the agent calls it."""
        now = self.clock.now

        def traced(outgoing: bool, hop: Hop, data: bytes) -> None:
            trace(TracedMessage(now(), outgoing, hop.peer, hop.transport, data, hop.sent_by))

        return traced

    def flush(self) -> None:
        """After a leg was told something: sends at once, delivers events a little later."""
        if self._pumping:
            return
        self._send_all()
        if self.agent.has_events:
            self._loop.call_soon(self._pump)
        self._arm()

    # ------------------------------------------------------------ the shell

    def _accepts(self, host: str) -> bool:
        return self.accept_source is not None and self.accept_source(host)

    def _is_called(self, host: str) -> bool:
        """Whether a call to or from the address goes on."""
        return any(
            call.peer.host == host or (isinstance(call, IncomingCall) and call.source.host == host)
            for call in self._legs
        )

    def _received(self, data: bytes, source: Hop) -> None:
        if self.sentry.turns_away(source.host) or is_keep_alive(data):
            return
        try:
            self.agent.receive(data, source, self._loop.time())
        except Exception:  # a defect of ours: it may cost this message, not the socket
            _log.exception("a message raised", peer=source.peer)
        self._pump()

    def _failed(self, host: str, port: int, why: str = "", security: object = None) -> None:
        if not self._closed:
            self.agent.transport_failed(host, port, self._loop.time(), why, security)
            self._pump()

    def _of(self, transport: str) -> Mapping[str, UdpListener | TcpPool]:
        """The listeners of the transport, by what they show as our end."""
        if transport == "udp":
            return self._udp
        return self._tcp if transport == "tcp" else self._tls

    def _wake(self) -> None:
        self._wakeup = None
        self.agent.handle_timer(self._loop.time())
        self._pump()

    def _pump(self) -> None:
        """Sends and delivers until there is nothing left: listeners may cause more of both."""
        if self._pumping:
            return
        self._pumping = True
        try:
            self._send_all()
            while self.agent.has_events:
                for owner, event in self.agent.events():
                    self._deliver(owner, event)
                self._send_all()
        finally:
            self._pumping = False
        self._arm()

    def _send_all(self) -> None:
        for message in self.agent.outgoing():
            hop = message.hop
            of = self._udp if hop.transport == "udp" else self._of(hop.transport)
            listener = of.get(hop.local)
            if listener is not None:
                listener.send(message.data, hop)

    def _deliver(self, owner: object, event: object) -> None:
        try:
            leg = self._legs.get(owner)  # type: ignore[call-overload]
            if leg is not None:
                leg.deliver(event)
            elif isinstance(owner, IncomingCall) and isinstance(event, Invited):
                self._invited(owner, event)
            elif isinstance(owner, Probe) and isinstance(event, ProbeResult):
                self._probes.pop(owner)(event)
            elif isinstance(owner, Sending) and isinstance(event, MessageResult):
                self._messages.pop(owner)(event)
            elif isinstance(owner, Registration) and isinstance(event, Due | Standing):
                self._registered(owner, event)
        except Exception:
            _log.exception("a listener raised", event=repr(event)[:200])

    def _registered(self, registration: Registration, event: Due | Standing) -> None:
        told = self._registrations[registration]
        if isinstance(event, Standing) and event.status == "ended":
            del self._registrations[registration]
        told(event)

    def _invited(self, call: IncomingCall, event: Invited) -> None:
        if call.account:
            self.sentry.forgive(call.source.host)
        leg = self._legs[call] = InboundLeg(self, call, event.raw)
        if call.replaced is not None:
            self._replacing(leg, call.replaced)
            return
        try:
            if self._on_invite is not None:
                self._on_invite(leg)
        except Exception:
            leg.reject(500)
            raise

    def _replacing(self, leg: InboundLeg, replaced: OutgoingCall | IncomingCall) -> None:
        """Whoever has the leg of the other call takes this one in its place, or refuses it."""
        try:
            if (other := self._legs.get(replaced)) is not None:
                other.deliver(Replacing(leg))
        finally:
            leg.reject(481)  # unless it was answered

    def _arm(self) -> None:
        """One timer of the event loop; one that comes too early does no harm and is left.

        Timers wait for the next stroke of a clock that ticks twenty times in T1: every call leaves
        several behind, and to wake up for each costs more than what it does.
        """
        due = self.agent.next_timer()
        wakeup = self._wakeup
        if due is None or self._closed or (wakeup is not None and self._wakes_at <= due):
            return
        if wakeup is not None:
            wakeup.cancel()
        self._wakes_at = ceil(due / self._tick_s) * self._tick_s
        self._wakeup = self._loop.call_at(self._wakes_at, self._wake)

    async def close(self) -> None:
        """Closes the sockets. Calls that are still up are not told: hang them up before."""
        self._closed = True
        if self._wakeup is not None:
            self._wakeup.cancel()
        for listener in self._listeners():
            listener.close()
        await asyncio.sleep(0)


def parse_listener(text: str) -> tuple[str, str, int]:
    """``udp:host:port`` as its three parts. Raises ConfigError."""
    transport, _, rest = text.partition(":")
    host, _, port = rest.rpartition(":")
    if (
        transport not in ("udp", "tcp", "tls")
        or not host
        or not port.isdigit()
        or int(port) > 65535
    ):
        raise ConfigError("sip.listen", f"{text!r} is not a listener", "e.g. udp:127.0.0.1:5060")
    return transport, host.strip("[]"), int(port)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
