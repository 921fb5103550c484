"""Transfers that a far end asks for (REFER): whom it names, and whether that may be dialled.

A far end is not the owner of this server. So whom it names passes every check that a Dial of the
same call passes, with the API key of the call, and once more before the INVITE.
"""

from __future__ import annotations

from dataclasses import replace

from outdial.calls import codes
from outdial.calls.gate import check_number, check_uri
from outdial.calls.numbers import normalise
from outdial.calls.party import Party
from outdial.calls.services import Services
from outdial.errors import Refused, RemoteProtocolError
from outdial.legs import Referred
from outdial.sip.core.uri import Uri

MOST_TRANSFERS = 5
"""Of one conversation: two telephones that pass a call to each other end somewhere."""
_FIELD = "Refer-To"
_NUMBER = frozenset("0123456789+().-")
_FEWEST_DIGITS = 7


def transferred(services: Services, key_name: str, party: Party, wish: Referred) -> Party:
    """Whom to ring in place of the party that wishes it. Raises Refused.

    Telephones write the number that was keyed at the host that they are registered with, so a
    number is dialled as one, over the routes, unless its host is one of `limits.sip_hosts`.
    """
    if wish.attended:
        message = f"{_FIELD} names a call to be replaced, which is not done for others"
        raise Refused(400, codes.BAD_VALUE, message, field=_FIELD)
    try:
        uri = Uri.parse(wish.uri)
    except RemoteProtocolError as error:
        message = f"{_FIELD} is no address: {error}"
        raise Refused(400, codes.BAD_VALUE, message, field=_FIELD) from None
    if _is_number(uri) and not services.sip_hosts.is_listed(uri):
        number, address = normalise(uri.user_text, _FIELD), ""
        check_number(services, key_name, number, _FIELD)
    else:
        number, address = "", wish.uri
        check_uri(services, key_name, address, _FIELD)
    plan = replace(party.plan, number=number, uri=address, record=False)
    return replace(party, plan=plan, send_digits="", whisper=None)


def _is_number(uri: Uri) -> bool:
    user = uri.user_text
    digits = sum(char in "0123456789" for char in user)
    if uri.password is not None:
        return False
    return uri.scheme == "tel" or (digits >= _FEWEST_DIGITS and _NUMBER.issuperset(user))
