"""What every test against SIPp stands on: a server, trunks that SIPp can take, a web server.

Each phone is a SIPp process behind a trunk of its own, at port 5060 of an address of 127.0.0.0/8,
so that the settings can name it before it starts. When a test is over, its `Scene` checks what must
hold after any call: the phone saw what its scenario says, every leg had exactly one `completed` and
told its steps in order, and the server holds no more than before the first call.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from outdial.testing.server import OutdialServer
from outdial.testing.sipp import Sipp, SippResult
from outdial.testing.web import Answer, Received, WebServer
from system.sipp.ear import Ear
from system.sipp.messages import Message, read_trace
from system.sipp.scenarios import scenario

T = TypeVar("T")

CALLER = "18005550100"
"""The caller ID of every call that has no second leg."""
T1_S = 0.02
"""The server's T1: its transactions linger for 64 of them, 1.28 s."""
USERNAME, PASSWORD = "outdial", "s3cret"

HANG_UP = "<Response/>"
SAY = "<Response><Say>The quick brown fox jumps over the lazy dog.</Say></Response>"
LINGER = '<Response><Pause length="1"/></Response>'
STAY = '<Response><Pause length="60"/></Response>'

_SINGLES, _GUARDED, _PAIRS, _TCP = 200, 10, 6, 2
_HELD = (
    "sip_client_transactions",
    "sip_server_transactions",
    "sip_calls",
    "sip_dialogs",
    "sip_early_dialogs",
    "media_legs",
    "media_plays",
    "media_streams",
    "media_started",
    "media_bridged",
    "media_recordings",
    "media_rooms",
    "conference_members",
    "queue_callers",
    "queue_agents",
    "media_descriptors",
    "callbacks_held",
    "tasks",
    "calls_live",
    "calls_queued",
)


class End(NamedTuple):
    """What the last callback of a leg says."""

    outcome: str
    code: str
    """SipResponseCode, "" for none."""
    cause: str
    source: str


STEPS = ("initiated", "ringing", "answered")
"""What is told of a call that rings and is answered, before its end."""
WELL = End("completed", "200", "normal-clearing", "application")
_NEVER_ZERO = ("media_descriptors", "tasks")


@dataclass(frozen=True, slots=True)
class Line:
    """A number, and the addresses of the trunks that take it, in order."""

    number: str
    hosts: tuple[str, ...]


@dataclass(slots=True)
class Phone:
    """A SIPp process that takes the calls to a number."""

    line: Line
    sipp: Sipp
    ear: Ear
    calls: int
    result: SippResult | None = None

    @property
    def number(self) -> str:
        """What to dial."""
        return self.line.number

    def done(self, timeout_s: float = 15.0) -> SippResult:
        """Checks that every call went as the scenario says."""
        if self.result is None:
            self.result = self.sipp.wait(timeout_s)
        result = self.result
        went = (result.exit_code, result.successful, result.failed)
        assert went == (0, self.calls, 0), result.complaints + result.messages
        return result

    def received(self, start: str = "") -> list[Message]:
        """The messages it got whose first line begins so; repetitions included."""
        return [m for m in self.messages() if not m.sent and m.start_line.startswith(start)]

    def sent(self, start: str = "") -> list[Message]:
        """The messages it sent whose first line begins so."""
        return [m for m in self.messages() if m.sent and m.start_line.startswith(start)]

    def messages(self) -> list[Message]:
        """All of them, in order."""
        return read_trace(self.done().messages)


