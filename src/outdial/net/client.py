"""The only outgoing HTTP client: application documents, callbacks, sounds.

Each request has one total time, one size cap that holds while the body streams (whatever
Content-Length says, compressed or not), no cookies, no proxies, and follows no redirect unless
the caller says how many, each hop judged like the first URL. Addresses are judged by
`addresses` before a connection is made; see there and in `resolver`.

Connections are kept for a short while and used again. A request whose kept connection turns out
to be dead is repeated only when that is safe (RFC 9110 section 9.2.2: not for POST).
"""

from __future__ import annotations

import asyncio
import re
import ssl
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aiohttp
from yarl import URL

import outdial
from outdial.errors import FetchError
from outdial.net import form
from outdial.net.addresses import AddressPolicy, Target, parse_target
from outdial.net.resolver import CheckedResolver, Resolver, SystemResolver

Params = Sequence[tuple[str, str]]
FORM = "application/x-www-form-urlencoded"

_CONNECTIONS = 1024
_CONNECTIONS_PER_HOST = 256
_KEEP_ALIVE_S = 4.0
"""Shorter than the 5 s after which many servers close: a POST seldom meets a closing one."""
_DNS_KEPT_S = 10
_TARGETS_KEPT = 1024
_BAD_IN_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


@dataclass(frozen=True, slots=True)
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

    Must be used on one event loop. `resolver` is given by tests.
    """

    def __init__(self, policy: AddressPolicy, *, resolver: Resolver | None = None) -> None:
        self.policy = policy
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None
        self._targets: OrderedDict[str, Target] = OrderedDict()
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

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
    ) -> HttpResponse:
        """One request and its whole answer.

        GET (and HEAD, DELETE) adds `params` to the query the URL has; other methods send them as
        a form, or `body` as `content_type`. `follow` is how many redirects may be followed; the
        parameters are not sent again.

        Raises FetchError for everything but an answer; an answer of any status is returned.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._follow(
                    method, url, params, body, content_type, headers, timeout_s, max_bytes, follow
                )
        except TimeoutError:
            raise FetchError("timeout", f"no complete answer within {timeout_s:g} s") from None

    async def close(self) -> None:
        """Closes every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _follow(
        self,
        method: str,
        url: str,
        params: Params,
        body: bytes | None,
        content_type: str,
        headers: Params,
        timeout_s: float,
        max_bytes: int,
        follow: int,
    ) -> HttpResponse:
        target = self._target(url)
        for name, value in headers:
            if _BAD_IN_HEADER.search(name) or _BAD_IN_HEADER.search(value):
                raise FetchError("protocol", f"header {name!r} contains a control character")
        requested = target.url
        if method in ("GET", "HEAD", "DELETE"):
            if params:
                requested = with_params(requested, params)
        elif body is None:
            body = form.encode(params).encode("ascii")
        while True:
            sent = [*headers, ("Content-Type", content_type)] if body is not None else headers
            response = await self._once(method, requested, body, sent, max_bytes)
            location = response.headers.get("Location")
            if follow <= 0 or response.status not in _REDIRECTS or not location:
                return response
            follow -= 1
            requested = self._target(_join(requested, location)).url
            if response.status == 303 or (method == "POST" and response.status in (301, 302)):
                method, body = "GET", None

    async def _once(
        self, method: str, url: URL, body: bytes | None, headers: Params, max_bytes: int
    ) -> HttpResponse:
        try:
            answer = await self._open().request(
                method, url, data=body, headers=headers, allow_redirects=False
            )
        except FetchError as failure:  # from the resolver, possibly shared by several requests
            raise FetchError(failure.kind, str(failure)) from None
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            raise _failure(url, failure) from None
        try:
            content = await _read(answer, max_bytes)
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            raise _failure(url, failure) from None
        finally:
            answer.close() if not answer.content.is_eof() else answer.release()
        kind = answer.headers.get("Content-Type", "")
        return HttpResponse(
            answer.status,
            answer.headers,
            content,
            str(url),
            kind.partition(";")[0].strip().lower(),
        )

    def _target(self, url: str) -> Target:
        """The judged URL, from memory when it was asked for lately (parsing is slow)."""
        target = self._targets.get(url)
        if target is not None:
            self._targets.move_to_end(url)
            return target
        target = parse_target(url, self.policy)
        self._targets[url] = target
        if len(self._targets) > _TARGETS_KEPT:
            self._targets.popitem(last=False)
        return target

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=CheckedResolver(self.policy, self._resolver or SystemResolver()),
                limit=_CONNECTIONS,
                limit_per_host=_CONNECTIONS_PER_HOST,
                ttl_dns_cache=_DNS_KEPT_S,
                keepalive_timeout=_KEEP_ALIVE_S,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                # the total time is kept by `request`, over redirects too
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                headers={
                    "User-Agent": f"Outdial/{outdial.__version__}",
                    "Accept": "*/*",
                    "Accept-Encoding": "identity",
                },
            )
        return self._session


def with_params(url: URL, params: Params) -> URL:
    """The URL with the parameters after those it has; nothing it has is changed or re-quoted."""
    added = form.encode(params)
    joint = "&" if url.raw_query_string else "?"
    return URL(f"{str(url).removesuffix('?')}{joint}{added}", encoded=True)


def _join(url: URL, location: str) -> str:
    try:
        return str(url.join(URL(location.strip())))
    except ValueError:
        raise FetchError("protocol", f"redirected to {location!r}, which is not a URL") from None


async def _read(answer: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    declared = answer.content_length
    if declared is not None and declared > max_bytes:
        raise _too_large(max_bytes)
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    chunks: list[bytes] = []
    size = 0
    while not answer.content.at_eof():
        chunk = await answer.content.readany()
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
    content = b"".join(chunks)
    if encoding in ("", "identity") or not content:
        return content
    return _decompress(content, encoding, max_bytes)


def _decompress(content: bytes, encoding: str, max_bytes: int) -> bytes:
    """For servers that compress although told not to; the cap is on what comes out."""
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise FetchError("protocol", f"the answer is encoded as {encoding!r}, unasked")
    # 15 bits of window; +32 takes the gzip or zlib header, whichever there is
    inflater = zlib.decompressobj(47)
    try:
        plain = inflater.decompress(content, max_bytes + 1)
    except zlib.error:
        raise FetchError("protocol", f"the answer is not the {encoding} it says") from None
    if len(plain) > max_bytes:
        raise _too_large(max_bytes)
    if not inflater.eof:
        raise FetchError("protocol", "the compressed answer is cut short")
    return plain


def _too_large(max_bytes: int) -> FetchError:
    return FetchError("too-large", f"the answer is larger than {max_bytes} bytes")


def _failure(url: URL, error: Exception) -> FetchError:
    """What went wrong, in our words."""
    place = url.host_port_subcomponent
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError() | ssl.SSLError():
            return FetchError("tls", f"no secure connection to {place}: {error}")
        case aiohttp.ClientConnectorError() | ConnectionRefusedError():
            reason = getattr(error, "strerror", None) or error
            return FetchError("connect", f"cannot connect to {place}: {reason}")
        case aiohttp.ServerDisconnectedError() | ConnectionResetError():
            return FetchError("protocol", f"{place} closed the connection before it answered")
        case aiohttp.ClientPayloadError():
            return FetchError("protocol", f"{place} broke off its answer")
        case aiohttp.ClientResponseError():
            said = error.message.partition("\n")[0]
            return FetchError("protocol", f"{place} does not speak HTTP: {said}")
        case OSError():
            return FetchError("connect", f"cannot reach {place}: {error.strerror or error}")
        case _:
            return FetchError("protocol", f"{place}: {error or type(error).__name__}")
