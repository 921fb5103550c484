"""Posts calls through the public HTTP API at a steady rate, and keeps what was promised for each.

Each post calls a number of its own, so that the carrier can tell by the number alone whether a call
was dialled twice. A post that got no answer at all may or may not have been taken; it is posted
again with the same Idempotency-Key, and must not become a second call.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlencode

V2 = "/didforsaleapi/index.php/api/V2/CallTermination/"
EVENTS = ("initiated", "ringing", "answered", "completed")
_NO_ANSWER_WITHIN_S = 10.0
_CONNECTIONS = 48
_PATIENCE_S = 0.1
"""After a post that could not be made, or was refused."""


@dataclass(slots=True)
class Post:
    """One call that was asked for."""

    number: str
    from_: str
    kind: str
    """The document's name, or "" for click-to-call."""
    events: tuple[str, ...]
    at: float
    outcome: str = ""
    """acknowledged, refused STATUS, unanswered, not sent; "" while under way."""
    sid: str = ""
    retry_after: str = ""
    seconds: float = 0.0
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Api:
    """Where to post."""

    port: int
    key: str


class NoAnswer(Exception):
    """The connection ended, or the time was up, before the answer was there."""


class Connection:
    """One kept-alive connection to a server that may be killed at any time."""

    def __init__(self) -> None:
        self._port = 0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(
        self, port: int, head: str, body: bytes, within_s: float = _NO_ANSWER_WITHIN_S
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body. Raises OSError when nothing was sent, else NoAnswer."""
        if self._streams is None or self._port != port:
            self.close()
            self._streams = await asyncio.open_connection("127.0.0.1", port)
            self._port = port
        reader, writer = self._streams
        try:
            async with asyncio.timeout(within_s):
                writer.write(
                    f"{head}Host: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
                )
                start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines if line)
                }
                answer = await reader.readexactly(int(headers.get("content-length", "0")))
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            raise NoAnswer(str(error)) from None
        if headers.get("connection") == "close":
            self.close()
        return int(start.split(" ", 2)[1]), headers, answer

    def close(self) -> None:
        """The next request opens another one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Poster:
    """`run` posts until it is cancelled; `apis` are asked in turn."""

    def __init__(
        self,
        apis: Sequence[Api],
        sink_base: str,
        rate: float,
        seed: int,
        *,
        kinds: Sequence[str] = ("say", "play", "pause", "both", ""),
        timeout_s: int = 4,
        time_limit_s: int = 2,
        callbacks: bool = True,
        repeats: bool = False,
        on_answer: Callable[[Post], None] = lambda post: None,
    ) -> None:
        """`timeout_s`: how long each call may ring; `time_limit_s`: how long it may last.

        `repeats`: the server knows Idempotency-Key.
        """
        self._apis = list(apis)
        self._base = sink_base
        self.rate = rate
        self._random = random.Random(seed)
        self._kinds = list(kinds)
        self._timeout_s = timeout_s
        self._time_limit_s = time_limit_s
        self._callbacks = callbacks
        self._repeats = repeats
        self._on_answer = on_answer
        self._numbers = itertools.count(2_000_000 + seed % 1000 * 1000)
        self._queue: asyncio.Queue[None] = asyncio.Queue(_CONNECTIONS)
        self.posts: list[Post] = []
        self.outcomes: Counter[str] = Counter()

    @property
    def acknowledged(self) -> int:
        """Posts that were answered 200 or 201."""
        return self.outcomes["acknowledged"]

    async def run(self) -> None:
        """Posts at the rate, less when that many do not get through."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(_CONNECTIONS):
                tasks.create_task(self._connection(number))
            loop = asyncio.get_running_loop()
            due = loop.time()
            while True:
                due = max(due + 1.0 / self.rate, loop.time() - 0.5)
                await asyncio.sleep(max(0.0, due - loop.time()))
                with suppress(asyncio.QueueFull):
                    self._queue.put_nowait(None)

    async def _connection(self, number: int) -> None:
        connection = Connection()
        apis = itertools.cycle(self._apis[number % len(self._apis) :] + self._apis)
        try:
            while True:
                await self._queue.get()
                post = self.draw()
                await self.send(connection, next(apis), post)
                while post.outcome == "unanswered" and self._repeats:
                    await asyncio.sleep(_PATIENCE_S)
                    await self.send(connection, next(apis), post)
                if post.outcome != "acknowledged":
                    await asyncio.sleep(_PATIENCE_S)
        finally:
            connection.close()

    def draw(self) -> Post:
        """The next call to be asked for."""
        digits = f"{next(self._numbers):07d}"
        events: tuple[str, ...] = EVENTS if self._callbacks else ()
        if self._callbacks and self._random.random() < 0.2:
            events = ("completed",)
        post = Post(
            f"1202{digits}", f"1303{digits}", self._random.choice(self._kinds), events, time.time()
        )
        self.posts.append(post)
        return post

    async def send(self, connection: Connection, api: Api, post: Post) -> None:
        """Posts it and notes what came of it."""
        head, body = self._request(api, post)
        began = time.time()
        post.attempts += 1
        if post.outcome:
            self.outcomes[post.outcome] -= 1
        try:
            status, headers, answer = await connection.request(api.port, head, body)
        except NoAnswer:
            post.outcome = "unanswered"
        except OSError:
            # a repeated post may have been taken the first time
            post.outcome = post.outcome or "not sent"
        else:
            if status in (200, 201):
                told = json.loads(answer)
                post.sid = str(told.get("callSid") or told.get("sid"))
                post.outcome = "acknowledged"
                post.seconds = time.time() - began
            elif post.outcome != "unanswered":
                post.outcome = f"refused {status}"
                post.retry_after = headers.get("retry-after", "")
        self.outcomes[post.outcome] += 1
        self._on_answer(post)

    def _request(self, api: Api, post: Post) -> tuple[str, bytes]:
        """By the V2 endpoint for even numbers, by /v1/calls for odd ones."""
        url = f"{self._base}/document/{post.kind}" if post.kind else ""
        callback = f"{self._base}/events" if post.events else ""
        again = f"Idempotency-Key: {post.number}\r\n" if self._repeats else ""
        if int(post.number) % 2 == 0:
            form = {
                "apikey": api.key,
                "to": post.number,
                "from": post.from_,
                "url": url,
                "timeout": str(self._timeout_s),
                "timeLimit": str(self._time_limit_s),
                "statusCallback": callback,
                "statusCallbackEvent": ",".join(post.events),
            }
            kind = "application/x-www-form-urlencoded"
            head = f"POST {V2} HTTP/1.1\r\nContent-Type: {kind}\r\n{again}"
            return head, urlencode({k: v for k, v in form.items() if v}).encode()
        wanted: dict[str, object] = {
            "to": post.number,
            "from": post.from_,
            "timeout": self._timeout_s,
            "time_limit": self._time_limit_s,
        }
        if url:
            wanted["url"] = url
        if callback:
            wanted["status_callback"] = callback
            wanted["status_callback_event"] = list(post.events)
        head = (
            f"POST /v1/calls HTTP/1.1\r\nContent-Type: application/json\r\n{again}"
            f"Authorization: Bearer {api.key}\r\n"
        )
        return head, json.dumps(wanted).encode()
