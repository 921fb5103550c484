"""Bad applications that need a web server and a call: how each must end, and why.

Run by `system.test_bad_applications` against a real server, and measured by `bench.bad_documents`.
"""

from __future__ import annotations

import gzip
import io
import struct
import wave
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import av

from outdial.testing.web import Answer, WebServer

SETTINGS: dict[str, Any] = {
    "sim": {"enabled": True},
    "limits": {"calls_per_second": 200, "concurrent_calls": 200},
    "didml": {"fetch_timeout_s": 2, "apology": "", "max_sound_bytes": 12_000_000},
}
"""Of the server: short waits, no apology, and room for a sound of ten megabytes."""
PHONE = "15005550001"
"""Answers, says hello and listens."""

Build = Callable[[WebServer, str], None]
"""Scripts the application at the path, and at paths below it."""


@dataclass(frozen=True, slots=True)
class Served:
    """An application and the end of its call."""

    name: str
    build: Build
    cause: str
    says: str
    """Words on the timeline: the reason."""
    params: Mapping[str, str] = field(default_factory=dict)
    """Of the post, besides the usual ones."""


FAILED, ENDED, LIMIT = "application-error", "normal-clearing", "time-limit"
_SHORT: Mapping[str, str] = {"timeLimit": "3"}


def _xml(inside: str) -> Answer:
    return Answer(body=f"<Response>{inside}</Response>".encode(), content_type="text/xml")


def _answers(answer: Answer) -> Build:
    return lambda web, path: web.script(path, answer)


def _document(inside: str) -> Build:
    """`{path}` is the application's own."""
    return lambda web, path: web.script(path, _xml(inside.replace("{path}", path)))


def _cycle(length: int, inside: str = "") -> Build:
    def build(web: WebServer, path: str) -> None:
        places = [path, *(f"{path}/{n}" for n in range(1, length))]
        for here, there in zip(places, [*places[1:], path], strict=True):
            web.script(here, _xml(f"{inside}<Redirect>{there}</Redirect>"))

    return build


def _sound(make: Callable[[], bytes], content_type: str = "audio/wav", loop: int = 1) -> Build:
    def build(web: WebServer, path: str) -> None:
        web.script(f"{path}/sound", Answer(body=make(), content_type=content_type))
        web.script(path, _xml(f'<Play loop="{loop}">{path}/sound</Play>'))

    return build


