"""The only outgoing HTTP client: application documents, callbacks, sounds.

Each request has one total time, one size cap that holds while the body streams (whatever
Content-Length says, compressed or not), no cookies, no proxies, and follows no redirect unless
the caller says how many, each hop judged like the first URL. Addresses are judged by
`addresses` before a connection is made; see there and in `resolver`.

Connections are kept for a short while and used again. A request whose kept connection turns out
to be dead is repeated only when that is safe (RFC 9110 section 9.2.2: not for POST).

Every request is signed when there is a `signer`, but for a redirect's to another server: whoever
redirects would choose what is signed, and have it sent to somebody who trusts our signature.

docs/design/http-client.md says why this is not a library's session.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urljoin

import outdial
from outdial import ids
from outdial.errors import FetchError
from outdial.net import form
from outdial.net.addresses import AddressPolicy, Origin, parse_target
from outdial.net.connection import Answer, Connection, Disconnected
from outdial.net.pool import Pool
from outdial.net.resolver import CheckedResolver, Resolver, SystemResolver
from outdial.net.trace import Signer, Trace

Params = Sequence[tuple[str, str]]
FORM = "application/x-www-form-urlencoded"

_METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE"))
_IN_QUERY = frozenset(("GET", "DELETE"))
_REPEATABLE = frozenset(("GET", "PUT", "DELETE"))
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_BAD_IN_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_ALWAYS = (
    f"User-Agent: Outdial/{outdial.__version__}\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
)


class Headers(Mapping[str, str]):
    """An answer's header lines: case-insensitive, of repeated ones the first."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower().encode()].decode("utf-8", "replace")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("ascii") for name in self._fields)

    def __len__(self) -> int:
        return len(self._fields)


@dataclass(slots=True)
class HttpResponse:
    """A complete answer, of any status; a redirect that was not followed is one."""

    status: int
    headers: Mapping[str, str]
    """Case-insensitive; of repeated headers the first."""
    body: bytes
    url: str
    """What was fetched in the end: differs from what was asked for only after redirects."""
    content_type: str
    """Lower case, without parameters; "" when there was none."""


