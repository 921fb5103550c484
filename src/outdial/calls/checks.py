"""From named values to a `CallRequest`: every check of a call's parameters, for every surface.

The API's two doors and the command line name the same things differently (`sendDigits`,
`send_digits`), so a door hands over its values under the names of this module and the spelling to
use in messages. All errors are `Refused` and name the field, what was wrong and what is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from outdial.calls import codes, numbers
from outdial.calls.request import STATUS_EVENTS, CallRequest
from outdial.config import Limits, Settings
from outdial.errors import FetchError, Refused
from outdial.frozen import frozen
from outdial.net import overrides

FIELDS = (
    "to",
    "from",
    "url",
    "method",
    "send_digits",
    "status_callback",
    "status_callback_event",
    "status_callback_method",
    "secret_key",
    "optional",
    "timeout",
    "time_limit",
    "record",
    "fallback_url",
    "trunk",
    "caller_name",
    "sip_headers",
)
ANONYMOUS = "anonymous"
"""As `from`: the caller ID is withheld."""
MAX_SIP_HEADERS = 16
MAX_SIP_HEADER_NAME = 64
MAX_SIP_HEADER = 256
SIP_HEADER_NAME = rf"X-[A-Za-z0-9](?:[A-Za-z0-9-]{{0,{MAX_SIP_HEADER_NAME - 4}}}[A-Za-z0-9])?"
SIP_HEADER = rf"[!-~](?:[ -~]{{0,{MAX_SIP_HEADER - 2}}}[!-~])?"
"""Printable ASCII characters, and no white space at either end: it would be lost on the way."""
MAX_URL = 2048
MAX_DIGITS = 128
MAX_SECRET_KEY = 256
MAX_OPTIONAL = 1024
MAX_CALLER_NAME = 64
MAX_TRUNK = 64
MAX_EVENT_LISTS = 16
"""How often the events parameter may be given."""
MAX_TIMEOUT_S = 600
MAX_TIME_LIMIT_S = 86_400

_METHODS = ("GET", "POST")
TRUE = ("true", "1", "yes", "on")
FALSE = ("false", "0", "no", "off")
_DIGITS = re.compile(r"[0-9*#A-DwW]+")
DIGITS_ARE = "may hold only the digits 0-9 * # A-D, w (waits 0.5 s) and W (waits 1 s)"
_WHOLE = re.compile(r"[0-9]{1,9}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SIP_HEADER_LINE = re.compile(rf"({SIP_HEADER_NAME}): ({SIP_HEADER})")
_SPLIT = re.compile(r"[,\s]+")

Values = Mapping[str, Sequence[str]]
Spelling = Mapping[str, str]


@frozen
class Rules:
    """What the settings say about calls that are asked for."""

    limits: Limits
    check_url: Callable[[str], None]
    """Raises FetchError for a URL that may never be requested (`net.addresses.check_url`)."""
    sim: bool = False

    @classmethod
    def of(cls, settings: Settings, check_url: Callable[[str], None]) -> Rules:
        """The rules that the settings make."""
        return cls(
            limits=settings.limits,
            check_url=check_url,
            sim=settings.sim.enabled,
        )


def check(values: Values, spelling: Spelling, rules: Rules) -> CallRequest:
    """The request that the values describe. Empty values are absent, unknown names ignored.

    `values` maps names of `FIELDS` to what was given for each, `spelling` maps them to what the
    caller calls them. Whether `trunk` exists is for the routes to say. Raises Refused: 400, 403 or
    422.
    """
    given = _Given(values, spelling)
    to = numbers.normalise(given.required("to"), spelling["to"])
    url = given.url("url", rules)
    from_ = given.caller_id("from", is_dialled=not url)
    numbers.check_destination(to, rules.limits, spelling["to"], sim=rules.sim)
    if not url:  # then the caller ID is dialled too, as the second leg
        numbers.check_destination(from_, rules.limits, spelling["from"], sim=rules.sim)
    return CallRequest(
        to=to,
        from_=from_,
        url=url,
        method=given.method("method"),
        send_digits=given.digits("send_digits"),
        status_callback=given.url("status_callback", rules),
        status_callback_events=given.events("status_callback_event"),
        status_callback_method=given.method("status_callback_method"),
        secret_key=given.text("secret_key", MAX_SECRET_KEY),
        optional=given.text("optional", MAX_OPTIONAL),
        timeout_s=given.seconds("timeout", 60, MAX_TIMEOUT_S),
        time_limit_s=given.seconds("time_limit", 14_400, MAX_TIME_LIMIT_S),
        record=given.truth("record"),
        fallback_url=given.url("fallback_url", rules),
        trunk=given.text("trunk", MAX_TRUNK),
        caller_name=given.text("caller_name", MAX_CALLER_NAME),
        sip_headers=given.sip_headers("sip_headers"),
    )


def check_url(url: str, field: str, rules: Rules) -> None:
    """Whether an application or a callback may be there. Raises Refused: 400, 403 or 422."""
    if _CONTROL.search(url):
        message = f"{field} must not hold control characters or line breaks"
        raise Refused(400, codes.BAD_VALUE, message, field=field)
    try:
        rules.check_url(url)
    except FetchError as error:
        if error.kind == "refused-address":
            message = f"{field} is refused: {error}"
            raise Refused(403, codes.REFUSED_ADDRESS, message, field=field) from None
        message = f"{field} is not usable: {error}; it must be like https://example.com/app.xml"
        raise Refused(400, codes.BAD_VALUE, message, field=field) from None
    try:
        overrides.split(url)
    except overrides.BadOverrides as error:
        message = (
            f"{field} has connection overrides that are wrong: {error}; right is, for example, "
            "https://example.com/app#rc=2&rp=5xx,ct&rt=3000"
        )
        raise Refused(422, codes.BAD_OVERRIDE, message, field=field) from None


class _Given:
    """Reads one kind of value each."""

    __slots__ = ("_spelling", "_values")

    def __init__(self, values: Values, spelling: Spelling) -> None:
        self._values = values
        self._spelling = spelling

    def _refuse(self, name: str, code: int, problem: str) -> Refused:
        label = self._spelling[name]
        return Refused(code // 100, code, f"{label} {problem}", field=label)

    def one(self, name: str) -> str:
        given = self._values.get(name)
        if not given:
            return ""
        if len(given) > 1 and len(set(given)) > 1:
            raise self._refuse(
                name, codes.REPEATED_FIELD, "is given more than once, with different values"
            )
        return given[0].strip(" ")

    def required(self, name: str) -> str:
        value = self.one(name)
        if not value:
            raise self._refuse(
                name,
                codes.MISSING_FIELD,
                "is missing: the number to dial, e.g. 19499300360"
                if name == "to"
                else "is missing: the caller ID to show, e.g. 18005797676",
            )
        return value

    def caller_id(self, name: str, *, is_dialled: bool) -> str:
        """A number, or `ANONYMOUS` unless the second leg goes there."""
        value = self.required(name)
        if value.lower() != ANONYMOUS:
            return numbers.normalise(value, self._spelling[name])
        if is_dialled:
            raise self._refuse(
                name,
                codes.BAD_VALUE,
                f"is {ANONYMOUS}, and without {self._spelling['url']} it is the number of the "
                "second leg",
            )
        return ANONYMOUS

    def sip_headers(self, name: str) -> tuple[tuple[str, str], ...]:
        """Lines such as ``X-Account: 42``, each name once."""
        lines = self._values.get(name, ())
        if len(lines) > MAX_SIP_HEADERS:
            problem = f"has {len(lines)} headers; {MAX_SIP_HEADERS} are allowed"
            raise self._refuse(name, codes.OUT_OF_RANGE, problem)
        headers: dict[str, tuple[str, str]] = {}
        for line in lines:
            match = _SIP_HEADER_LINE.fullmatch(line)
            if match is None:
                raise self._refuse(
                    name,
                    codes.BAD_VALUE,
                    f"may hold only headers whose names begin with X- (letters, digits and dashes, "
                    f"{MAX_SIP_HEADER_NAME} at most) and whose values are 1 to {MAX_SIP_HEADER} "
                    'printable ASCII characters, e.g. {"X-Account": "42"}',
                )
            if match[1].lower() in headers:
                raise self._refuse(
                    name, codes.REPEATED_FIELD, f"has {match[1]} twice; case makes no difference"
                )
            headers[match[1].lower()] = match[1], match[2]
        return tuple(headers.values())

    def text(self, name: str, longest: int) -> str:
        value = self.one(name)
        if len(value) > longest:
            raise self._refuse(
                name, codes.OUT_OF_RANGE, f"has {len(value)} characters; {longest} are allowed"
            )
        if value and _CONTROL.search(value):
            raise self._refuse(
                name, codes.BAD_VALUE, "must not hold control characters or line breaks"
            )
        return value

    def url(self, name: str, rules: Rules) -> str:
        value = self.text(name, MAX_URL)
        if value:
            check_url(value, self._spelling[name], rules)
        return value

    def method(self, name: str) -> str:
        value = self.one(name).upper()
        if value and value not in _METHODS:
            raise self._refuse(name, codes.BAD_VALUE, "must be GET or POST")
        return value or "POST"

    def digits(self, name: str) -> str:
        value = self.text(name, MAX_DIGITS)
        if value and _DIGITS.fullmatch(value) is None:
            raise self._refuse(name, codes.BAD_VALUE, DIGITS_ARE)
        return value

    def events(self, name: str) -> tuple[str, ...]:
        lists = self._values.get(name, ())
        if len(lists) > MAX_EVENT_LISTS:
            problem = f"is given {len(lists)} times; {MAX_EVENT_LISTS} are allowed"
            raise self._refuse(name, codes.OUT_OF_RANGE, problem)
        words = [word for given in lists for word in _SPLIT.split(given.lower()) if word]
        unknown = sorted(set(words).difference(STATUS_EVENTS))
        if unknown:
            shown = _CONTROL.sub("?", unknown[0][:40])
            raise self._refuse(
                name,
                codes.BAD_VALUE,
                f'has the unknown event "{shown}"; the events are {", ".join(STATUS_EVENTS)}',
            )
        if not words:
            return ("completed",)
        return tuple(event for event in STATUS_EVENTS if event in words)

    def seconds(self, name: str, default: int, largest: int) -> int:
        value = self.one(name)
        if not value:
            return default
        if _WHOLE.fullmatch(value) is None:
            raise self._refuse(
                name, codes.BAD_VALUE, f"must be a whole number of seconds, 1 to {largest}"
            )
        number = int(value)
        if not 1 <= number <= largest:
            raise self._refuse(name, codes.OUT_OF_RANGE, f"must be 1 to {largest} seconds")
        return number

    def truth(self, name: str) -> bool:
        value = self.one(name).lower()
        if not value or value in FALSE:
            return False
        if value not in TRUE:
            raise self._refuse(name, codes.BAD_VALUE, "must be true or false")
        return True
