"""What a call's parameters look like, as JSON Schema: the same for both doors.

A value that fits is taken, unless the owner's settings forbid it (403) or there is no trunk of the
name (404). What does not fit is refused, but for the ways of writing a number that people have
(spaces, dashes, brackets) and spaces around a value, which are taken off.

Regular expressions are of the kind that ECMA-262 and Python share.
"""

from __future__ import annotations

from typing import Any

from outdial.calls import checks, numbers, repeats
from outdial.calls.request import STATUS_EVENTS

Schema = dict[str, Any]

REPEATABLE = (
    f"With the header {repeats.HEADER} (components/parameters) the post may be repeated: posts "
    "with one token and API key place one call and get the same answer, for a day at least. The "
    "token is refused (422) with another call."
)

_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,30}[A-Za-z0-9_])?"
_NAME = rf"(?:{_LABEL}\.){{0,6}}[A-Za-z](?:[A-Za-z0-9-]{{0,30}}[A-Za-z0-9])?"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_GROUP = "[0-9A-Fa-f]{1,4}"
_IPV6 = rf"\[(?:(?:{_GROUP}:){{7}}{_GROUP}|(?:{_GROUP}:){{1,5}}:{_GROUP}|::{_GROUP})\]"
_PORT = (
    "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"  # 65535
)
_REST = r"[/?#][^\u0000-\u0020\u007f-\u009f\u2028\u2029\\]*"
_ABSOLUTE = rf"[Hh][Tt][Tt][Pp][Ss]?://(?:{_NAME}|{_IPV4}|{_IPV6})(?::(?:{_PORT}))?(?:{_REST})?"
REQUIRED_URL = rf"^{_ABSOLUTE}$"
"""An absolute http or https URL without user or password."""
URL = rf"^(?: *|{_ABSOLUTE})$"
"""The same, or nothing."""
TEXT = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"
"""Anything but control characters and line breaks."""
DIGITS = "^[0-9*#A-DwW]*$"
METHOD = "^(?:[Gg][Ee][Tt]|[Pp][Oo][Ss][Tt])?$"
_EVENT = "(?:" + "|".join(STATUS_EVENTS) + ")"
EVENTS = rf"^[, ]*(?:{_EVENT}(?:[, ]+{_EVENT})*[, ]*)?$"


def number() -> Schema:
    """A telephone number in text: ten digits, or a country code and as many digits as it has."""
    return {
        "type": "string",
        "pattern": numbers.pattern(),
        "description": (
            "E.164 digits with or without a leading +; ten digits are North American. Spaces, "
            "dashes, dots and brackets in between are taken off."
        ),
        "examples": ["19499300360"],
    }


def url(description: str) -> Schema:
    """A URL or nothing."""
    return {
        "type": "string",
        "maxLength": checks.MAX_URL,
        "pattern": URL,
        "description": description,
    }


def idempotency_key() -> Schema:
    """The header of posts that may be repeated.

    No operation refers to it: a client that knows only the document would send one token with
    different calls, and that is refused.
    """
    return {
        "name": repeats.HEADER,
        "in": "header",
        "required": False,
        "schema": {"type": "string", "pattern": repeats.FORM},
        "description": REPEATABLE,
        "example": "0c5bb5ef-8b54-4bb0-9a9b-1c5a9d2f6f53",
    }


def new_call(properties: Schema) -> None:
    """Completes the properties of `schemas.NewCall`, whose models say types and sizes only."""
    for name in ("to", "from"):
        said = properties[name]["description"]
        properties[name] = {"$ref": "#/components/schemas/Number", "description": said}
    properties["sip_headers"] |= {
        "maxProperties": checks.MAX_SIP_HEADERS,
        "propertyNames": {"pattern": f"^{checks.SIP_HEADER_NAME}$"},
        "additionalProperties": {"type": "string", "pattern": f"^{checks.SIP_HEADER}$"},
    }
    for name in ("url", "status_callback", "fallback_url"):
        properties[name]["pattern"] = URL
    for name in ("secret_key", "optional", "trunk", "caller_name"):
        properties[name]["pattern"] = TEXT


