"""How patient a fetch of a document is, as its URL's fragment says."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from doubles.world import Page, World
from outdial.calls.dialled_leg import DialledLeg
from outdial.calls.host import LegHost
from outdial.calls.leg_plan import LegPlan
from outdial.errors import FetchError
from outdial.store.records import CallRecord

SID = "CA" + "0" * 32
URL = "http://app.test/start"
HELLO = Page(b"<Response/>")


class MoodyWeb:
    """Answers in turn; an exception is raised."""

    def __init__(self, *answers: Page | FetchError) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, float, float | None, float | None]] = []
        self.methods: list[str] = []

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Sequence[tuple[str, str]] = (),
        timeout_s: float = 10.0,
        max_bytes: int = 65536,
        connect_timeout_s: float | None = None,
        read_timeout_s: float | None = None,
    ) -> Page:
        self.methods.append(method)
        self.asked.append((url, timeout_s, connect_timeout_s, read_timeout_s))
        answer = self.answers.pop(0)
        if isinstance(answer, FetchError):
            raise answer
        return answer


def host(web: MoodyWeb) -> tuple[LegHost, World]:
    world = World()
    object.__setattr__(world.services, "http", web)
    call = CallRecord(SID, SID, "outbound", "12025550100", "12025550123", "", "queued", 0.0)
    plan = LegPlan(number="12025550123", caller_id="12025550100")
    leg = DialledLeg(world.services, call, plan, None)
    return LegHost(world.services, leg, lambda leg: None), world


def away() -> FetchError:
    return FetchError("connect", "nobody is there")


def slow() -> FetchError:
    return FetchError("timeout", "too slow")


@pytest.mark.parametrize(
    ("fragment", "failures", "retried"),
    [
        ("", [away()], 0),
        ("#top", [away()], 0),
        ("#ct=500", [away()], 0),
        ("#rc=1", [away()], 1),
        ("#rc=5", [away()] * 5, 5),
        ("#rc=0&rp=all", [away()], 0),
        ("#rp=ct", [away()], 1),
        ("#rp=ct", [away()] * 2, 1),
        ("#rc=2", [Page(b"", 500)], 0),
        ("#rc=2", [slow()], 0),
        ("#rc=2&rp=5xx,rt", [Page(b"", 500), slow()], 2),
        ("#rc=2&rp=5xx", [Page(b"", 503), Page(b"", 404)], 1),
        ("#rc=2&rp=all", [Page(b"", 302), away(), slow()], 2),
        ("#rc=3&rp=all", [FetchError("refused-address", "private")], 0),
    ],
)
async def test_which_failures_are_repeated(
    fragment: str, failures: list[Page | FetchError], retried: int
) -> None:
    web = MoodyWeb(*failures, HELLO)
    visitor, world = host(web)
    if retried == len(failures):
        answer = await visitor.fetch(URL + fragment, "POST")
        assert answer.body == HELLO.body
    else:
        with pytest.raises(FetchError):
            await visitor.fetch(URL + fragment, "POST")
    assert len(web.asked) == retried + (retried == len(failures) or 1)
    assert {url for url, *_ in web.asked} == {URL}
    notes = [event for event in world.store.timeline if event.kind == "document.retry"]
    assert [note.data["attempt"] for note in notes] == list(range(1, retried + 1))


async def test_the_times_are_handed_on() -> None:
    web = MoodyWeb(HELLO, HELLO)
    visitor, _ = host(web)
    await visitor.fetch(URL + "#ct=500&rt=2500&tt=4000", "POST")
    await visitor.fetch(URL, "POST")
    (_, total, *parts), (_, usual, *none) = web.asked
    assert total == pytest.approx(4.0, abs=0.1) and parts == [0.5, 2.5]
    assert usual == pytest.approx(10.0, abs=0.1) and none == [None, None]


async def test_bad_overrides_of_a_document_are_left_out_with_a_warning() -> None:
    web = MoodyWeb(away())
    visitor, world = host(web)
    with pytest.raises(FetchError):
        await visitor.fetch(URL + "#rc=77", "POST")
    (warning,) = [event for event in world.store.timeline if event.kind == "warning"]
    assert 'rc must be 0 to 5, not "77"' in str(warning.data["text"])


# ------------------------------------------------------------------ static documents


@pytest.mark.parametrize("status", [405, 501])
async def test_a_server_that_takes_no_post_is_asked_by_get(status: int) -> None:
    web = MoodyWeb(Page(b"", status), HELLO)
    leg, world = host(web)
    assert (await leg.fetch(URL, "POST")).status == 200
    assert web.methods == ["POST", "GET"]
    (warning,) = [e for e in world.store.timeline if e.kind == "document.warning"]
    assert f"takes no POST ({status})" in warning.data["message"]


@pytest.mark.parametrize(
    ("method", "extra"), [("GET", ()), ("POST", (("Digits", "8970"),))], ids=["GET", "digits"]
)
async def test_digits_are_not_sent_again_by_get(
    method: str, extra: Sequence[tuple[str, str]]
) -> None:
    web = MoodyWeb(Page(b"", 405))
    with pytest.raises(FetchError, match="405"):
        await host(web)[0].fetch(URL, method, extra)
    assert web.methods == [method]


async def test_it_is_asked_by_get_once() -> None:
    web = MoodyWeb(Page(b"", 405), Page(b"", 405))
    with pytest.raises(FetchError, match="405"):
        await host(web)[0].fetch(URL, "POST")
    assert web.methods == ["POST", "GET"]
