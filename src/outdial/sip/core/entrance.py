"""The way in: which of the INVITEs that begin a call become one (RFC 3261 section 8.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from outdial.errors import RemoteProtocolError
from outdial.sip.core.guard import Accounts, Admitted, Challenged, Guard
from outdial.sip.core.hop import Hop
from outdial.sip.core.invite_server import IncomingCall
from outdial.sip.core.matching import merge_key
from outdial.sip.core.message import Request
from outdial.sip.core.peer import Peer
from outdial.sip.core.replacing import to_replace
from outdial.sip.core.requirements import Refusal, unmet
from outdial.sip.core.stateless import reply
from outdial.sip.core.transaction import MergeKey, TransactionKey

if TYPE_CHECKING:
    from outdial.sip.core.agent import Agent, Call


class Entrance:
    """One for the agent. `accounts_of` as the agent's."""

    def __init__(self, agent: Agent, accounts_of: Callable[[str], Accounts | None]) -> None:
        self._agent = agent
        self._guard = Guard(agent.token, accounts_of)
        self.invites: set[MergeKey] = set()
        """Of those that have a server transaction, for merged requests (section 8.2.2.2)."""

    def take(self, key: TransactionKey, request: Request, source: Hop) -> IncomingCall | None:
        """The call that the INVITE has become; None: it was refused, or may come again with a
        digest."""
        agent = self._agent
        if not agent.takes_invites:
            reply(agent, request, source, 403)
            return None
        admission = self._guard.admit(request, source.host, agent.now)
        if isinstance(admission, Challenged):
            self._challenge(request, source, admission)
            return None
        policy, copy = agent.peer_of(source.host, admission.account), merge_key(request)
        if (refusal := unmet(request, policy)) is not None:
            reply(agent, request, source, *refusal)
        elif copy in self.invites:
            reply(agent, request, source, 482)
        elif isinstance(replaced := to_replace(request, policy, agent.call_of), Refusal):
            reply(agent, request, source, *replaced)
        elif not agent.may_be_called:
            agent.overload(request, source)
        else:
            return self._begin(key, copy, request, source, admission, policy, replaced)
        return None

    def _challenge(self, request: Request, source: Hop, challenged: Challenged) -> None:
        """The same for an unknown user and a wrong password."""
        if challenged.was_wrong:
            self._agent.throw_away("unauthorized", source, request.method)
        reply(self._agent, request, source, 401, challenged.fields)

    def _begin(
        self,
        key: TransactionKey,
        copy: MergeKey,
        request: Request,
        source: Hop,
        admitted: Admitted,
        policy: Peer,
        replaced: Call | None,
    ) -> IncomingCall | None:
        agent = self._agent
        source = source.showing(policy.shown)
        transaction = agent.serve(key, request, source, None)
        try:
            account = admitted.account
            call = IncomingCall(agent, transaction, request, source, account, policy, replaced)
        except RemoteProtocolError as error:
            transaction.respond(error.status_hint, tag=agent.token())
            return None
        transaction.merge_key = copy
        self.invites.add(copy)
        transaction.user = call
        return call