def redirect(properties: Schema) -> None:
    """The same for those of `changes.Redirect`."""
    properties["url"]["pattern"] = REQUIRED_URL
    properties["fallback_url"]["pattern"] = URL


def termination_json() -> Schema:
    """The body of a V2 post in JSON: as in a form, and null is the same as leaving out."""
    schema = termination()
    for name, value in schema["properties"].items():
        if name not in ("apikey", *schema["required"]):
            schema["properties"][name] = {
                "anyOf": [value, {"type": "null"}],
                "description": value["description"],
            }
    return schema


def termination() -> Schema:
    """The body of a V2 post as a form, where everything is text in the end."""
    return {
        "type": "object",
        "required": ["to", "from"],
        "properties": {
            "apikey": {"description": "An API key; needed unless a header has it."},
            "to": _written("Number to dial."),
            "from": _written(
                "Caller ID, or anonymous to withhold it; dialled as the second leg when there is "
                "no `url`."
            ),
            "url": {
                **url("The voice application, requested on answer."),
                "examples": ["https://example.com/app.xml"],
            },
            "Method": _method("HTTP method for `url`."),
            "sendDigits": {
                "type": ["string", "integer"],
                "pattern": DIGITS,
                "maxLength": checks.MAX_DIGITS,
                "minimum": 0,
                "description": "DTMF sent on answer; w waits 0.5 s, W 1 s.",
            },
            "statusCallback": url("Told of the events asked for."),
            "statusCallbackEvent": {
                "anyOf": [
                    {"type": "string", "pattern": EVENTS},
                    {
                        "type": "array",
                        "items": {"type": "string", "pattern": EVENTS},
                        "maxItems": checks.MAX_EVENT_LISTS,
                    },
                ],
                "default": "completed",
                "description": (
                    f"{', '.join(STATUS_EVENTS)}: separated by commas or spaces, repeated, or an "
                    "array. statusCallbackEvents is the same."
                ),
            },
            "statusCallbackMethod": _method("HTTP method for `statusCallback`."),
            "secretKey": _scalar(checks.MAX_SECRET_KEY, "Sent with callbacks as `apikey`."),
            "optional": _scalar(
                checks.MAX_OPTIONAL, "Sent back with callbacks, e.g. token=123456."
            ),
            "timeout": _seconds(checks.MAX_TIMEOUT_S, 60, "Ringing seconds.", _TO_600),
            "timeLimit": _seconds(
                checks.MAX_TIME_LIMIT_S, 14_400, "Longest answered seconds.", _TO_86400
            ),
            "record": {
                "anyOf": [
                    {"type": "boolean"},
                    {"enum": [*checks.TRUE, *checks.FALSE, "", 0, 1]},
                ],
                "default": False,
                "description": "Record both directions to a WAV file.",
            },
            "fallbackUrl": url("Fetched when `url` fails."),
            "trunk": _scalar(checks.MAX_TRUNK, "Use only the trunk of this name."),
            "callerName": _scalar(checks.MAX_CALLER_NAME, "Shown with the caller ID."),
        },
    }


_TO_600 = "[1-9][0-9]?|[1-5][0-9]{2}|600"
_TO_86400 = "[1-9][0-9]{0,3}|[1-7][0-9]{4}|8[0-5][0-9]{3}|86[0-3][0-9]{2}|86400"


def _written(description: str) -> Schema:
    return {
        "anyOf": [
            {"$ref": "#/components/schemas/Number"},
            {
                "type": "integer",
                "minimum": 1_000_000_000,
                "maximum": 20_999_999_999,
                "description": "JSON only: ten or eleven digits. Write longer numbers as text.",
            },
        ],
        "description": description,
    }


def _scalar(longest: int, description: str) -> Schema:
    return {
        "type": ["string", "integer", "boolean"],
        "maxLength": longest,
        "pattern": TEXT,
        "description": description,
    }


def _method(description: str) -> Schema:
    return {"type": "string", "pattern": METHOD, "default": "POST", "description": description}


def _seconds(most: int, default: int, description: str, written: str) -> Schema:
    return {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": most},
            {"type": "string", "pattern": f"^(?:{written})?$"},
        ],
        "default": default,
        "description": description,
    }
