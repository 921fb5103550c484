"""Whether a call that is posted can be taken at all: its key, the policy, a route, room to wait.

What is checked costs nothing and leaves nothing behind: a call that is refused was never there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from outdial.calls import codes
from outdial.calls.key_checks import check_caller_of, check_destination_of
from outdial.errors import Refused

if TYPE_CHECKING:
    from outdial.calls.admission import Admission
    from outdial.calls.request import CallRequest
    from outdial.calls.services import Services
    from outdial.calls.session import Session


def check_acceptable(
    request: CallRequest, key_name: str, services: Services, admission: Admission[Session]
) -> None:
    """Raises Refused, which names the field and what would be taken."""
    _check_key(request, key_name, services)
    _check_policy(request, services)
    trunks = _trunks(request, services)
    services.minutes.check(key_name, trunks)
    _check_queue(key_name, trunks, services, admission)


def _check_key(request: CallRequest, key_name: str, services: Services) -> None:
    """Whether the key may ask for such a call (403)."""
    rules = services.keys.of(key_name)
    check_destination_of(rules, request.to, "to")
    check_caller_of(rules, request.from_, "from")
    if request.url:
        return
    check_destination_of(rules, request.from_, "from")
    if services.settings.calls.bridge_caller_id == "to":
        field = "to, which the second leg shows (the setting calls.bridge_caller_id),"
        check_caller_of(rules, request.to, field)


def _check_policy(request: CallRequest, services: Services) -> None:
    """Whether they may be called, and now."""
    policy = services.policy
    policy.check_listed(request.to, "to")
    if not request.url:
        policy.check_listed(request.from_, "from")
    policy.check_hours(request.to, "to")


def _trunks(request: CallRequest, services: Services) -> tuple[str, ...]:
    """The names of those that take it, at least one (404, 422)."""
    routes = services.routes
    if request.trunk and routes.named(request.trunk) is None:
        known = ", ".join(routes.names()) or "none"
        raise Refused(
            404,
            codes.UNKNOWN_TRUNK,
            f"there is no trunk named {request.trunk!r}; the settings have: {known}",
            field="trunk",
        )
    trunks = routes.to(request.to, request.trunk)
    if not trunks:
        raise Refused(
            422,
            codes.NO_ROUTE,
            f"no trunk takes {request.to}: add a [[trunks]] entry whose prefixes match, or run "
            "outdial serve --sim to try without a carrier",
            field="to",
        )
    return tuple(trunk.name for trunk in trunks)


def _check_queue(
    key_name: str, trunks: tuple[str, ...], services: Services, admission: Admission[Session]
) -> None:
    """Whether the call can wait if it has to (429)."""
    if admission.would_start(key_name, trunks, services.clock.monotonic()):
        return
    if admission.is_full():
        problem = f"{admission.waiting} calls wait already; the setting limits.queued_calls"
    elif admission.is_full_for(key_name):
        count = admission.waiting_of(key_name)
        problem = f"{count} calls of this key wait; the setting limits.queued_calls_per_key"
    else:
        return
    raise Refused(429, codes.QUEUE_FULL, f"{problem} allows no more", retry_after_s=5)
