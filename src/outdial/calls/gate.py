"""The gate that every leg of ours passes: when it is asked for, and once more before its INVITE.

What the settings say holds for all; what is said of an API key holds for the calls that it placed
and for every leg that comes of them, whoever makes those calls do something later. Pure but for the
services that it asks.
"""

from __future__ import annotations

from outdial.calls.key_checks import check_caller_of, check_destination_of
from outdial.calls.numbers import normalise
from outdial.calls.services import Services


def check_number(services: Services, key_name: str, number: str, field: str) -> None:
    """Whether E.164 digits may be dialled by calls of the key. Raises Refused."""
    services.check_destination(number, field)
    check_destination_of(services.keys.of(key_name), number, field)
    services.policy.check_listed(number, field)


def check_uri(services: Services, key_name: str, uri: str, field: str) -> str:
    """Whether a SIP address may be dialled: its host must be one of those, and a telephone number
    dialled in this way is a destination like any other. The number, "" if there is none. Raises
    Refused."""
    number = services.sip_hosts.check(uri, field)
    if number:
        number = normalise(number, field)
        check_number(services, key_name, number, field)
    else:
        check_destination_of(services.keys.of(key_name), "", field)
    return number


def check_caller(services: Services, key_name: str, caller_id: str, field: str) -> None:
    """Whether calls of the key may show the caller ID. Raises Refused (403)."""
    check_caller_of(services.keys.of(key_name), caller_id, field)
