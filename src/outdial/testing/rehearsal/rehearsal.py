"""A whole Outdial for a test of a voice application, with telephones that follow scripts::

    with Rehearsal() as outdial:
        phone = outdial.phone().answers().hears("Press 1").presses("1")
        call = outdial.call(phone, url="http://127.0.0.1:9000/menu")
        assert call.said == ["Press 1 for sales.", "You are number one."]

As a pytest fixture it is called `outdial`: `outdial.testing.plugin`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from pydantic import ValidationError

from outdial.config import Settings
from outdial.errors import StoreUnavailable
from outdial.sim.personas import PERSONAS
from outdial.sip.endpoint import SipEndpoint
from outdial.store.records import CallFilter
from outdial.testing.carrier.fault import Fault
from outdial.testing.rehearsal.archive import Archive
from outdial.testing.rehearsal.backstage import STUCK_S, Backstage, new_store
from outdial.testing.rehearsal.call import Call
from outdial.testing.rehearsal.carriers import CarrierStage, Line
from outdial.testing.rehearsal.heard import PhoneCall
from outdial.testing.rehearsal.script import Phone
from outdial.testing.rehearsal.served import Served
from outdial.testing.rehearsal.stage import Stage
from outdial.testing.server import API_KEY, free_port, merged
from outdial.testing.web import WebServer

CALLER_ID = "18005550199"
"""Whom calls come from when a test does not say."""
FIRST_NUMBER = 12025550101
"""The number of the first phone that is given none; the next one has the next."""
V2 = "/didforsaleapi/index.php/api/V2/CallTermination/"
EVENTS = ["initiated", "ringing", "answered", "completed"]
_LOOKS_EVERY_S = 0.1
_AFTERWARDS_S = 5.0
"""How long phones and receivers may take once a call is over."""
_REAL_PATIENCE_S = 30.0


class ToldFailure(AssertionError):
    """A failure whose message has everything that happened."""


class ScriptFailed(ToldFailure):
    """A phone could not do what its script says. The message tells what happened instead."""


class StillGoingOn(ToldFailure):
    """A call did not end in time. The message tells what happened so far."""


class RequestRefused(AssertionError):
    """Outdial's API refused a request."""

    def __init__(self, status: int, body: str) -> None:
        self.status = status
        self.body = body
        super().__init__(f"{status}: {body}")


