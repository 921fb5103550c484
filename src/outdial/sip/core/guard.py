"""Whose calls towards us must show a digest, and whether they did (RFC 3261 section 22.2).

A challenge keeps nothing here until it is answered with the right password: the reply is stateless
(section 8.2.7), and the nonce says itself for whom and when it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from outdial.frozen import frozen
from outdial.sip.core.digest import Verdict, Verifier, username_in
from outdial.sip.core.message import Request

REALM = "outdial"
_MOST_VALUES = 4
"""Authorization fields looked at: a peer with credentials for several realms sends several."""


@frozen
class Accounts:
    """Of whom calls from an address must be one."""

    passwords: Mapping[str, str]
    """By user name."""
    algorithms: tuple[str, ...]
    """Offered and taken, the preferred first."""


@frozen
class Admitted:
    """The call may come in."""

    account: str
    """The user name that was shown; "" where none has to be."""


@frozen
class Challenged:
    """The call may come again, with a digest."""

    fields: str
    """Lines for the 401."""
    was_wrong: bool
    """Credentials were shown, and are not good: an unknown user or a wrong password."""


class Guard:
    """One for the agent. `accounts_of` gives for an address whom calls from there must be; None:
    its calls are taken as they are."""

    def __init__(
        self, token: Callable[[], str], accounts_of: Callable[[str], Accounts | None]
    ) -> None:
        self._token = token
        self._accounts_of = accounts_of
        self._verifiers: dict[tuple[str, ...], Verifier] = {}
        """One for each choice of algorithms, made when it is first needed."""

    def admit(self, request: Request, host: str, now: float) -> Admitted | Challenged:
        """What to do with an INVITE that begins a call, from that address."""
        accounts = self._accounts_of(host)
        if accounts is None:
            return Admitted("")
        verifier = self._verifiers.get(accounts.algorithms) or self._new(accounts.algorithms)
        shown = request.headers.get_all("Authorization")[:_MOST_VALUES]
        is_stale = False
        for value in shown:
            verdict = verifier.verify(
                value, accounts.passwords.get, request.method, request.uri, host, now, request.body
            )
            if verdict is Verdict.ACCEPTED:
                return Admitted(username_in(value))
            is_stale = is_stale or verdict is Verdict.STALE
        values = verifier.challenges(host, now, self._token(), stale=is_stale)
        fields = "".join([f"WWW-Authenticate: {value}\r\n" for value in values])
        return Challenged(fields, was_wrong=bool(shown) and not is_stale)

    def _new(self, algorithms: tuple[str, ...]) -> Verifier:
        key = "".join([self._token() for _ in range(4)]).encode()
        verifier = self._verifiers[algorithms] = Verifier(REALM, key, algorithms=algorithms)
        return verifier
