"""Every feature that fetches, with every URL that could lead inside: nothing there hears a byte.

The client, its rules and the name server are the real ones; a listener on all addresses of this
machine stands where the URLs would lead, and counts. The last tests here show that no feature is
missing: what can ask for a URL in the sources is what is tried above.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast
from xml.sax.saxutils import quoteattr

import pytest
from pydantic import BaseModel
from sqlalchemy import MetaData

import outdial
from doubles.inside import (
    APP,
    CALLEE,
    CALLER,
    DENIED,
    OTHER,
    Inside,
    bare,
    staged,
    table,
    wanted,
)
from doubles.legs import ANSWER, FakeSignallingLeg
from doubles.numbers import StoredNumbers
from doubles.world import Page, until
from outdial.api.changes import Redirect as RedirectBody
from outdial.api.numbers import NewOwnNumber
from outdial.api.schemas import NewCall
from outdial.calls import checks, codes
from outdial.calls.called_numbers import CalledNumbers
from outdial.calls.commands import Redirect
from outdial.calls.gateway import Gateway
from outdial.calls.reception import Reception
from outdial.calls.request import CallRequest
from outdial.clock import SystemClock
from outdial.config import Limits, Settings, Sms, Webhooks
from outdial.didml.table import VERBS as LANGUAGE
from outdial.didml.values import URL
from outdial.errors import FetchError, Refused
from outdial.legs import Answered, DigitInfo, Rejected, Released
from outdial.net.addresses import AddressPolicy, check_url
from outdial.net.client import HttpClient
from outdial.store import tables
from outdial.store.records import DeliveryRecord, MessageRecord, NumberRecord
from outdial.testing.legs import FakeIncomingLeg
from outdial.webhooks.deliver import Deliverer


@pytest.fixture
async def inside() -> AsyncIterator[Inside]:
    async with staged() as stage:
        yield stage


def test_the_table_is_large_enough() -> None:
    assert len(set(table(1))) >= 100


# ------------------------------------------------------------------ documents


class Verb(NamedTuple):
    """A verb with a URL, and what has to happen so that it is asked for."""

    write: Callable[[str], str]
    """As it stands in a document, of the URL as a quoted attribute."""
    keys: bool = False
    """Whoever is called presses a key over and over."""
    waiter: str = ""
    """The document of another call that it has to do with."""
    hangs_up_at: str = ""
    """The caller hangs up then: at this command to the audio, or when somebody is ``rung``."""


VERBS: dict[str, Verb] = {
    "Redirect": Verb(lambda url: f"<Redirect>{url[1:-1]}</Redirect>"),
    "Play": Verb(lambda url: f"<Play>{url[1:-1]}</Play>"),
    "Play in Gather": Verb(lambda url: f"<Gather timeout='1'><Play>{url[1:-1]}</Play></Gather>"),
    "action of Say": Verb(lambda url: f"<Say action={url}>hello</Say>"),
    "action of Gather": Verb(lambda url: f"<Gather numDigits='1' action={url}/>", keys=True),
    "action of Record": Verb(lambda url: f"<Record action={url}/>", keys=True),
    "action of Record after the call": Verb(
        lambda url: f"<Record action={url}/>", hangs_up_at="record"
    ),
    "action of Dial": Verb(lambda url: f"<Dial action={url}>{DENIED}</Dial>"),
    "action of Dial after the call": Verb(
        lambda url: f"<Dial action={url}>{OTHER}</Dial>", hangs_up_at="rung"
    ),
    "url of Number": Verb(lambda url: f"<Dial><Number url={url}>{OTHER}</Number></Dial>"),
    "action of Number": Verb(lambda url: f"<Dial><Number action={url}>{DENIED}</Number></Dial>"),
    "url of Queue": Verb(
        lambda url: f"<Dial><Queue url={url}>q{{n}}</Queue></Dial>",
        waiter="<Enqueue>q{n}</Enqueue>",
    ),
    "waitUrl of Conference": Verb(
        lambda url: (
            f"<Dial><Conference startConferenceOnEnter='false' waitUrl={url}>"
            "r{n}</Conference></Dial>"
        )
    ),
    "waitUrl of Enqueue": Verb(lambda url: f"<Enqueue waitUrl={url}>q{{n}}</Enqueue>"),
    "action of Fax": Verb(lambda url: f"<Fax action={url}/>"),
    "action of Sms": Verb(lambda url: f"<Sms action={url} to='{DENIED}'>hello</Sms>"),
}


@pytest.mark.parametrize("feature", VERBS)
async def test_no_verb_gets_inside(inside: Inside, feature: str) -> None:
    urls = wanted(inside.urls)
    verb = VERBS[feature]
    requests = []
    for n, url in enumerate(urls):
        for place, written in (("", verb.write(quoteattr(url))), ("waiter", verb.waiter)):
            if written:
                address = f"{APP}{place}{n}"
                document = f"<Response>{written.replace('{n}', str(n))}</Response>"
                inside.world.web.pages[address] = Page(document.encode())
                requests.append(CallRequest(CALLEE, CALLER, address))
    await _call(inside, requests, urls, verb)
    inside.check(urls)


CALLS: dict[str, Callable[[str], CallRequest]] = {
    "url": lambda url: CallRequest(CALLEE, CALLER, url),
    "url by GET": lambda url: CallRequest(CALLEE, CALLER, url, method="GET"),
    "fallbackUrl": lambda url: CallRequest(CALLEE, CALLER, f"{APP}missing", fallback_url=url),
}


@pytest.mark.parametrize("feature", CALLS)
async def test_no_url_of_a_call_gets_inside(inside: Inside, feature: str) -> None:
    """Though it was not refused when the call was posted: a name may lead elsewhere since."""
    urls = wanted(inside.urls)
    await _call(inside, [CALLS[feature](url) for url in urls], urls)
    inside.check(urls)


CHANGES: dict[str, Callable[[str], Redirect]] = {
    "url of a change": Redirect,
    "fallbackUrl of a change": lambda url: Redirect(f"{APP}missing", fallback_url=url),
}


@pytest.mark.parametrize("feature", CHANGES)
async def test_no_change_of_a_call_gets_inside(inside: Inside, feature: str) -> None:
    urls = wanted(inside.urls)
    inside.world.web.pages[APP] = Page(b"<Response><Pause length='60'/></Response>")
    requests = [CallRequest(CALLEE, CALLER, APP) for _ in urls]
    await _call(inside, requests, urls, changes=[CHANGES[feature](url) for url in urls])
    inside.check(urls)


async def _call(
    inside: Inside,
    requests: Sequence[CallRequest],
    urls: Sequence[str],
    verb: Verb | None = None,
    *,
    changes: Sequence[Redirect] = (),
    busy: bool = False,
) -> None:
    """Places them all, answers them, and hangs up when every URL was tried, or none is left."""
    calls = [await inside.registry.place(request, "dev") for request in requests]
    legs: list[FakeSignallingLeg] = []
    for count in range(1, len(calls) + 1):
        legs.append(await inside.world.signalling.next_leg(count))
    for leg in legs:
        leg.answers(Answered(ANSWER))
    if changes:
        await until(lambda: inside.world.store.kinds().count("verb.started") == len(calls))
        for call, change in zip(calls, changes, strict=True):
            await inside.registry.command(call.sid, change, "dev")
    callers, hangs_up_at = tuple(legs), "" if verb is None else verb.hangs_up_at
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(20):
            while len(inside.tried) < len(set(map(bare, urls))):
                if not inside.registry.health()["live"]:
                    break
                for leg in inside.world.signalling.legs[len(legs) :]:  # whom a Dial has rung
                    legs.append(leg)
                    if busy:
                        leg.say(Rejected(486, "Busy Here"))
                    elif not hangs_up_at:
                        leg.answers(Answered(ANSWER))
                for leg in callers if verb is not None and verb.keys else ():
                    if leg.dialog_data is not None:
                        leg.say(DigitInfo("1", 160))
                if hangs_up_at and _is_reached(inside, hangs_up_at, len(calls)):
                    hangs_up_at = ""
                    for leg in callers:
                        leg.say(Released(by_far_end=True))
                await asyncio.sleep(0.01)
    for call in calls:
        await inside.registry.hang_up(call.sid)
    await _end(inside)


def _is_reached(inside: Inside, what: str, calls: int) -> bool:
    """Whether all of the calls have come so far."""
    if what == "rung":
        return len(inside.world.signalling.legs) == 2 * calls
    return sum(what in leg.done for leg in inside.world.media.legs) == calls


async def _end(inside: Inside) -> None:
    """Waits until nothing goes on any more."""
    async with asyncio.timeout(20):
        await until(
            lambda: not inside.registry.health()["live"] and not len(inside.world.services.tasks)
        )


# ------------------------------------------------------------------ calls to numbers of ours


NUMBERS: dict[str, Callable[[str, str], NumberRecord]] = {
    "url of a number": NumberRecord,
    "fallbackUrl of a number": lambda number, url: NumberRecord(
        number, f"{APP}missing", fallback_url=url
    ),
    "statusCallback of a number": lambda number, url: NumberRecord(
        number, APP, status_callback=url
    ),
}


@pytest.mark.parametrize("change", [False, True], ids=["made", "changed"])
@pytest.mark.parametrize("feature", NUMBERS)
async def test_no_number_gets_inside(inside: Inside, feature: str, change: bool) -> None:
    """Also of one that was right when it was made, and is changed while the server runs."""
    urls = wanted(inside.urls)
    inside.world.web.pages[APP] = Page(b"<Response><Reject/></Response>")
    numbers = CalledNumbers([], StoredNumbers(), SystemClock())
    services = inside.world.services
    reception = Reception(services, inside.registry, lambda host, account: "a", numbers)
    incoming = []
    for n, url in enumerate(urls):
        ours = NUMBERS[feature](f"1800555{n:04}", url)
        if change:
            await numbers.add(NumberRecord(ours.number, APP))
            names = ("url", "fallback_url", "status_callback")
            await numbers.change(ours.number, {name: getattr(ours, name) for name in names})
        else:
            await numbers.add(ours)
        incoming.append(FakeIncomingLeg(ours.number))
        reception.take(incoming[-1])
    unconfirmed = list(incoming)
    async with asyncio.timeout(20):
        while inside.registry.health()["live"] or len(services.tasks):
            for leg in [one for one in unconfirmed if one.answered]:
                unconfirmed.remove(leg)
                leg.emit(Answered(None))
            await asyncio.sleep(0.01)
    await _deliver(inside)
    inside.check(urls)


# ------------------------------------------------------------------ callbacks


CALLBACKS: dict[str, Callable[[str], str]] = {
    "statusCallback": lambda url: "",
    "statusCallback of Number": lambda url: (
        f"<Dial><Number statusCallback={url}>{OTHER}</Number></Dial>"
    ),
    "statusCallback of Sms": lambda url: f"<Sms statusCallback={url} to='{DENIED}'>hello</Sms>",
    "Postcall": lambda url: f"<Postcall>{url[1:-1]}</Postcall>",
}


@pytest.mark.parametrize("feature", CALLBACKS)
async def test_no_callback_gets_inside(inside: Inside, feature: str) -> None:
    urls = wanted(inside.urls)
    requests = []
    for n, url in enumerate(urls):
        address = f"{APP}{n}"
        document = f"<Response>{CALLBACKS[feature](quoteattr(url))}</Response>"
        inside.world.web.pages[address] = Page(document.encode())
        told = url if feature == "statusCallback" else ""
        requests.append(CallRequest(CALLEE, CALLER, address, status_callback=told))
    await _call(inside, requests, urls, busy=True)
    assert await _deliver(inside) >= len(urls)
    inside.check(urls)


async def _deliver(inside: Inside) -> int:
    """Lets the real deliverer have the callbacks that calls have made; how many there were."""
    deliveries = inside.world.callbacks.submitted
    settled: list[DeliveryRecord] = []
    deliverer = Deliverer(
        cast(Any, _Outbox()),
        cast(Any, inside.client),
        SystemClock(),
        Webhooks(attempts=1),
        on_settled=lambda delivery, _: settled.append(delivery),
    )
    await deliverer.start()
    deliverer.submit(deliveries)
    async with asyncio.timeout(20):
        await until(lambda: len(settled) == len(deliveries))
    await deliverer.stop()
    assert all(one.last_status is None and one.last_error for one in settled)
    return len(settled)


class _Outbox:
    def settle_delivery(self, delivery: DeliveryRecord) -> None:
        pass

    async def flush(self) -> None:
        pass

    async def pending_deliveries(
        self, limit: int, after: int = 0
    ) -> tuple[list[DeliveryRecord], int]:
        return [], 0


# ------------------------------------------------------------------ the rest


GATEWAY = "gateway_url of the settings"


async def test_no_gateway_of_messages_gets_inside(inside: Inside) -> None:
    urls = wanted(inside.urls)
    message = MessageRecord("SM", "CA", CALLER, CALLEE, "hello", "queued", 0.0, via="")
    for url in urls:
        sms = Sms.model_construct(**Sms().model_dump() | {"gateway_url": url})
        result = await Gateway(cast(Any, inside.client), sms).send(message)
        assert result.local and result.not_taken
    inside.check([url for url in urls if "{" not in url])


@pytest.mark.parametrize("follow", [0, 3])
async def test_no_redirect_leads_inside(inside: Inside, follow: int) -> None:
    """Of sounds they are followed, and judged at each hop; of all else they are not followed."""
    hops = 0

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal hops
        hops += 1
        request = await reader.readuntil(b"\r\n\r\n")
        number = request.split(b" ")[1].strip(b"/")
        target = b"/nowhere"
        if number.isdigit():
            target = urls[int(number)].encode("ascii", "ignore").replace(b"\t", b"")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n" % target)
        writer.write(b"Connection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    urls = inside.urls
    server = await asyncio.start_server(redirect, "127.0.0.3", 0)
    allowed = f"http://127.0.0.3:{server.sockets[0].getsockname()[1]}/"
    names = inside.names
    client = HttpClient(AddressPolicy(["127.0.0.3/32"]), resolver=names)
    refused = 0
    for number in range(len(urls)):
        try:
            answer = await client.request("GET", f"{allowed}{number}", follow=follow)
        except FetchError:
            refused += 1
        else:
            assert answer.status == 302  # of the server that may be asked: a path of its own
            assert answer.url.startswith(allowed)
    await client.close()
    server.close()
    assert hops >= len(urls)
    assert refused > (90 if follow else -1)
    assert inside.listener.heard == 0


async def test_a_second_answer_of_the_name_server_is_not_asked_for(inside: Inside) -> None:
    """Rebinding: public when it is judged, private when it is connected to."""

    class Rebinding:
        def __init__(self) -> None:
            self.asked = 0

        async def resolve(self, host: str) -> Sequence[str]:
            self.asked += 1
            return ["192.0.2.1"] if self.asked % 2 else ["127.0.0.1"]

        async def close(self) -> None:
            pass

    names = Rebinding()
    policy = AddressPolicy(["192.0.2.0/24"])  # stands for a public address, where nobody answers
    client = HttpClient(policy, resolver=names)
    url = f"http://rebinds.example:{inside.listener.port}/"
    with pytest.raises(FetchError):
        await client.request("GET", url, timeout_s=0.3)
    assert names.asked == 1
    await client.close()
    assert inside.listener.heard == 0


@pytest.mark.parametrize("name", ["url", "status_callback", "fallback_url"])
def test_what_can_be_told_without_a_name_server_is_refused_at_the_post(name: str) -> None:
    policy = AddressPolicy()
    rules = checks.Rules(Limits(destinations=["1"]), lambda url: check_url(url, policy))
    refused: dict[int, int] = {}
    fields = set()
    for url in table(9):
        values = {"to": [CALLEE], "from": [CALLER], "url": ["https://example.com/"], name: [url]}
        try:
            checks.check(values, {one: one for one in checks.FIELDS}, rules)
        except Refused as refusal:
            fields.add(refusal.field)
            refused[refusal.code] = refused.get(refusal.code, 0) + 1
        else:
            assert ".example" in url, url  # a name says only at the call where it leads
    assert fields == {name}
    assert refused[codes.REFUSED_ADDRESS] > 40 and refused[codes.BAD_VALUE] > 15


# ------------------------------------------------------------------ no feature is missing


SOURCES = Path(outdial.__file__).parent
OWN = ("cli", "testing", "sim", "demo")
"""Programs of their own: who types a URL there asks for it himself."""
TRIED = {*VERBS, *CALLS, *CHANGES, *NUMBERS, *CALLBACKS, GATEWAY}

ASKING: dict[str, tuple[str, ...]] = {
    "calls/callbacks.py": (
        "statusCallback",
        "statusCallback of Number",
        "statusCallback of a number",
    ),
    "calls/control.py": tuple(CHANGES),
    "calls/gateway.py": (GATEWAY,),
    "calls/host.py": (
        "url of Number",
        "url of Queue",
        "waitUrl of Conference",
        "waitUrl of Enqueue",
    ),
    "calls/messages.py": ("statusCallback of Sms",),
    "calls/postcall.py": ("Postcall",),
    "calls/session.py": (*CALLS, "url of a number", "fallbackUrl of a number"),
    "didml/interpreter.py": ("fallbackUrl",),
    "didml/run/dial.py": (
        "action of Dial",
        "action of Dial after the call",
        "action of Number",
    ),
    "didml/run/fax.py": ("action of Fax",),
    "didml/run/gather.py": ("action of Gather",),
    "didml/run/play.py": ("Play", "Play in Gather"),
    "didml/run/record.py": ("action of Record", "action of Record after the call"),
    "didml/run/redirect.py": ("Redirect",),
    "didml/run/say.py": ("action of Say",),
    "didml/run/sms.py": ("action of Sms",),
}
"""Where the sources name a URL to be asked for: a document, a notice, a sound, a callback, or a
request itself; and the features that come by there."""
PASSING_ON = {"speech/sounds.py", "webhooks/attempt.py", "traces.py"}
"""What asks for the URL of others: a sound, a callback; any, with a trace."""


def _sources() -> Iterator[tuple[str, Path]]:
    for path in SOURCES.rglob("*.py"):
        name = path.relative_to(SOURCES)
        if name.parts[0] not in OWN:
            yield str(name), path


def _asks(node: ast.AST) -> bool:
    """Whether the node names a URL that is going to be asked for."""
    if isinstance(node, ast.Await) and isinstance(node.value, ast.Call):
        function = node.value.func
        return isinstance(function, ast.Attribute) and function.attr == "request"
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Name):
        is_copy = any(isinstance(one, ast.Starred) for one in node.args)  # of what the store has
        return node.func.id in ("DocumentRequest", "DeliveryRecord") and not is_copy
    return (
        isinstance(node.func, ast.Attribute)
        and node.func.attr in ("notify", "sound")
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "host"
    )


def test_every_place_that_asks_for_a_url_is_tried() -> None:
    found = {
        name
        for name, path in _sources()
        if name.partition("/")[0] not in ("sip", "trunk_check", "net")
        and any(map(_asks, ast.walk(ast.parse(path.read_text()))))
    }
    assert found == {*ASKING, *PASSING_ON}
    assert {feature for features in ASKING.values() for feature in features} == TRIED


def test_every_url_of_the_language_is_tried() -> None:
    written = {row.name for row in LANGUAGE if row.body is not None and row.body.kind is URL} | {
        f"{attribute.name} of {row.name}"
        for row in LANGUAGE
        for attribute in row.attributes
        if attribute.kind is URL
    }
    assert len(written) >= 16
    assert written <= TRIED
    assert {name for name in {*VERBS, *CALLBACKS} if " " not in name} <= written | {
        "statusCallback"
    }


def _urls_of(model: type[BaseModel]) -> set[str]:
    return {name for name in model.model_fields if name.endswith(("url", "callback"))}


def test_every_url_of_the_api_is_tried() -> None:
    assert _urls_of(NewCall) == {"url", "fallback_url", "status_callback"}
    assert _urls_of(RedirectBody) == {"url", "fallback_url"}
    assert _urls_of(NewOwnNumber) == {"url", "fallback_url", "status_callback"}


def test_every_url_of_the_settings_is_tried_or_nothing_that_is_fetched() -> None:
    found: set[str] = set()

    def look(model: type[BaseModel], path: str) -> None:
        for name, field in model.model_fields.items():
            for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    look(kind, f"{path}{name}.")
            if name.endswith(("url", "callback")):
                found.add(f"{path}{name}")

    look(Settings, "")
    assert found == {
        "http.public_url",  # of the links that others follow
        "store.url",  # of the database, or its file
        "numbers.url",
        "numbers.fallback_url",
        "numbers.status_callback",
        "sms.gateway_url",
    }


def test_every_url_of_the_store_is_tried() -> None:
    (metadata,) = {one for one in vars(tables).values() if isinstance(one, MetaData)}
    kept = {
        f"{table.name}.{column.name}"
        for table in metadata.sorted_tables
        for column in table.columns
        if column.name.endswith(("url", "callback"))
    }
    assert kept == {
        "deliveries.url",
        "messages.status_callback",
        "numbers.url",
        "numbers.fallback_url",
        "numbers.status_callback",
    }


ELSEWHERE = {"net/pool.py", "store/postgresql.py"}
"""What connects by TCP besides SIP: the client's pool, and the database."""
CONNECTS = re.compile(
    r"open_connection|create_connection\(|urllib\.request|http\.client|import (aiohttp|requests)"
)


def test_nothing_else_in_a_server_fetches() -> None:
    """So what is shown of the one client holds for a feature that nobody has written yet."""
    found = {
        name
        for name, path in _sources()
        if name.partition("/")[0] not in ("sip", "trunk_check")
        and CONNECTS.search(path.read_text())
    }
    assert found <= ELSEWHERE, found
