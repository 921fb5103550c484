"""Fax: who is told, and what is kept when the sender hangs up."""

from __future__ import annotations

import asyncio

import pytest

from doubles.application import FakeFax, FakeHost, run
from doubles.world import until
from outdial.didml.run.host import FaxEnd

STANDARD = (
    ("faxurl", "https://outdial.test/v1/faxes/FX1.pdf"),
    ("callid", "CA1"),
    ("dialednumber", "12025550123"),
    ("callerid", "12025550100"),
)


async def fax_of(host: FakeHost) -> FakeFax:
    await until(lambda: host.fax)
    assert host.fax is not None
    return host.fax


async def test_action_gets_the_fax_as_the_vendor_spells_it_and_takes_over() -> None:
    host = FakeHost(start='<Fax action="/after"/><Say>Never.</Say>', after="<Hangup/>")
    running = asyncio.ensure_future(run(host))
    fax = await fax_of(host)
    host.press("5", "in-band")
    fax.over.set_result(FaxEnd("Complete", 3, 3, "1 555 0100"))
    await running
    url, method, params = host.fetched[-1]
    assert (url, method) == ("http://app.example.test/after", "POST")
    assert params == (
        *STANDARD,
        ("faxstatus", "Complete"),
        ("numofpages", "3"),
        ("received", "3"),
        ("faxsender", "1 555 0100"),
    )
    assert not host.keys.any_waiting, "the tones of a modem are no keys"
    assert host.noted("verb.ended") == [{"verb": "Fax", "result": "Complete", "problem": ""}]


async def test_a_fax_without_pages_has_no_url_and_says_why() -> None:
    host = FakeHost(start='<Fax action="/after" Method="GET"/>', after="<Hangup/>")
    running = asyncio.ensure_future(run(host))
    (await fax_of(host)).over.set_result(FaxEnd("failed", error="libspandsp is not installed"))
    await running
    _, method, params = host.fetched[-1]
    told = dict(params)
    assert method == "GET" and told["faxurl"] == ""
    assert (told["faxstatus"], told["numofpages"], told["received"]) == ("failed", "0", "0")
    assert told["faxerror"] == "libspandsp is not installed"


async def test_without_action_the_next_verb_runs() -> None:
    host = FakeHost(start="<Fax/><Say>Thank you.</Say>")
    running = asyncio.ensure_future(run(host))
    (await fax_of(host)).over.set_result(FaxEnd("Complete", 1, 1))
    await running
    assert [text for text, _, _ in host.spoken] == ["Thank you."]


async def test_a_sender_that_hangs_up_is_told_of_afterwards() -> None:
    host = FakeHost(start='<Fax action="/after"/>')
    running = asyncio.ensure_future(run(host))
    fax = await fax_of(host)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert fax.stopped == 1 and host.told == []
    fax.over.set_result(FaxEnd("incomplete", 2, 1, "", "The call dropped prematurely"))
    await asyncio.gather(*host.afterwards)
    ((url, _, params),) = host.told
    assert url == "http://app.example.test/after"
    assert (params["faxstatus"], params["numofpages"], params["received"]) == (
        "incomplete", "2", "1"
    )  # fmt: skip
    assert params["faxurl"] == STANDARD[0][1]
