"""Settings of a trunk besides where it is: who is calling, the way there, what far ends may do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator

from outdial.config import checks

MOST_HEADERS = 16
LONGEST_NAME = 64
LONGEST_VALUE = 256

_NAME = re.compile(r"[A-Za-z0-9!%*_+`'~.-]+")
_VALUE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_USER = re.compile(r"[A-Za-z0-9_.!~*'()&=+$,;?/%-]*")
_OURS = frozenset(
    (
        "accept", "accept-encoding", "accept-language", "alert-info", "allow", "allow-events",
        "authentication-info", "authorization", "call-id", "call-info", "contact",
        "content-disposition", "content-encoding", "content-language", "content-length",
        "content-type", "cseq", "date", "diversion", "error-info", "event", "expires", "from",
        "identity", "in-reply-to", "join", "max-forwards", "mime-version", "min-expires", "min-se",
        "p-asserted-identity", "p-preferred-identity", "path", "privacy", "proxy-authenticate",
        "proxy-authorization", "proxy-require", "rack", "reason", "record-route", "refer-sub",
        "refer-to", "referred-by", "remote-party-id", "replaces", "reply-to", "require",
        "retry-after", "route", "rseq", "server", "service-route", "session-expires", "subject",
        "subscription-state", "supported", "target-dialog", "timestamp", "to", "unsupported",
        "user-agent", "via", "warning", "www-authenticate",
    )
)  # fmt: skip
"""Header fields that Outdial writes itself or whose meaning it would have to keep."""


def extra_headers(headers: dict[str, str]) -> dict[str, str]:
    """Names and values of header fields that may be added to a request."""
    if len(headers) > MOST_HEADERS:
        raise ValueError(f"has {len(headers)} headers; {MOST_HEADERS} are allowed")
    for name, value in headers.items():
        if len(name) > LONGEST_NAME or _NAME.fullmatch(name) is None:
            raise ValueError(f"{name[:LONGEST_NAME]!r} is not the name of a header, e.g. X-Account")
        if name.lower() in _OURS or len(name) == 1:
            raise ValueError(
                f"{name} is a header that Outdial writes itself; others may be added, X-Account"
            )
        if len(value) > LONGEST_VALUE or _VALUE.fullmatch(value) is None:
            raise ValueError(
                f"the value of {name} must be 1 to {LONGEST_VALUE} characters in one line, "
                "none of them a control character"
            )
    twice = checks.repeated([name.lower() for name in headers])
    if twice is not None:
        raise ValueError(f"{twice!r} is there twice; case makes no difference in headers")
    return headers


def user(text: str) -> str:
    """The user part of a SIP address."""
    if _USER.fullmatch(text) is None or len(text) > LONGEST_NAME:
        raise ValueError(
            f"{text!r} is not the user part of a SIP address; write what stands before the @, "
            "e.g. 18005550100"
        )
    return text


class TrunkPath(BaseModel):
    """What is between us and the trunk."""

    public_address: Annotated[str, AfterValidator(checks.optional_address_maybe_port)] = ""
    """IP address, with a port if it is another, that this trunk is shown in Via, Contact and SDP;
    empty: what `sip.public_address` and `media.public_address` say."""
    keepalive_s: float = Field(0, ge=0, le=3600)
    """Seconds between keep-alives to the trunk (RFC 5626: two line ends), so that a NAT between us
    does not forget us; 0: none."""


class TrunkTransfers(BaseModel):
    """What the far ends of the trunk may do with a call."""

    refer: Literal["refuse", "allow"] = "refuse"
    """Whether who was rung by Dial, or by click-to-call, may transfer the other party to somebody
    else (REFER). Whom that is passes every check that Dial passes."""
    replaces: Literal["refuse", "allow"] = "refuse"
    """Whether a call from the trunk may take the place of another one that is up on it (Replaces),
    as at the end of an attended transfer."""


class TrunkIdentity(BaseModel):
    """Who a trunk sees calling, and whom it is believed."""

    caller_id_format: Literal["", "e164", "+e164", "national"] = ""
    """How callers' numbers are written to the trunk; empty: as `number_format`."""
    caller_name: bool = True
    """Whether callers' names are sent to the trunk."""
    from_user: Annotated[str, AfterValidator(user)] = ""
    """User part of From for every call, as carriers want it that know an account there; the
    caller's number then goes into `identity_headers`. Empty: the caller's number."""
    from_domain: Annotated[str, AfterValidator(checks.optional_host)] = ""
    """Host of From and of the headers of `identity_headers`, and the domain that is registered;
    empty: with `register` the host of `registrar` or `address`, else our own address."""
    identity_headers: list[
        Literal["P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID"]
    ] = []
    """Headers that carry the caller's number and name besides From."""
    trusted: bool = False
    """Whether the trunk is trusted with identities (RFC 3325). Then its P-Asserted-Identity or
    Remote-Party-ID says who calls us, and a caller of ours who withholds the number is sent with
    Privacy: id."""
    diversion: bool = False
    """Whether a call that is passed on with its caller's number names, in Diversion (RFC 5806), the
    number of ours that was called."""
    headers: Annotated[dict[str, str], AfterValidator(extra_headers)] = {}
    """Further header fields of each INVITE to the trunk, e.g. {"X-Account" = "42"}."""
    register_headers: Annotated[dict[str, str], AfterValidator(extra_headers)] = {}
    """The same for REGISTER."""

    @model_validator(mode="after")
    def _asserted_or_preferred(self) -> TrunkIdentity:
        named: Mapping[str, None] = dict.fromkeys(self.identity_headers)
        if len(named) < len(self.identity_headers):
            raise ValueError("identity_headers names a header twice; each may be there once")
        if {"P-Asserted-Identity", "P-Preferred-Identity"} <= set(named):
            raise ValueError(
                "identity_headers has both P-Asserted-Identity and P-Preferred-Identity; the first "
                "is for a trunk that trusts us, the second for one that does not (RFC 3325)"
            )
        return self
