"""Places calls over the public API at a fixed rate, over kept-alive connections."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections import Counter
from typing import cast
from urllib.parse import urlencode

from bench.sink import EVENTS, FIRST_LEG, SECOND_LEG, Placed, Sink

PATH = "/didforsaleapi/index.php/api/V2/CallTermination/"
_LENGTH = re.compile(rb"(?i)\r\ncontent-length:\s*(\d+)")
_numbers = itertools.count(int(time.time() * 50) % 80_000_000 + 10_000_000)


class Caller:
    """Posts calls to one server and keeps what became of them."""

    def __init__(self, sink: Sink, host: str, port: int, key: str) -> None:
        self._sink, self._host, self._port, self._key = sink, host, port, key
        self._idle: list[_Post] = []
        self.calls: dict[str, Placed] = {}

    async def load(self, document: str, rate: float, count: int, texts: list[str] = []) -> None:  # noqa: B006 - read only
        """One call every 1/rate seconds whatever happens to those before it (an open loop)."""
        begin = time.monotonic()
        tasks = []
        for number in range(count):
            wait = begin + number / rate - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            text = texts[number % len(texts)] if texts else ""
            tasks.append(asyncio.create_task(self._place(document, text)))
        await asyncio.gather(*tasks)

    async def drain(self, patience_s: float) -> None:
        """Waits until all calls are over, so long at most."""
        end = time.monotonic() + patience_s
        # Looked at, not signalled: an event a callback would cost more than twenty looks a second.
        while not self._all_over and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    @property
    def _all_over(self) -> bool:
        return all(call.over for call in self.calls.values())

    def forget(self) -> None:
        """Starts anew; what is still heard of earlier calls is not counted."""
        for cid in self.calls:
            self._sink.calls.pop(cid, None)
        self.calls = {}

    def faults(self, length_s: float) -> Counter[str]:
        """How many calls failed, by reason."""
        reasons = (call.fault(length_s) for call in self.calls.values())
        return Counter(reason for reason in reasons if reason)

    def close(self) -> None:
        """Closes the connections."""
        for post in self._idle:
            post.close()

    async def _place(self, document: str, text: str) -> None:
        cid = f"{next(_numbers) % 100_000_000:08d}"
        path = f"dial/{SECOND_LEG}{cid}" if document == "dial" else document
        call = self.calls[cid] = self._sink.calls[cid] = Placed(time.time(), text=text)
        form = urlencode(
            {
                "apikey": self._key,
                "from": "911140000000",
                "to": FIRST_LEG + cid,
                "url": f"{self._sink.base}/{path}?cid={cid}",
                "statusCallback": f"{self._sink.base}/status?cid={cid}",
                "statusCallbackEvent": ",".join(EVENTS),
            }
        ).encode()
        try:
            call.status = await asyncio.wait_for(self._post(call, form), 30)
        except (OSError, TimeoutError):
            call.status = -1
        call.answered_post = time.time()

    async def _post(self, call: Placed, form: bytes) -> int:
        while self._idle:
            post = self._idle.pop()
            if post.usable:
                break
        else:
            loop = asyncio.get_running_loop()
            _, post = await loop.create_connection(_Post, self._host, self._port)
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(form)}\r\n\r\n"
        )
        call.posted = time.time()
        status = await post.send(head.encode() + form)
        self._idle.append(post)
        return status


class _Post(asyncio.Protocol):
    def __init__(self) -> None:
        self._pending = b""
        self._status: asyncio.Future[int] | None = None

    @property
    def usable(self) -> bool:
        return not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._status is not None and not self._status.done():
            self._status.set_exception(ConnectionResetError("closed before it answered"))

    def send(self, data: bytes) -> asyncio.Future[int]:
        self._status = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return self._status

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._pending += data
        head, gap, rest = self._pending.partition(b"\r\n\r\n")
        if not gap:
            return
        length = _LENGTH.search(head)
        if length is None or len(rest) < int(length[1]):
            return
        self._pending = b""
        if self._status is not None and not self._status.done():
            self._status.set_result(int(head[9:12]))
