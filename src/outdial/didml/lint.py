"""What is wrong with a document, or will surprise its author, without running it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import repeat
from urllib.parse import parse_qsl, urlsplit

from outdial.didml.parse import MAX_BYTES, Document, parse
from outdial.didml.verbs import (
    Conference,
    Dial,
    Enqueue,
    Fax,
    Gather,
    Hangup,
    Number,
    Pause,
    Play,
    Postcall,
    Queue,
    Record,
    Redirect,
    Reject,
    Say,
    Sip,
    Sms,
    Verb,
)
from outdial.errors import DocumentError
from outdial.frozen import frozen

Judge = Callable[[str], str]
"""Why requests to a URL will be refused; "" when they will not."""

_SECRET_NAMES = ("key", "token", "secret", "password", "passwd", "pwd", "auth", "sig", "pin")
_PRIVATE_NAMES = (".local", ".internal", ".lan", ".home.arpa", ".intranet", ".corp")


@frozen
class Finding:
    """Something to look at. `line` and `column` count from 1; 0 where there is no one place."""

    line: int
    column: int
    severity: str
    """error: the document cannot be run; warning."""
    message: str


def lint(
    body: bytes, content_type: str, base_url: str, judge: Judge, max_bytes: int = MAX_BYTES
) -> tuple[list[Finding], int]:
    """What there is to say of a document, in the order of its lines, and how many verbs it has.

    The parameters are those of `parse`; `judge` knows which addresses may be reached.
    """
    try:
        document = parse(body, content_type, base_url, max_bytes)
    except DocumentError as error:
        return [Finding(error.line, error.column, "error", str(error))], 0
    said = [Finding(w.line, w.column, "warning", w.message) for w in document.warnings]
    said += _Look(base_url, judge).at(document)
    return sorted(said, key=lambda finding: (finding.line, finding.column)), len(document.verbs)


class _Look:
    """A look through one document."""

    def __init__(self, base_url: str, judge: Judge) -> None:
        self._base_url = base_url
        self._judge = judge
        self._judged: set[str] = set()
        """Places of which something was said: once is enough."""

    def at(self, document: Document) -> Iterator[Finding]:
        """What is to be said of its verbs."""
        ended = ""
        columns = (*document.columns, *repeat(0, len(document.verbs)))
        for number, (verb, column) in enumerate(zip(document.verbs, columns, strict=False)):
            place = (verb.line, column)
            if ended:
                name = type(verb).__name__
                yield _warning(place, f"{name} and what follows is never run: {ended}")
                return
            for message in self._of(verb, is_first=number == 0):
                yield _warning(place, message)
            ended = _end_of(verb)

    def _of(self, verb: Verb, *, is_first: bool) -> Iterator[str]:
        if isinstance(verb, Gather):
            yield from _of_gather(verb)
        if isinstance(verb, Redirect) and is_first and verb.url == self._base_url:
            yield "Redirect leads to this document again: the call goes round until it has had all"
        for label, url in _urls(verb):
            yield from self._of_url(label, url)

    def _of_url(self, label: str, url: str) -> Iterator[str]:
        parts = urlsplit(url)
        host = parts.hostname or ""
        refused = self._judge(url)
        if not refused and host.endswith(_PRIVATE_NAMES):
            refused = f"{host} is a name of a private network, which the server may not reach"
        if refused and parts.netloc not in self._judged:
            self._judged.add(parts.netloc)
            yield f"{label}: {refused}"
        if parts.scheme != "http" or _is_local(host):
            return
        names = [name for name, _ in parse_qsl(parts.query) if _is_secret(name)]
        if names:
            yield f"{label}: {names[0]} goes over http, for all on the way to read; use https"
        elif label == "action of Gather":
            yield f"{label}: what is keyed goes over http, for all on the way to read; use https"


def _warning(place: tuple[int, int], message: str) -> Finding:
    return Finding(*place, "warning", message)


def _of_gather(gather: Gather) -> Iterator[str]:
    if not gather.action:
        yield "Gather has no action: what is keyed goes nowhere"
    for part in gather.prompt[:-1]:
        if _is_endless(part):
            name = type(part).__name__
            yield f"in Gather nothing after this {name} is heard: it goes on until a key is pressed"
            return


def _end_of(verb: Verb) -> str:
    """Why nothing after the verb is ever run; "" when it is."""
    line = f"in line {verb.line}"
    match verb:
        case Hangup() | Reject():
            return f"{type(verb).__name__} {line} ends the call"
        case Redirect():
            return f"Redirect {line} goes on with another document"
        case Dial() | Sms() | Fax() if verb.action:
            return f"the answer of the action of {type(verb).__name__} {line} takes over"
        case Say() | Play() if _is_endless(verb):
            return f"{type(verb).__name__} {line} goes on until the call ends"
        case Gather() if _always_answers(verb):
            return f"Gather {line} waits for a key, and every key leads to its action"
        case _:
            return ""


def _always_answers(gather: Gather) -> bool:
    """Whether there is no way past its action: it waits for ever, and any key will do.

    A word that is not recognised leads past it.
    """
    waits = any(_is_endless(part) for part in gather.prompt)
    any_key = gather.input == ("dtmf",) and gather.min_digits == 1 and not gather.finish_on_key
    return waits and bool(gather.action) and any_key


def _is_endless(verb: Say | Play | Pause) -> bool:
    return not isinstance(verb, Pause) and verb.loop == 0


def _urls(verb: Verb) -> Iterator[tuple[str, str]]:
    """What the server will be sent to, and as what."""
    name = type(verb).__name__
    match verb:
        case Play() | Redirect() | Postcall():
            found = [(f"URL of {name}", verb.url)]
        case Say() | Record() | Fax():
            found = [(f"action of {name}", verb.action)]
        case Sms():
            found = [
                ("action of Sms", verb.action),
                ("statusCallback of Sms", verb.status_callback),
            ]
        case Enqueue():
            found = [("waitUrl of Enqueue", verb.wait_url)]
        case Gather():
            found = [("action of Gather", verb.action)]
            found += [pair for part in verb.prompt for pair in _urls(part)]
        case Dial():
            found = [("action of Dial", verb.action)]
            found += [pair for target in verb.targets for pair in _urls_of_target(target)]
        case _:
            found = []
    return ((label, url) for label, url in found if url)


def _urls_of_target(target: Number | Sip | Conference | Queue) -> list[tuple[str, str]]:
    match target:
        case Number():
            return [
                ("url of Number", target.url),
                ("statusCallback of Number", target.status_callback),
            ]
        case Conference():
            return [("waitUrl of Conference", target.wait_url)]
        case Queue():
            return [("url of Queue", target.url)]
        case Sip():
            return []


def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith((".localhost", *_PRIVATE_NAMES)):
        return True
    try:
        return ip_address(host).is_private
    except ValueError:
        return False


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_NAMES)
