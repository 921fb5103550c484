"""The signalling plane of `outdial.legs`: outgoing legs over trunks or to SIP URIs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping, Sequence
from math import ceil
from typing import Any

from outdial import log
from outdial.clock import Clock
from outdial.config import Sip, Trunk
from outdial.errors import RemoteProtocolError
from outdial.legs import (
    DialTarget,
    Rejected,
    SignallingListener,
    TraceListener,
)
from outdial.sip.core.authorization import Credentials
from outdial.sip.core.dialog_data import DialogData
from outdial.sip.core.guard import Accounts
from outdial.sip.core.hop import Hop
from outdial.sip.core.identity import PLAIN
from outdial.sip.core.invite_client import Invitation
from outdial.sip.core.locating import TRANSPORTS, Target
from outdial.sip.core.outages import Outages
from outdial.sip.core.peer import SOMEBODY, Peer
from outdial.sip.core.uri import Uri
from outdial.sip.endpoint import SipEndpoint, random_token
from outdial.sip.names import NameServers
from outdial.sip.outbound import OutboundLeg, Patience
from outdial.sip.resolver import ResolutionFailed, Resolver
from outdial.sip.trunks import TrunkLine
from outdial.tls.contexts import ClientSecurity
from outdial.trunk_state import TrunkMessages, TrunkServers, TrunkState

Headers = tuple[tuple[str, str], ...]
_MAX_HOSTS = 100

_URI_TIMEOUT_S = 4.0
"""How long one of several servers of a SIP URI may say nothing. Trunks have a setting for it."""

_log = log.get("sip")


class SipPlane:
    """Makes outgoing legs and watches the trunks."""

    def __init__(
        self,
        settings: Sip,
        trunks: Sequence[Trunk],
        endpoint: SipEndpoint,
        clock: Clock,
        resolver: Resolver | None = None,
    ) -> None:
        """Calls from the trunks' addresses are taken from now on, if the endpoint takes any."""
        self._settings = settings
        self._endpoint = endpoint
        self._resolver = resolver or make_resolver(settings)
        self.outages = Outages()
        """Which servers take no calls at present."""
        self._trunks = {
            trunk.name: TrunkLine(trunk, endpoint, self._resolver, clock, self.outages)
            for trunk in trunks
        }
        self._tasks: set[asyncio.Task[None]] = set()
        if endpoint.accept_source is None:
            endpoint.accept_source = self.is_trunk
            endpoint.is_own = self._is_own
        self._secure: dict[str, ClientSecurity] = {}
        """How hosts are reached over TLS that are no trunk's, by name."""
        endpoint.security_at = self._security_at
        endpoint.credentials_of = self._credentials_of
        endpoint.accounts_of = self._accounts_of
        endpoint.is_contact_user = self._is_contact_user
        endpoint.peer_of = self._peer_of

    # ------------------------------------------------------------ trunks

    def watch(self) -> None:
        """Starts to look the trunks up and to ping them."""
        for trunk in self._trunks.values():
            if trunk.security is not None and not trunk.security.verify:
                _log.warning(
                    "certificate not checked",
                    trunk=trunk.settings.name,
                    reason="tls_verify is false: anybody on the way may be the trunk, and listen",
                )
            trunk.watch()
            trunk.keep_alive()

    async def stop(self) -> None:
        """Takes the registrations back, and ends the watching."""
        await asyncio.gather(*[trunk.stop() for trunk in self._trunks.values()])
        self.close()

    def close(self) -> None:
        """Ends the watching and what is being looked up. Legs are not touched."""
        self._resolver.close()
        for trunk in self._trunks.values():
            trunk.close()
        for task in self._tasks:
            task.cancel()

    def is_trunk(self, host: str) -> bool:
        """Whether calls to us from that address are a trunk's."""
        return any(trunk.calls_from(host) for trunk in self._trunks.values())

    def _is_own(self, host: str) -> bool:
        """Whether nothing can ban the address: it is where a trunk is, or its calls need no
        password. From where they do anybody may try one, and not for ever."""
        return any(
            host in trunk.hosts or (not trunk.settings.inbound_username and trunk.calls_from(host))
            for trunk in self._trunks.values()
        )

    def trunk_of(self, host: str, account: str = "") -> str | None:
        """The name of the trunk whose calls come from the address; of several the one whose user
        name is `account`, or where we are registered as that."""
        found = [name for name, trunk in self._trunks.items() if trunk.calls_from(host)]
        for name in found if account else ():
            trunk = self._trunks[name]
            if account == trunk.settings.inbound_username or (
                account == trunk.contact_user and trunk.settings.register_
            ):
                return name
        return found[0] if found else None

    def _accounts_of(self, host: str) -> Accounts | None:
        """Whom calls from the address must be; None: its address is enough."""
        found = [
            trunk.settings
            for trunk in self._trunks.values()
            if trunk.settings.inbound_username and trunk.calls_from(host)
        ]
        if not found:
            return None
        passwords = {one.inbound_username: one.inbound_password.get_secret_value() for one in found}
        return Accounts(passwords, tuple(found[0].inbound_algorithms))

    def _peer_of(self, host: str, account: str) -> Peer:
        """What is said of the trunk whose call comes from the address."""
        name = self.trunk_of(host, account)
        return SOMEBODY if name is None else self._trunks[name].peer

    def _credentials_of(self, host: str) -> Credentials | None:
        """What the trunk at the address may be shown."""
        for trunk in self._trunks.values():
            if host in trunk.hosts:
                return trunk.credentials
        return None

    def _is_contact_user(self, user: str, host: str) -> bool:
        """Whether the trunk at that address calls us, and not one of our numbers, by that name."""
        return any(
            trunk.contact_user == user and trunk.settings.register_ and trunk.calls_from(host)
            for trunk in self._trunks.values()
        )

    def _security_at(self, host: str) -> tuple[int, ClientSecurity] | None:
        """How a TLS connection to the trunk at the address is made."""
        for trunk in self._trunks.values():
            if trunk.security is not None and trunk.calls_from(host):
                return trunk.secure_at
        return None

    def _security_of(self, host: str) -> ClientSecurity:
        """As the trunk of that host wants it, else with those whom the system trusts."""
        for trunk in self._trunks.values():
            if trunk.security is not None and trunk.host.lower() == host.lower():
                return trunk.security
        found = self._secure.get(host)
        if found is None:
            if len(self._secure) >= _MAX_HOSTS:
                self._secure.clear()
            found = self._secure[host] = ClientSecurity("sip", host)
        return found

    def securities(self) -> list[ClientSecurity]:
        """The certificates of the trunks, for who looks whether their files have changed."""
        return [trunk.security for trunk in self._trunks.values() if trunk.security is not None]

    def line(self, trunk_name: str) -> TrunkLine | None:
        """The trunk of that name."""
        return self._trunks.get(trunk_name)

    def trunk_states(self) -> list[TrunkState]:
        """What is known of each trunk, in the order of the settings."""
        return [trunk.state for trunk in self._trunks.values()]

    def trunk_servers(self) -> list[TrunkServers]:
        """How many servers each trunk has, and how many of them take no calls."""
        return [trunk.servers for trunk in self._trunks.values()]

    def trunk_messages(self, trunk_name: str) -> TrunkMessages:
        """The last messages between us and the trunk outside of calls."""
        line = self._trunks.get(trunk_name)
        return TrunkMessages() if line is None else line.messages()

    def is_last_choice(self, trunk_name: str) -> bool:
        """Whether any other trunk is better now."""
        trunk = self._trunks.get(trunk_name)
        return trunk is not None and trunk.state.is_last_choice

    async def ping(self, trunk_name: str, timeout_s: float = 5.0) -> TrunkState:
        """Asks the trunk now. KeyError for an unknown name."""
        return await self._trunks[trunk_name].ping(timeout_s)

    async def ask_registrar(self, trunk_name: str, timeout_s: float) -> TrunkState:
        """Asks the trunk's registrar now whether it knows us, and changes nothing."""
        return await self._trunks[trunk_name].ask_registrar(timeout_s)

    # ------------------------------------------------------------ legs

    def dial(
        self,
        target: DialTarget,
        offer: bytes,
        listener: SignallingListener,
        trace: TraceListener | None = None,
    ) -> OutboundLeg:
        """Sends the INVITE; if a name must be looked up for it, as soon as that is done."""
        call_id = f"{target.leg_id}-{random_token()}"
        trunk = None if target.uri else self._trunks.get(target.trunk)
        leg = OutboundLeg(
            self._endpoint, call_id, target.trunk, listener, trace, trunk, self.outages
        )
        if target.uri:
            self._dial_uri(leg, target, offer)
        elif trunk is None:
            leg.fail(Rejected(503, f"No trunk named {target.trunk}", local=True))
        elif trunk.is_registering:
            self._spawn(self._register_and_invite(leg, trunk, target, offer))
        elif trunk.refusal:
            leg.fail(_unregistered(trunk))
        elif (hops := trunk.hops_known()) is not None:
            self._invite_trunk(leg, trunk, target, offer, hops)
        else:
            self._spawn(self._resolve_trunk(leg, trunk, target, offer))
        return leg

    async def goes_over_tls(self, trunk: str) -> bool:
        """See `outdial.legs.SignallingPlane`. All servers of one answer are reached alike."""
        line = self._trunks.get(trunk)
        if line is None:
            return False
        hops = line.hops_known()
        if hops is None:
            try:
                hops = await line.hops()
            except ResolutionFailed:
                return False
        return bool(hops) and all(hop.is_secure for hop in hops)

    def release(self, dialog_data: Mapping[str, Any], trace: TraceListener | None = None) -> None:
        """Ends a leg of an earlier process; if its trunk's name must be looked up, after that."""
        trunk = self._trunks.get(str(dialog_data.get("trunk", "")))
        if trunk is None or trunk.hops_known() is not None:
            self._release(dialog_data, trunk, trace)
        else:
            self._spawn(self._resolve_and_release(dialog_data, trunk, trace))

    async def _resolve_and_release(
        self, dialog_data: Mapping[str, Any], trunk: TrunkLine, trace: TraceListener | None
    ) -> None:
        """The addresses of a trunk say who may see a digest; the data say where the leg is."""
        with contextlib.suppress(ResolutionFailed):
            await trunk.hops()
        self._release(dialog_data, trunk, trace)

    def _release(
        self,
        dialog_data: Mapping[str, Any],
        trunk: TrunkLine | None,
        trace: TraceListener | None,
    ) -> None:
        try:
            data = DialogData.from_json(dialog_data)
            security = None if trunk is None else trunk.security
            hop = self._endpoint.hop(data.transport, data.host, data.port, security)
            if hop is None:
                raise ValueError(f"there is no listener to reach {data.transport}:{data.host} from")
            peer = self._peer_of(data.host, "") if trunk is None else trunk.peer
            credentials = None if trunk is None else trunk.credentials
            self._endpoint.release(data, hop.showing(peer.shown), credentials, trace)
        except (ValueError, RemoteProtocolError) as error:
            _log.error("leg.not_released", problem=str(error), data=dict(dialog_data))

    def _dial_uri(self, leg: OutboundLeg, target: DialTarget, offer: bytes) -> None:
        try:
            uri = Uri.parse(target.uri).without_headers()
        except RemoteProtocolError as error:
            leg.fail(Rejected(400, str(error), local=True))
            return
        transport = _transport_of(uri)
        if transport not in ("udp", "tcp", "tls"):
            words = "Only sip: and sips: URIs over UDP, TCP or TLS can be called"
            leg.fail(Rejected(416, words, local=True))
            return
        known = self._resolver.known(uri.host, uri.port, transport)
        if known is not None:
            hops = self._hops(known, uri.host)
            self._invite(leg, target, offer, str(uri), hops, None)
        else:
            self._spawn(self._resolve_uri(leg, target, offer, uri, transport))

    async def _resolve_uri(
        self, leg: OutboundLeg, target: DialTarget, offer: bytes, uri: Uri, transport: str
    ) -> None:
        try:
            found = await self._resolver.resolve(uri.host, uri.port, transport)
        except ResolutionFailed as error:
            leg.fail(Rejected(503, str(error), local=True))
            return
        hops = self._hops(found, uri.host)
        self._invite(leg, target, offer, str(uri), hops, None)

    async def _register_and_invite(
        self, leg: OutboundLeg, trunk: TrunkLine, target: DialTarget, offer: bytes
    ) -> None:
        await trunk.registered()
        if trunk.refusal:
            leg.fail(_unregistered(trunk))
        else:
            await self._resolve_trunk(leg, trunk, target, offer)

    async def _resolve_trunk(
        self, leg: OutboundLeg, trunk: TrunkLine, target: DialTarget, offer: bytes
    ) -> None:
        try:
            hops = await trunk.hops()
        except ResolutionFailed as error:
            leg.fail(Rejected(503, str(error), local=True))
            return
        self._invite_trunk(leg, trunk, target, offer, hops)

    def _invite_trunk(
        self,
        leg: OutboundLeg,
        trunk: TrunkLine,
        target: DialTarget,
        offer: bytes,
        hops: Sequence[Hop],
    ) -> None:
        uri = trunk.uri(target.number, hops[0] if hops else None)
        self._invite(leg, target, offer, uri, hops, trunk)

    def _invite(
        self,
        leg: OutboundLeg,
        target: DialTarget,
        offer: bytes,
        uri: str,
        hops: Sequence[Hop],
        trunk: TrunkLine | None,
    ) -> None:
        if not hops:
            leg.fail(Rejected(503, "No listener for that transport", local=True))
            return
        everywhere, hops = hops, self.outages.in_order(hops, self._endpoint.now)
        if not hops:
            leg.fail(self._paused(everywhere))
            return
        presentation = PLAIN if trunk is None else trunk.presentation
        shown = presentation.show(
            target.caller_id, target.caller_name, host_of(hops[0]), target.diverted_by
        )
        headers = target.headers if trunk is None else joined(trunk.headers, target.headers)
        peer = self._peer_of(hops[0].host, "") if trunk is None else trunk.peer
        invitation = Invitation(
            call_id=leg.sip_call_id,
            uri=uri,
            from_=shown.from_,
            hop=hops[0],
            offer=offer,
            headers=shown.fields + headers,
            credentials=None if trunk is None else trunk.credentials,
            symmetric=peer.nat,
            policy=peer,
            routes=() if trunk is None else trunk.routes(hops[0]),
            contact_user="" if trunk is None else trunk.contact_user,
            ack_waits=True,
        )
        leg.invite(invitation, hops, self._patience(target))

    def _patience(self, target: DialTarget) -> Patience:
        trunk = None if target.uri else self._trunks.get(target.trunk)
        wait_s = _URI_TIMEOUT_S if trunk is None else trunk.settings.target_timeout_s
        return Patience(wait_s, wait_s if target.more_routes else 0.0)

    def _paused(self, hops: Sequence[Hop]) -> Rejected:
        """Every server there has asked for no calls."""
        now = self._endpoint.now
        outages = self.outages.of(hops, now)
        left_s = ceil(min((outage.until for outage in outages), default=now) - now)
        reason = f"{outages[0].target} {outages[0].why}, {left_s} s of them are left"
        return Rejected(503, reason, local=True, retry_after_s=left_s)

    def _hops(self, targets: Sequence[Target], name: str) -> list[Hop]:
        hops = [
            self._endpoint.hop(
                one.transport,
                one.host,
                one.port,
                self._security_of(name) if one.transport == "tls" else None,
            )
            for one in targets
        ]
        return [hop.showing(self._peer_of(hop.host, "").shown) for hop in hops if hop is not None]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def make_resolver(settings: Sip) -> Resolver:
    """That of a server with these settings."""
    listening = {listener.partition(":")[0] for listener in settings.listen}
    spoken = [transport for transport in TRANSPORTS if transport in listening]
    return Resolver(NameServers(settings.nameservers), spoken, _fraction)


def _fraction() -> float:
    """A random number from 0 to 1, 1 excluded."""
    return int(random_token()[:8], 16) / 0x1_0000_0000


def host_of(hop: Hop) -> str:
    """Our end of the hop, as From shows it."""
    return hop.sent_by.rpartition(":")[0]


def joined(settled: Headers, wished: Headers) -> Headers:
    """The headers of the trunk, and those of the call that the trunk's do not settle already: what
    the owner of the server says of an account is not for who may place a call to change."""
    if not wished or not settled:
        return settled or wished
    names = {name.lower() for name, _ in settled}
    return settled + tuple(one for one in wished if one[0].lower() not in names)


def _unregistered(trunk: TrunkLine) -> Rejected:
    return Rejected(503, trunk.refusal, local=True, unregistered=True)


def _transport_of(uri: Uri) -> str:
    """What a call to it goes over (RFC 3261 section 26.2.2: sips is TLS); "": nothing of ours."""
    transport = uri.transport or "udp"
    if uri.scheme == "sips":
        return "" if uri.transport == "udp" else "tls"
    return transport if uri.scheme == "sip" else ""
