"""What attribute values and element bodies may be, and how their text becomes a value.

A `Kind` is a name for the reference and a function ``(text, base_url) -> value``. Text that does
not fit raises `Unfit`, which also carries the nearest value that does, when there is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

from outdial.frozen import frozen


class Unfit(ValueError):
    """The text is not a value of the kind. `instead` is the nearest one, None for the default."""

    def __init__(self, problem: str, instead: Any = None) -> None:
        self.problem = problem
        self.instead = instead
        super().__init__(problem)


@frozen
class Kind:
    """A type of value."""

    name: str
    """For the reference, e.g. ``integer, 0-1000``."""
    convert: Callable[[str, str], Any]
    """``(text, base_url) -> value``; raises Unfit."""
    words: tuple[str, ...] = ()
    """All that it takes, when that is a few words."""
    range: tuple[int, int] | None = None
    """The least and the most, of a number that is moved to the nearer of them."""


_TRUE = frozenset({"1", "on", "yes", "true"})
_FALSE = frozenset({"0", "off", "no", "false"})
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}")
_PHONE = re.compile(r"[0-9A-Za-z +().*#/-]{1,64}")
_SIP = re.compile(
    r"(?:(?P<scheme>sips?):)?(?:(?P<user>[^\s<>\"@\x00-\x20\x7f-\x9f]++)@)?"
    r"(?:[a-z0-9\-._]++|\[[0-9a-f:.]++\])(?::[0-9]{1,5})?(?:[;?][^\s<>\"\x00-\x20\x7f-\x9f]*+)?",
    re.IGNORECASE,
)
_LONGEST_SIP = 512
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DIGITS = re.compile(r"[0-9*#A-DwW]{1,200}")
_NOT_IN_NAMES = re.compile(r"[^\w.-]|(?<=^.{64}).+", re.DOTALL)
_KEYS = re.compile(r"[0-9*#]{1,20}")
_EVENTS = ("initiated", "ringing", "answered", "completed")
_INPUTS = ("dtmf", "speech")
MOST_HINTS = 100
LONGEST_HINT = 100
"""In characters."""
_SHOWN = 40
_LONGEST_URL = 4096


def quote(text: str) -> str:
    """A value for a message: cut to forty characters, in quotation marks."""
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


def _clamped(value: int, lowest: int, highest: int) -> int:
    if value < lowest:
        raise Unfit(f"{value} is under {lowest}, which is used instead", lowest)
    if value > highest:
        raise Unfit(f"{quote(str(value))} is over {highest}, which is used instead", highest)
    return value


def integer(lowest: int, highest: int, unit: str = "") -> Kind:
    """Whole numbers; those outside the range are moved to its end, but negative ones do not fit.

    A loop of -1 is a slip and must not become 0, which is for ever.
    """

    def convert(text: str, base_url: str) -> int:
        if not _INTEGER.fullmatch(text):
            raise Unfit(f"{quote(text)} is not a whole number, {lowest} to {highest}")
        if text.startswith("-"):
            raise Unfit(f"{quote(text)} is negative, not {lowest} to {highest}")
        # Python refuses to read thousands of digits; twenty are already out of every range.
        return _clamped(int(text[:20]), lowest, highest)

    name = f"integer{' ' + unit if unit else ''}, {lowest}-{highest}"
    return Kind(name, convert, range=(lowest, highest))


def seconds_as_ms(longest_s: int) -> Kind:
    """Seconds, decimals allowed, as milliseconds; at least 1."""

    def convert(text: str, base_url: str) -> int:
        if not _DECIMAL.fullmatch(text):
            raise Unfit(f"{quote(text)} is not a number of seconds such as 2 or 0.5")
        return _clamped(round(float(text) * 1000), 1, longest_s * 1000)

    return Kind(f"seconds, to {longest_s}", convert, range=(1, longest_s * 1000))


def text_to(longest: int) -> Kind:
    """Any text on one line, cut to the length."""

    def convert(text: str, base_url: str) -> str:
        line = " ".join(_CONTROL.sub(" ", text).split())
        if len(line) > longest:
            raise Unfit(f"{quote(line)} is over {longest} characters and cut", line[:longest])
        return line

    return Kind(f"text, to {longest} characters", convert)


def choice(*names: str, **aliases: str) -> Kind:
    """One of the names, in any case; an alias stands for a name."""
    known = {name.lower(): name for name in names} | aliases

    def convert(text: str, base_url: str) -> str:
        try:
            return known[text.lower()]
        except KeyError:
            raise Unfit(f"{quote(text)} is none of {', '.join(names)}") from None

    shown = ", ".join(f"`{name}`" for name in names)
    also = ", ".join(f"`{alias}` = `{name}`" for alias, name in aliases.items())
    return Kind(f"{shown} ({also})" if also else shown, convert, words=(*names, *aliases))


def _boolean(text: str, base_url: str) -> bool:
    folded = text.lower()
    if folded in _TRUE:
        return True
    if folded in _FALSE:
        return False
    raise Unfit(f"{quote(text)} is neither on nor off")


def _url(text: str, base_url: str) -> str:
    if len(text) > _LONGEST_URL:
        raise Unfit(f"the URL is over {_LONGEST_URL} characters")
    if _CONTROL.search(text):
        raise Unfit(f"{quote(text)} has control characters")
    try:
        url = urljoin(base_url, text)
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise Unfit(f"{quote(text)} is not a URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise Unfit(f"{quote(text)} is not an http or https URL")
    return url.replace(" ", "%20")


def _language(text: str, base_url: str) -> str:
    tag = text.replace("_", "-")
    if not _LANGUAGE.fullmatch(tag):
        raise Unfit(f"{quote(text)} is not a language code such as en or es")
    return tag.lower()


def _phone(text: str, base_url: str) -> str:
    number = " ".join(text.split())
    if not _PHONE.fullmatch(number) or not any(c.isdigit() for c in number):
        raise Unfit(f"{quote(text)} is not a phone number such as 12025550100")
    return number


def _sip(text: str, base_url: str) -> str:
    scheme = text.partition(":")[0].lower()
    if scheme in ("http", "https", "tel", "mailto"):
        raise Unfit(f"{quote(text)} is not a SIP URI")
    found = _SIP.fullmatch(text)
    if found is None or len(text) > _LONGEST_SIP:
        wanted = "neither a host nor a SIP URI such as sip:desk@pbx.example.com"
        raise Unfit(f"{quote(text)} is {wanted}")
    if found["scheme"] is None:
        return f"sip:{text}" if found["user"] else text
    return f"{found['scheme'].lower()}:{text.partition(':')[2]}"


def _digits(text: str, base_url: str) -> str:
    if not _DIGITS.fullmatch(text):
        raise Unfit("holds something besides 0-9 * # A-D w W, or over 200 of them")
    return text


def _keys(text: str, base_url: str) -> str:
    if not _KEYS.fullmatch(text):
        raise Unfit(f"{quote(text)} holds something besides 0-9 * #")
    return text


def _queue_name(text: str, base_url: str) -> str:
    name = _NOT_IN_NAMES.sub("", text)
    if not name:
        raise Unfit(f"{quote(text)} has no letter or digit")
    if name != text:
        raise Unfit(f"{quote(text)} is more than letters and digits; {quote(name)} is meant", name)
    return name


def _events(text: str, base_url: str) -> tuple[str, ...]:
    wanted = set(text.lower().replace(",", " ").split())
    known = tuple(event for event in _EVENTS if event in wanted)
    unknown = sorted(wanted.difference(_EVENTS))
    if unknown:
        raise Unfit(
            f"there is no event {quote(unknown[0])}, but {', '.join(_EVENTS)}", known or None
        )
    return known


def _input(text: str, base_url: str) -> tuple[str, ...]:
    wanted = text.lower().replace(",", " ").split()
    known = tuple(way for way in _INPUTS if way in wanted)
    unknown = [way for way in wanted if way not in _INPUTS]
    if unknown or not known:
        raise Unfit(f"{quote(unknown[0] if unknown else text)} is no input", known or None)
    return known


def _hints(text: str, base_url: str) -> tuple[str, ...]:
    hints = tuple(dict.fromkeys(" ".join(hint.split()) for hint in text.split(",")))
    good = tuple(hint for hint in hints if hint and len(hint) <= LONGEST_HINT)[:MOST_HINTS]
    if any(len(hint) > LONGEST_HINT for hint in hints):
        raise Unfit(f"a hint is over {LONGEST_HINT} characters and left out", good or None)
    if len(hints) > MOST_HINTS:
        raise Unfit(f"{len(hints)} are over {MOST_HINTS}; the others are left out", good)
    return good


def _speech_timeout_ms(text: str, base_url: str) -> int | None:
    if text.lower() == "auto":
        return None
    if not _DECIMAL.fullmatch(text):
        raise Unfit(f"{quote(text)} is neither auto nor a number of seconds")
    return _clamped(round(float(text) * 1000), 200, 5000)


def _text(text: str, base_url: str) -> str:
    return " ".join(text.split())


BOOLEAN = Kind(
    "`on`, `off` (also 1/0, yes/no, true/false)", _boolean, words=(*sorted(_TRUE), *sorted(_FALSE))
)
URL = Kind("URL, relative to the document's", _url)
METHOD = choice("POST", "GET")
LANGUAGE = Kind("language code, e.g. `en`, `es`", _language)
PHONE = Kind("phone number", _phone)
SIP = Kind("host or SIP URI", _sip)
DIGITS = Kind("`0`-`9` `*` `#` `A`-`D`, `w` 0.5 s, `W` 1 s", _digits)
KEYS = Kind("any of `0`-`9`, `*`, `#`", _keys)
EVENTS = Kind("any of `initiated`, `ringing`, `answered`, `completed`", _events, words=_EVENTS)
QUEUE_NAME = Kind("letters and digits, to 64", _queue_name)
INPUT = Kind("`dtmf`, `speech`, or both", _input)
HINTS = Kind(f"texts separated by commas, to {MOST_HINTS} of {LONGEST_HINT} characters", _hints)
SPEECH_TIMEOUT = Kind("`auto`, or seconds, 0.2-5", _speech_timeout_ms)
TEXT = Kind("text", _text)