class HttpClient:
    """Makes requests within the rules. One for the whole program; `close` it.

    Must be used on one event loop. `signer` signs every request. `resolver` and `tls` are given by
    tests.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        signer: Signer | None = None,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.policy = policy
        self._signer = signer
        self._resolver = resolver
        self._tls = tls
        self._pool: Pool | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Params = (),
        body: bytes | None = None,
        content_type: str = FORM,
        headers: Params = (),
        timeout_s: float = 10.0,
        max_bytes: int = 65536,
        follow: int = 0,
        message_id: str = "",
        connect_timeout_s: float | None = None,
        read_timeout_s: float | None = None,
        trace: Trace | None = None,
        once: bool = False,
    ) -> HttpResponse:
        """One request and its whole answer.

        GET and DELETE add `params` to the query the URL has; POST, PUT and PATCH send them as a
        form, or `body` as `content_type`. `follow` is how many redirects may be followed; the
        parameters are not sent again. `message_id` is the webhook-id, a new one when it is "".
        Within `timeout_s` a connection may take `connect_timeout_s` and the answer may pause for
        `read_timeout_s`. `trace` is told what was sent and came, also when that is not all.
        `once`: nothing is sent a second time, not even where the method allows it.

        Raises FetchError for everything but an answer; an answer of any status is returned.
        """
        pool = self._pool or self._open()
        target = parse_target(url, self.policy)
        origin, path = target.origin, target.path
        further = _lines(headers) if headers else ""
        if method in _IN_QUERY:
            if params:
                path = with_params(path, params)
        elif method not in _METHODS:
            raise FetchError("protocol", f"{method!r} is not a method that is sent")
        elif body is None:
            body = form.encode(params).encode("ascii")
        limits = _Limits(
            max_bytes,
            asyncio.get_running_loop().time() + timeout_s,
            connect_timeout_s,
            read_timeout_s,
        )
        asked = origin
        message_id = message_id or ids.new(ids.REQUEST)
        while True:
            lines = further
            if self._signer is not None and origin.text == asked.text:
                lines += self._signature(message_id, path, body, trace)
            request = _encode(method, origin, path, lines, content_type, body)
            try:
                repeatable = method in _REPEATABLE and not once
                answer = await _exchange(pool, origin, request, repeatable, limits, trace)
            except TimeoutError as late:
                message = str(late) or f"no complete answer within {timeout_s:g} s"
                raise FetchError("timeout", message) from None
            response = _response(answer, origin.text + path, max_bytes)
            if follow <= 0 or answer.status not in _REDIRECTS:
                return response
            location = response.headers.get("Location")
            if not location:
                return response
            follow -= 1
            target = parse_target(_join(response.url, location), self.policy)
            origin, path = target.origin, target.path
            if answer.status == 303 or (method == "POST" and answer.status in (301, 302)):
                method, body = "GET", None

    def _signature(
        self, message_id: str, path: str, body: bytes | None, trace: Trace | None
    ) -> str:
        """The header lines. The payload is the body, or the query of a request without one."""
        payload = path.partition("?")[2].encode("ascii", "replace") if body is None else body
        assert self._signer is not None  # noqa: S101 - asked before
        timestamp, signature = self._signer.sign(message_id, payload)
        if trace is not None:
            trace.timestamp, trace.signature = timestamp, signature
        return (
            f"webhook-id: {message_id}\r\nwebhook-timestamp: {timestamp}\r\n"
            f"webhook-signature: {signature}\r\n"
        )

    def connections(self) -> dict[str, int]:
        """How many are open: ``idle`` is kept for the next request, ``busy`` has one."""
        return {"idle": 0, "busy": 0} if self._pool is None else self._pool.count()

    async def close(self) -> None:
        """Closes every connection; it cannot be used again."""
        if self._pool is not None:
            await self._pool.close()

    def _open(self) -> Pool:
        resolver = CheckedResolver(self.policy, self._resolver or SystemResolver())
        self._pool = Pool(resolver, self._tls)
        return self._pool


def with_params(url: str, params: Params) -> str:
    """The URL, or path, with the parameters after those it has; what it has stays as it is."""
    before, _, query = url.partition("?")
    joint = "&" if query else ""
    return f"{before}?{query}{joint}{form.encode(params)}"


class _Limits(NamedTuple):
    max_bytes: int
    deadline: float
    """Loop time."""
    connect_s: float | None
    read_s: float | None


async def _exchange(
    pool: Pool,
    origin: Origin,
    request: bytes,
    repeatable: bool,
    limits: _Limits,
    trace: Trace | None,
) -> Answer:
    """Raises TimeoutError and FetchError."""
    while True:
        connection = pool.take(origin) or await _connect(pool, origin, limits)
        try:
            return await connection.ask(request, *limits[:2], limits.read_s)
        except Disconnected:
            # the server closed a kept connection just when it was used again; each such
            # connection is gone then, so this ends with a new one
            if not repeatable or connection.asked == 1:
                raise
        finally:
            if trace is not None:
                connection.tell(trace)
            pool.give(origin, connection)


class Preview(NamedTuple):
    """A request as it is sent."""

    url: str
    headers: dict[str, str]
    body: str


def preview(method: str, url: str, params: Params, message_id: str) -> Preview:
    """What `HttpClient.request` sends for these, but for the signature, which changes."""
    url = url.partition("#")[0]
    body = ""
    if method in _IN_QUERY:
        url = with_params(url, params) if params else url
    else:
        body = form.encode(params)
    host = "/".join(url.split("/", 3)[2:3]).partition("?")[0]
    headers = {"Host": host}
    for line in _ALWAYS.splitlines():
        name, _, value = line.partition(": ")
        headers[name] = value
    headers["webhook-id"] = message_id
    if method not in _IN_QUERY:
        headers |= {"Content-Type": FORM, "Content-Length": str(len(body))}
    return Preview(url, headers, body)


async def _connect(pool: Pool, origin: Origin, limits: _Limits) -> Connection:
    """Raises TimeoutError at the deadline, FetchError."""
    deadline, most_s = limits.deadline, limits.connect_s
    if most_s is None:
        async with asyncio.timeout_at(deadline):
            return await pool.connect(origin)
    until = asyncio.get_running_loop().time() + most_s
    try:
        async with asyncio.timeout_at(min(until, deadline)):
            return await pool.connect(origin)
    except TimeoutError:
        if deadline <= until:
            raise
        message = f"no connection to {origin.authority} within {most_s:g} s"
        raise FetchError("connect", message) from None


def _encode(
    method: str, origin: Origin, path: str, further: str, content_type: str, body: bytes | None
) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: {origin.authority}\r\n{_ALWAYS}{further}"
    if body is None:
        return f"{head}\r\n".encode("utf-8", "replace")
    head = f"{head}Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("utf-8", "replace") + body


def _lines(headers: Params) -> str:
    for name, value in headers:
        if not _NAME.fullmatch(name) or _BAD_IN_HEADER.search(value):
            raise FetchError("protocol", f"header {name!r} contains what a header may not")
    return "".join([f"{name}: {value}\r\n" for name, value in headers])


def _join(url: str, location: str) -> str:
    try:
        return urljoin(url, location.strip())
    except ValueError:
        raise FetchError("protocol", f"redirected to {location!r}, which is not a URL") from None


def _response(answer: Answer, url: str, max_bytes: int) -> HttpResponse:
    fields, body = answer.fields, answer.body
    encoding = fields.get(b"content-encoding")
    if encoding and body:
        body = _decompress(body, encoding.decode("latin-1").strip().lower(), max_bytes)
    kind = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
    return HttpResponse(answer.status, Headers(fields), body, url, kind.decode("utf-8", "replace"))


def _decompress(content: bytes, encoding: str, max_bytes: int) -> bytes:
    """For servers that compress although told not to; the cap is on what comes out."""
    if encoding == "identity":
        return content
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise FetchError("protocol", f"the answer is encoded as {encoding!r}, unasked")
    # 15 bits of window; +32 takes the gzip or zlib header, whichever there is
    inflater = zlib.decompressobj(47)
    try:
        plain = inflater.decompress(content, max_bytes + 1)
    except zlib.error:
        raise FetchError("protocol", f"the answer is not the {encoding} it says") from None
    if len(plain) > max_bytes:
        raise FetchError("too-large", f"the answer is larger than {max_bytes} bytes")
    if not inflater.eof:
        raise FetchError("protocol", "the compressed answer is cut short")
    return plain