@dataclass(slots=True)
class Call:
    """A call that was placed, with the paths its application and callbacks have."""

    stage: Stage
    sid: str
    to: str
    from_: str
    name: str
    has_document: bool
    """Whether `url` leads to our web server."""

    def events(self, sid: str = "") -> list[Received]:
        """The callbacks of a leg so far; of the first one unless `sid` says another."""
        wanted = sid or self.sid
        got = self.stage.web.received(f"/{self.name}/events")
        return [request for request in got if request.params.get("callSid") == wanted]

    def all_events(self) -> list[dict[str, str]]:
        """The callbacks of every leg, in the order they came."""
        return [request.params for request in self.stage.web.received(f"/{self.name}/events")]

    def wait_for(self, status: str, timeout_s: float = 15.0, sid: str = "") -> dict[str, str]:
        """The callback that says so, once it is there. Raises TimeoutError."""
        wanted = sid or self.sid
        got = self.stage.web.wait_until(
            f"/{self.name}/events",
            lambda got: any(_says(r, wanted, status) for r in got),
            timeout_s,
        )
        return next(request.params for request in got if _says(request, wanted, status))

    def ended(self, *story: str | End, timeout_s: float = 15.0, sid: str = "") -> None:
        """Checks the whole story of a leg: its statuses in order, and last how it ended."""
        last = self.wait_for("completed", timeout_s, sid)
        told = tuple(request.params["CallStatus"] for request in self.events(sid))
        how = End(
            last.get("CallOutcome", ""),
            last.get("SipResponseCode", ""),
            last.get("HangupCause", ""),
            last.get("HangupSource", ""),
        )
        assert (*told[:-1], how) == story

    def fetches(self) -> list[Received]:
        """The requests for its document."""
        return self.stage.web.received(f"/{self.name}/app")

    def show(self) -> Any:
        """The call as the API shows it."""
        return self.stage.outdial.get(f"/v1/calls/{self.sid}")

    def timeline(self) -> list[dict[str, Any]]:
        """The lines of its timeline."""
        events: list[dict[str, Any]] = self.stage.outdial.get(f"/v1/calls/{self.sid}/events")[
            "events"
        ]
        return events

    def second_leg(self) -> str:
        """The sid of the leg that it led to, known from its first callback."""
        got = self.stage.web.wait_until(
            f"/{self.name}/events", lambda got: bool(_others(got, self.sid)), 10
        )
        return _others(got, self.sid)[0]

    def hang_up(self) -> None:
        """Through the API."""
        self.stage.outdial.post(f"/v1/calls/{self.sid}", {"hangup": True})


class Stage:
    """A server with trunks for SIPp, and a web server for its documents and callbacks.

    Use it as a context manager. `settings` go over those made here, section by section.
    """

    def __init__(self, settings: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        first, second = random.randrange(1, 255), random.randrange(0, 254)
        net, other = f"127.{first}.{second}", f"127.{first}.{second + 1}"
        self._singles = _lines(f"{net}.", 1, 5550000, _SINGLES, 1)
        self._guarded = _lines(f"{other}.", 120, 5560000, _GUARDED, 1)
        self._pairs = _lines(f"{other}.", 150, 5570000, _PAIRS, 2)
        self._tcp = _lines(f"{other}.", 180, 5580000, _TCP, 1)
        self._names = (f"call{number}" for number in itertools.count(1))
        self.web = WebServer()
        self.host = f"{net}.250"
        """Where the server takes calls, at port 5060."""
        self.outdial = OutdialServer(_merged(settings or {}, self.host, self._trunks()))
        self._rest: dict[str, float] = {}
        self._descriptors: int | None = 0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Stage:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.web)
            stack.enter_context(self.outdial)
            self._warm_up()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _trunks(self) -> list[dict[str, Any]]:
        trunks = []
        for line in (*self._singles, *self._guarded, *self._pairs, *self._tcp):
            for place, host in enumerate(line.hosts):
                trunk: dict[str, Any] = {
                    "name": f"{line.number}-{place}",
                    "address": f"{host}:5060",
                    "prefixes": [line.number],
                    "options_interval_s": 0,
                }
                if line in self._guarded:
                    trunk |= {"username": USERNAME, "password": PASSWORD}
                if line in self._tcp:
                    trunk["transport"] = "tcp"
                trunks.append(trunk)
        return trunks

    def line(self) -> Line:
        """A number nobody has dialled yet, behind a trunk of its own."""
        return self._singles.pop(0)

    def guarded_line(self) -> Line:
        """One whose trunk has a user name and a password."""
        return self._guarded.pop(0)

    def tcp_line(self) -> Line:
        """One whose trunk is reached by TCP."""
        return self._tcp.pop(0)

    def pair(self) -> Line:
        """One that two trunks take."""
        return self._pairs.pop(0)

    def _warm_up(self) -> None:
        """One whole call, so that what is made on first use is there; then the start is noted."""
        scene = Scene(self)
        with scene.running():
            phone = scene.phone("answer")
            call = scene.call(phone, SAY, record=True)
            call.wait_for("completed")
            call.timeline()
        self._rest = self._wait_until_idle({name: 0.0 for name in _HELD if name not in _NEVER_ZERO})
        self._descriptors = self.descriptors()

    def crash(self) -> None:
        """Kills the server and starts it again.

        How many descriptors the one before had at rest says nothing of this one, which opens what
        it needs when it first does.
        """
        self.outdial.kill()
        self.outdial.start()
        self._descriptors = None

    def back_at_rest(self) -> None:
        """Checks that the server holds no more than before the first call."""
        self._wait_until_idle(self._rest)
        if self._descriptors is None:
            return
        deadline = time.monotonic() + 3
        while (now := self.descriptors()) > self._descriptors and time.monotonic() < deadline:
            time.sleep(0.1)
        assert now <= self._descriptors, (
            f"{now} descriptors, {self._descriptors} at the start: {self.outdial.open_files()}"
        )

    def descriptors(self) -> int:
        """Those of the control process; one too many has leaked."""
        return self.outdial.at_work()[1]

    def held(self) -> dict[str, float]:
        """What the server says it holds."""
        gauges = self.outdial.gauges()
        return {name: gauges[f"outdial_{name}"] for name in _HELD}

    def _wait_until_idle(self, rest: Mapping[str, float]) -> dict[str, float]:
        deadline = time.monotonic() + 64 * T1_S + 5
        while True:
            now = self.held()
            more = {name: now[name] for name, value in rest.items() if now[name] > value}
            if not more:
                return now
            assert time.monotonic() < deadline, f"still held: {more}; at the start: {dict(rest)}"
            time.sleep(0.05)