def _wav(seconds: float, rate_hz: int = 8000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(rate_hz)
        wave_form = struct.pack("<400h", *(4000 * ((n // 20) % 2) - 2000 for n in range(400)))
        frames = int(seconds * rate_hz * channels)
        sound.writeframes((wave_form * (frames // 400 + 1))[: 2 * frames])
    return file.getvalue()


@cache
def big_wav() -> bytes:
    """Ten megabytes: 57 s in two channels at 44.1 kHz."""
    return _wav(56.5, 44_100, 2)


@cache
def big_mp3() -> bytes:
    """Ten megabytes: four minutes at 320 kbit/s."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as output:
        stream = output.add_stream("mp3", rate=44_100)
        stream.bit_rate = 320_000
        frame = av.AudioFrame(format="s16p", layout="stereo", samples=44_100)
        frame.sample_rate = 44_100
        for plane in frame.planes:
            plane.update(_wav(1, 44_100)[44:].ljust(plane.buffer_size, b"\0")[: plane.buffer_size])
        for packet in (*stream.encode(frame), *stream.encode(None)):
            output.mux(packet)
    second = file.getvalue()
    start = second.find(b"\xff\xfb")
    return (second[start:] * (10_000_000 // (len(second) - start) + 1))[:10_000_000]


def _sound_that_hangs(web: WebServer, path: str) -> None:
    web.script(f"{path}/sound", Answer(failure="hang"))
    web.script(path, _xml(f"<Play>{path}/sound</Play>"))


def _lying_wav() -> bytes:
    return _wav(0.3)[:4] + b"\xff\xff\xff\xff" + _wav(0.3)[8:40] + b"\xff\xff\xff\x7f" + bytes(800)


def _chunked(chunk: bytes) -> Answer:
    """Announced as chunked."""
    return Answer(body=chunk, content_type="text/xml", headers={"Transfer-Encoding": "chunked"})


_BOMB = gzip.compress(b"<Response>" + b" " * 50_000_000 + b"</Response>")
_UTF16 = "<Response><Say>Hi</Say></Response>".encode("utf-16")

_REDIRECTS = [
    Served("a redirect to itself", _cycle(1), FAILED, "more than 100 documents"),
    Served("two that lead to each other", _cycle(2), FAILED, "more than 100 documents"),
    Served("a round of seven", _cycle(7), FAILED, "more than 100 documents"),
    Served(
        "a round with a word in it",
        _cycle(1, "<Pause>1</Pause>"),
        FAILED,
        "more than 100 documents",
    ),
    Served(
        "a round of four hundred verbs",
        _cycle(1, "<Pause>1</Pause>" * 400),
        FAILED,
        "more than 5000 verbs",
        {"timeLimit": "30"},
    ),
    Served(
        "a round by way of a Dial",
        _document("<Dial action='{path}'><Sip>a@[1:2]</Sip></Dial><Redirect>{path}</Redirect>"),
        FAILED,
        "more than 100 documents",
    ),
    Served(
        "HTTP's own redirection",
        _answers(Answer(302, headers={"Location": "/"})),
        FAILED,
        "redirections are not followed",
    ),
    Served(
        "a redirect to where it may not go",
        _document("<Redirect>http://169.254.169.254/latest/meta-data</Redirect>"),
        FAILED,
        "169.254.169.254",
    ),
    Served(
        "a redirect to nobody",
        _document("<Redirect>http://127.0.0.1:1/</Redirect>"),
        FAILED,
        "connect",
    ),
]

_ANSWERS = [
    Served("not found", _answers(Answer(404)), FAILED, "answered 404"),
    Served("its own error", _answers(Answer(500, b"Traceback")), FAILED, "answered 500"),
    Served("no content", _answers(Answer(204)), FAILED, "the document is empty"),
    Served(
        "an empty body", _answers(Answer(content_type="text/xml")), FAILED, "the document is empty"
    ),
    Served("never an answer", _answers(Answer(failure="hang")), FAILED, "timeout"),
    Served(
        "an answer after ten seconds",
        _answers(Answer(body=b"<Response/>", delay_s=10)),
        FAILED,
        "timeout",
    ),
    Served(
        "a byte now and then",
        _answers(Answer(body=b"<Response>" + b" " * 5000 + b"</Response>", failure="drip")),
        FAILED,
        "document.failed",
    ),
    Served(
        "a connection that is reset", _answers(Answer(failure="reset")), FAILED, "document.failed"
    ),
    Served(
        "half of a body",
        _answers(Answer(body=b"<Response><Say>Hello</Say></Response>", failure="cut")),
        FAILED,
        "document.failed",
    ),
    Served(
        "a body of ten megabytes",
        _answers(
            Answer(body=b"<Response>" + b" " * 10_000_000 + b"</Response>", content_type="text/xml")
        ),
        FAILED,
        "too-large",
    ),
    Served(
        "a gzip bomb",
        _answers(Answer(body=_BOMB, content_type="text/xml", headers={"Content-Encoding": "gzip"})),
        FAILED,
        "document.failed",
    ),
    Served(
        "a compression nobody knows",
        _answers(
            Answer(body=b"\x1b\x0f", content_type="text/xml", headers={"Content-Encoding": "br"})
        ),
        FAILED,
        "document.failed",
    ),
    Served(
        "chunks that are none", _answers(_chunked(b"zzz\r\nnot a chunk")), FAILED, "document.failed"
    ),
    Served(
        "a chunk without an end",
        _answers(_chunked(b"7fffffff\r\n<Response>")),
        FAILED,
        "document.failed",
    ),
    Served(
        "a picture for a document",
        _answers(Answer(body=b"\x89PNG", content_type="image/png")),
        FAILED,
        "image/png",
    ),
    Served(
        "text that is spoken",
        _answers(Answer(body=b"Hi", content_type="text/plain")),
        ENDED,
        "verb.started",
    ),
    Served(
        "UTF-16 that calls itself UTF-8",
        _answers(Answer(body=_UTF16, content_type="text/xml; charset=utf-8")),
        ENDED,
        "verb.started",
    ),
    Served(
        "two that fail",
        _answers(Answer(500)),
        FAILED,
        "document.fallback",
        {"fallbackUrl": "http://127.0.0.1:1/"},
    ),
]

_SOUNDS = [
    Served("a WAV of ten megabytes", _sound(big_wav), LIMIT, "verb.started", _SHORT),
    Served("an MP3 of ten megabytes", _sound(big_mp3, "audio/mpeg"), LIMIT, "verb.started", _SHORT),
    Served(
        "a sound that is the document",
        lambda web, path: web.script(path, Answer(body=big_wav(), content_type="audio/wav")),
        FAILED,
        "too-large",
    ),
    Served("a sound too large", _sound(partial(_wav, 70, 44_100, 2)), ENDED, "skipped"),
    Served("a WAV that lies of its length", _sound(_lying_wav), ENDED, "verb.started"),
    Served("a WAV cut off", _sound(lambda: _wav(1)[:30]), ENDED, "skipped"),
    Served("a WAV of nothing", _sound(partial(_wav, 0)), ENDED, "skipped"),
    Served(
        "an MP3 of noise", _sound(lambda: bytes(range(256)) * 300, "audio/mpeg"), ENDED, "skipped"
    ),
    Served(
        "a page for a sound", _sound(lambda: b"<html>404</html>", "text/html"), ENDED, "skipped"
    ),
    Served("an empty sound", _sound(lambda: b""), ENDED, "skipped"),
    Served(
        "a sound that never comes",
        _sound_that_hangs,
        LIMIT,
        "verb.started",
        _SHORT,
    ),
    Served(
        "a playlist",
        _sound(lambda: b"#EXTM3U\nfile:///etc/passwd\n", "audio/x-mpegurl"),
        ENDED,
        "skipped",
    ),
    Served(
        "a concatenation of files",
        _sound(lambda: b"ffconcat version 1.0\nfile /etc/passwd\n"),
        ENDED,
        "skipped",
    ),
]

_LOOPS = [
    Served(
        "a Say without an end", _document('<Say loop="0">Hi</Say>'), LIMIT, "verb.started", _SHORT
    ),
    Served(
        "a Play without an end", _sound(partial(_wav, 0.05), loop=0), LIMIT, "verb.started", _SHORT
    ),
    Served("a Play of nothing without an end", _sound(partial(_wav, 0), loop=0), ENDED, "skipped"),
    Served(
        "a Pause of an hour", _document("<Pause>3600000</Pause>"), LIMIT, "verb.started", _SHORT
    ),
    Served(
        "a Gather that asks for ever",
        _document('<Gather tries="10"><Say loop="0">Hi</Say></Gather>'),
        LIMIT,
        "verb.started",
        _SHORT,
    ),
    Served(
        "a queue whose music fails",
        _document('<Enqueue waitUrl="{path}/none">bad</Enqueue>'),
        LIMIT,
        "waitUrl",
        _SHORT,
    ),
    Served(
        "a queue whose music is nothing",
        _document('<Enqueue waitUrl="{path}/none">worse</Enqueue>'),
        LIMIT,
        "a tone is heard instead",
        _SHORT,
    ),
    Served(
        "sixty thousand letters",
        _document(f"<Say>{'ab ' * 20_000}</Say>"),
        ENDED,
        "longer than 10000 characters",
    ),
    Served(
        "one word of sixty thousand letters",
        _document(f"<Say>{'a' * 60_000}</Say>"),
        ENDED,
        "longer than 10000 characters",
    ),
    Served(
        "signs nobody says",
        _document("<Say>\u202e\u200b\U0001f600\ufffd\u0300</Say>"),
        ENDED,
        "verb.started",
    ),
    Served(
        "a language nobody has", _document('<Say language="tlh-qo">Hi</Say>'), ENDED, "verb.warning"
    ),
    Served(
        "a Dial of nobody who may be",
        _document("<Dial><Sip>sip:a@[::1</Sip></Dial>"),
        ENDED,
        "it names nobody to dial",
    ),
]

SERVED = [*_REDIRECTS, *_ANSWERS, *_SOUNDS, *_LOOPS]