class Rehearsal:
    """Use it as a context manager.

    `settings` are those of outdial.toml as nested mappings. In virtual time (the default) calls
    take no time, however long they are; with `real_time` they are made over SIP and RTP on the
    loopback interface, and take what they take.
    """

    def __init__(
        self,
        settings: Mapping[str, Any] | None = None,
        *,
        real_time: bool = False,
        faults: Sequence[Fault] = (),
    ) -> None:
        """`faults`: scripted carriers take the place of the phones, one line for each fault; its
        number is in `lines`. Only in virtual time."""
        self.is_real_time = real_time
        self.key = API_KEY
        """The API key that its own requests carry; applications may use it too."""
        self._given = dict(settings or {})
        self._faults = faults
        self._stack = contextlib.ExitStack()
        self._sink: WebServer | None = None
        self._reported: set[PhoneCall] = set()

    def __enter__(self) -> Rehearsal:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        folder = self.folder = Path(
            self._stack.enter_context(TemporaryDirectory(prefix="outdial-test-"))
        )
        settings = _settings(self._given, folder, real_time=self.is_real_time)
        key = next(iter(settings.keys), None)
        self.key = key.key.get_secret_value() if key else ""
        if settings.store.url == f"sqlite:///{folder / 'outdial.db'}":
            new_store(folder / "outdial.db")
        self._backstage = Backstage(
            settings, folder, real_time=self.is_real_time, faults=self._faults
        )
        self._backstage.start()
        self._stack.callback(self._backstage.stop)
        self._archive = Archive(self._backstage)

    # ------------------------------------------------------------------ before a call

    @property
    def url(self) -> str:
        """The address of the API, without a slash at the end: applications may post calls to it."""
        return self._stage.url

    def phone(self, number: str = "", name: str = "") -> Phone:
        """A telephone; without a number the next free one. `name` is what failures call it."""
        known = self._stage.phones.by_number
        if not number:
            number = str(next(n for n in range(FIRST_NUMBER, 2**63) if str(n) not in known))
        phone = Phone(number, name)
        if phone.number in known:
            raise ValueError(f"there is a phone with the number {phone.number} already")
        known[phone.number] = phone
        return phone

    def number(self, number: str, url: str, **settings: Any) -> str:
        """Calls to the number are answered by the application at the URL.

        `settings` are the others of ``[[numbers]]``: method, fallback_url, status_callback, record.
        Once more for the same number it changes them. Raises RequestRefused.
        """
        __tracebackhide__ = True
        asked = {"url": url, **settings}
        try:
            self.post("/v1/numbers", {"number": number, **asked})
        except RequestRefused as refused:
            if refused.status != 409:
                raise
            self.post(f"/v1/numbers/{number}", asked)
        return number

    def serve(self, application: Any) -> str:
        """Serves the application on a free port until the end of the test; gives its address.

        A WSGI or ASGI application, a `BaseHTTPRequestHandler` class, or a server of `socketserver`
        that is bound already. Without a slash at the end.
        """
        return self._stack.enter_context(Served(application)).url

    def web(self) -> WebServer:
        """A web server of the test's own, for documents, sounds and receivers that fail."""
        return self._stack.enter_context(WebServer())

    # ------------------------------------------------------------------ calls

    def call(
        self,
        to: Phone | str,
        url: str = "",
        *,
        wait: bool = True,
        within_s: float = 600.0,
        **params: Any,
    ) -> Call:
        """Posts a call, as any program does, and lets it go on to its end.

        `params` are those of the V2 API, `from_` for ``from``. Without `url` it is a click-to-call.
        A number that no phone has yet gets one that answers and listens. Without a `statusCallback`
        of the test's own everything is told to a receiver of the kit. With `wait=False` it is only
        placed: `Call.wait_until_over`. Raises RequestRefused, ScriptFailed, StillGoingOn.
        """
        number = to.number if isinstance(to, Phone) else to
        if number not in self._stage.phones.by_number and number not in PERSONAS:
            number = self.phone(number).number
        body: dict[str, Any] = {"to": number, "from": params.pop("from_", CALLER_ID)}
        if url:
            body["url"] = url
        if "statusCallback" not in params:
            body["statusCallback"] = self._sink_url()
            body["statusCallbackEvent"] = EVENTS
        __tracebackhide__ = True
        answer = self.post(V2, body | params)
        call = self.call_of(str(answer["callSid"]))
        return call.wait_until_over(within_s) if wait else call

    def incoming(
        self, phone: Phone, to: str, *, wait: bool = True, within_s: float = 600.0
    ) -> Call:
        """The phone calls a number of the application's, and the call goes on to its end.

        Raises AssertionError when nobody takes the number, ScriptFailed, StillGoingOn.
        """
        __tracebackhide__ = True
        sid, phone_call = self._backstage.run(self._call_in(phone, to), passing=True)
        self._archive.inbound[sid] = phone_call
        call = self.call_of(sid)
        return call.wait_until_over(within_s) if wait else call

    @property
    def calls(self) -> list[Call]:
        """All calls so far, oldest first, those that the application placed and dialled too."""
        return [self.call_of(record.sid) for record in self._archive.all()]

    def wait_until_over(self, within_s: float = 600.0) -> list[Call]:
        """Lets time pass until no call is left; gives all of them.

        Raises ScriptFailed, StillGoingOn.
        """
        __tracebackhide__ = True
        self._wait(self._all_over, within_s, "not all calls did")
        self.check()
        return self.calls

    def advance(self, seconds: float) -> None:
        """Lets so much time pass: of the calls in virtual time, else of the world.

        Raises ScriptFailed when a phone could not do meanwhile what it was to do.
        """
        __tracebackhide__ = True
        patience_s = STUCK_S + (seconds if self.is_real_time else 0)
        self._backstage.run(asyncio.sleep(seconds), passing=True, patience_s=patience_s)
        self.check()

    def check(self) -> None:
        """Raises ScriptFailed when a phone could not do what its script says."""
        __tracebackhide__ = True
        failed = [
            call for call in self._stage.phones.calls if call.failure and call not in self._reported
        ]
        self._reported.update(failed)
        if failed:
            problems = "\n".join(call.problem for call in failed)
            raise ScriptFailed(f"{problems}\n\n{self.story}")

    @property
    def story(self) -> str:
        """Everything that happened on all calls so far, for people."""
        return self._archive.story()

    # ------------------------------------------------------------------ the API

    def get(self, path: str) -> Any:
        """The JSON at a path of the API. Raises RequestRefused."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON answer to a JSON body. Raises RequestRefused."""
        return self._ask("POST", path, json.dumps(body).encode())

    def get_bytes(self, path: str) -> bytes:
        """What is at the path, as it is. Raises RequestRefused."""
        return self._fetch("GET", path, None)

    @property
    def lines(self) -> dict[str, Line]:
        """The scripted carriers, by the name of their fault."""
        stage = self._stage
        lines = stage.lines if isinstance(stage, CarrierStage) else []
        return {line.fault.name: line for line in lines}

    @property
    def sip(self) -> SipEndpoint:
        """The server's user agent."""
        return self._stage.sip

    # ------------------------------------------------------------------ for `Call`

    def wait_for(self, call: Call, within_s: float) -> None:
        """Lets time pass until the call is over for all. Raises ScriptFailed, StillGoingOn."""
        __tracebackhide__ = True
        stage = self._stage
        self._wait(lambda: not stage.calls.is_live(call.sid), within_s, "the call did not")
        self.check()

    def call_of(self, sid: str) -> Call:
        """The call of that id."""
        return Call(self, self._archive, sid)

    # ------------------------------------------------------------------ the parts

    @property
    def _stage(self) -> Stage:
        return self._backstage.stage

    def _wait(self, is_over: Callable[[], bool], within_s: float, what: str) -> None:
        __tracebackhide__ = True
        patience_s = within_s + _REAL_PATIENCE_S if self.is_real_time else STUCK_S
        try:
            self._backstage.run(self._until(is_over, within_s), passing=True, patience_s=patience_s)
        except TimeoutError:
            self.check()
            raise StillGoingOn(f"{what} end within {within_s:g} s\n\n{self.story}") from None

    async def _until(self, is_over: Callable[[], bool], within_s: float) -> None:
        """Until it is, and still is when all were told. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while True:
                while not is_over():  # noqa: ASYNC110 - the ends of calls have no event in common
                    await asyncio.sleep(_LOOKS_EVERY_S)
                await self._settle()
                if is_over():  # what was told may have led to further calls
                    return

    async def _settle(self) -> None:
        """What the ends of calls lead to: phones notice, requests end, callbacks are delivered."""
        stage = self._stage
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_AFTERWARDS_S):
                while self._is_unsettled():  # noqa: ASYNC110 - as above
                    await asyncio.sleep(_LOOKS_EVERY_S)
        # a callback is delivered once what it tells of is on the disk
        with contextlib.suppress(StoreUnavailable):
            await stage.store.flush()
        await asyncio.sleep(0)
        await stage.deliverer.settle(_AFTERWARDS_S)

    def _is_unsettled(self) -> bool:
        """Whether phones have not noticed yet that their calls are over, or requests go on."""
        stage = self._stage
        return stage.phones.live > stage.calls.health()["live"] or stage.request_age_s() is not None

    async def _call_in(self, phone: Phone, number: str) -> tuple[str, PhoneCall]:
        """The sid of the call that the phone makes. Raises AssertionError when it is not taken."""
        archive = self._archive
        wanted = CallFilter(direction="inbound", from_number=phone.number)
        before = len(await archive.find(wanted))
        call = self._stage.phones.place(phone, number)
        while len(found := await archive.find(wanted)) == before:
            if call.over.is_set():
                reason = f"with {call.status}" if call.status else "before it was answered"
                raise AssertionError(
                    f"the call of {phone.name} to {number} ended {reason}: "
                    "name the number with outdial.number(number, url=...)"
                )
            await asyncio.sleep(_LOOKS_EVERY_S)
        return found[-1].sid, call

    def _all_over(self) -> bool:
        health = self._stage.calls.health()
        return not health["live"] and not health["queued"]

    def _sink_url(self) -> str:
        """Where callbacks go that no test asked for."""
        if self._sink is None:
            self._sink = self.web()
        return self._sink.collect("/callbacks")

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        return json.loads(self._fetch(method, path, body))

    def _fetch(self, method: str, path: str, body: bytes | None) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - the address is our own
            f"{self.url}{path}",
            data=body,
            method=method,
            headers={"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                data: bytes = answer.read()
                return data
        except urllib.error.HTTPError as error:
            with error:
                raise RequestRefused(error.code, error.read().decode("utf-8", "replace")) from None


def _settings(given: Mapping[str, Any], folder: Path, *, real_time: bool) -> Settings:
    """Those of the test over what suits a test. Raises ValueError for what is wrong with them."""
    sip_port = free_port(socket.SOCK_DGRAM) if real_time else 0
    defaults: dict[str, Any] = {
        "http": {"listen": "127.0.0.1:0"},
        "sip": {"listen": [f"udp:127.0.0.1:{sip_port}"]},
        "media": {"workers": 1},
        "store": {"url": f"sqlite:///{folder / 'outdial.db'}"},
        "storage": {"recordings": str(folder / "recordings")},
        "webhooks": {
            "allow_private": ["127.0.0.0/8", "::1/128"],
            "secret_file": str(folder / "outdial-webhooks.secret"),
        },
        "limits": {"calls_per_second": 1000, "destinations": list("123456789")},
        "keys": [{"name": "test", "key": API_KEY}],
    }
    try:
        return Settings.model_validate(merged(defaults, given))
    except ValidationError as error:
        raise ValueError(f"the settings of the test: {error}") from None