class Scene:
    """One test: its phones and calls, and the checks after it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.web = stage.web
        self._stack = contextlib.ExitStack()
        self._phones: list[Phone] = []
        self._calls: list[Call] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[Scene]:
        """The test runs inside; what must hold after every test is checked at the end."""
        with self._stack:
            yield self
            for phone in self._phones:
                phone.done()
            for call in self._calls:
                call.wait_for("completed")
            if self.stage._rest:
                self.stage.back_at_rest()
            for call in self._calls:
                _check_story(call)

    def phone(
        self,
        name: str,
        line: Line | None = None,
        *,
        at: int = 0,
        calls: int = 1,
        transport: str = "u1",
        timeout_s: float = 60.0,
        options: Sequence[str] = (),
        keys: Mapping[str, str] | None = None,
        **values: str,
    ) -> Phone:
        """SIPp with the scenario, on a line of its own or the given one (`at`: its trunk)."""
        line = line or self.stage.line()
        ear = self._stack.enter_context(Ear(line.hosts[at]))
        sipp = self._stack.enter_context(
            Sipp(
                scenario(name, **values),
                host=line.hosts[at],
                port=5060,
                calls=calls,
                transport=transport,
                timeout_s=timeout_s,
                keys={"ear": str(ear.port), **(keys or {})},
                trace_messages=True,
                options=options,
            )
        )
        phone = Phone(line, sipp, ear, calls)
        self._phones.append(phone)
        return phone

    def caller(self, number: str, rest: str = "caller-hung-up-on", **values: str) -> Phone:
        """SIPp calls a number of ours, from a trunk of its own; `rest`: what it does then."""
        line = self.stage.line()
        ear = self._stack.enter_context(Ear(line.hosts[0]))
        own = {"ear": str(ear.port), "back": "4", "cseq": "1"}
        text = scenario("caller", called=number, rest=f"@{rest}@", **(own | values))
        sipp = Sipp(
            text,
            host=line.hosts[0],
            target=f"{self.stage.host}:5060",
            timeout_s=30,
            trace_messages=True,
        )
        phone = Phone(line, self._stack.enter_context(sipp), ear, calls=1)
        self._phones.append(phone)
        return phone

    def keep(self, context: contextlib.AbstractContextManager[T]) -> T:
        """Something that ends with the test."""
        return self._stack.enter_context(context)

    def ear_at(self, host: str) -> Ear:
        """One more RTP socket."""
        return self._stack.enter_context(Ear(host))

    def call(
        self,
        to: Phone | Line | str,
        document: str | Answer | None = None,
        *,
        from_: str = CALLER,
        **params: Any,
    ) -> Call:
        """Places a call that runs the document; without one it is a click-to-call."""
        name = next(self.stage._names)
        number = to if isinstance(to, str) else to.number
        web = self.web
        quiet = {"Connection": "close"}  # kept-alive connections would look like leaks
        web.script(f"/{name}/events", Answer(headers=quiet))
        if isinstance(document, str):
            document = Answer(body=document.encode(), content_type="text/xml", headers=quiet)
        if document is not None:
            web.script(f"/{name}/app", document)
            params.setdefault("url", web.url(f"/{name}/app"))
        sid = self.stage.outdial.place_call(
            **{
                "to": number,
                "from": from_,
                "statusCallback": web.url(f"/{name}/events"),
                "statusCallbackEvent": "initiated,ringing,answered,completed",
                **params,
            }
        )
        call = Call(self.stage, sid, number, from_, name, has_document=document is not None)
        self._calls.append(call)
        return call


def _check_story(call: Call) -> None:
    """What the callbacks of any call must be, whatever happened on it."""
    legs: dict[str, list[dict[str, str]]] = {}
    for params in call.all_events():
        legs.setdefault(params["callSid"], []).append(params)
    assert call.sid in legs
    for sid, story in legs.items():
        if story[-1].get("HangupCause") == "server-restart":  # told once more, and no different
            story = legs[sid] = [one for place, one in enumerate(story) if one not in story[:place]]
        told = [params["CallStatus"] for params in story]
        steps = ["initiated", "ringing", "answered", "completed"]
        assert told == sorted(set(told), key=steps.index), told
        assert told[-1] == "completed"
        assert [int(params["SequenceNumber"]) for params in story] == list(range(len(story)))
        stamps = [params["Timestamp"] for params in story]
        assert stamps == sorted(stamps)
        for params in story:
            assert params["ParentCallSid"] == call.sid
            assert params["Called"] == params["To"]
            assert params["Direction"] == "Outbound"
            assert params["CallbackSource"] == "call-progress-event"
            assert ("CallOutcome" in params) == (params is story[-1])
            if sid == call.sid:
                assert (params["To"], params["From"]) == (call.to, call.from_)
        last = story[-1]
        assert last["CallDurartion"] == last["CallDuration"]
        if "answered" not in told:
            assert last["CallDuration"] == "0"
    story = legs[call.sid]
    fetches = len(call.fetches())
    if story[-1]["HangupCause"] == "server-restart":
        pass  # what came between the last commit and the crash is not known any more
    elif not any(params["CallStatus"] == "answered" for params in story):
        assert fetches == 0, "the document is not fetched for a call nobody answered"
    elif call.has_document and story[-1]["HangupSource"] == "application":
        assert fetches == 1
    assert fetches <= 1


def _says(request: Received, sid: str, status: str) -> bool:
    params = request.params
    return params.get("callSid") == sid and params.get("CallStatus") == status


def _others(got: Sequence[Received], sid: str) -> list[str]:
    return [r.params["callSid"] for r in got if r.params["callSid"] != sid]


def _lines(net: str, first: int, number: int, count: int, trunks: int) -> list[Line]:
    return [
        Line(
            f"1212{number + place}",
            tuple(f"{net}{first + place * trunks + trunk}" for trunk in range(trunks)),
        )
        for place in range(count)
    ]


def _merged(
    settings: Mapping[str, Mapping[str, Any]], host: str, trunks: list[dict[str, Any]]
) -> dict[str, Any]:
    # An address of its own, so that no other test on this machine can have taken the ports.
    own: dict[str, Any] = {
        "sip": {"t1_ms": round(T1_S * 1000), "listen": [f"udp:{host}:5060", f"tcp:{host}:5060"]},
        "limits": {"destinations": ["1"], "calls_per_second": 100},
        "speech": {"rate_wpm": 300},
        "media": {"workers": 1, "address": host, "ports": "20000-20999"},
    }
    for name, section in settings.items():
        own[name] = {**own.get(name, {}), **section}
    return {**own, "trunks": trunks}
