"""Every line of the TLS faults of docs/reference/carrier-faults.md, in virtual time.

The handshakes and certificates are real; only the wire between the two ends is not.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doubles.certificates import Authority, Made
from faults.test_carrier_faults import lines_of
from outdial.sip.core.counts import Counters
from outdial.testing.carrier.secrets import NAME, Certificates, Files, tls_faults
from outdial.testing.rehearsal.call import Call
from outdial.testing.rehearsal.rehearsal import Rehearsal

LATEST_S = 1.0
PROMISES = {cells[0]: cells[2:] for cells in lines_of("TLS faults")}


def files(made: Made) -> Files:
    return str(made.path), str(made.key_path)


@pytest.fixture(scope="module")
def happened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Call]]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    stranger = Authority(tmp_path_factory.mktemp("stranger"), "Somebody Else")
    faults = tls_faults(
        Certificates(
            authority=authority.path,
            good=files(authority.make(names=[NAME])),
            expired=files(authority.make(names=[NAME], days=(-9, -1))),
            not_yet_valid=files(authority.make(names=[NAME], days=(1, 9))),
            self_signed=files(authority.make(names=[NAME], self_signed=True)),
            other_name=files(authority.make(names=["sip.other.example"])),
            other_authority=files(stranger.make(names=[NAME])),
        )
    ).by_name
    with Rehearsal(faults=list(faults.values())) as outdial:
        document = '<Response><Pause length="5"/><Hangup/></Response>'
        url = outdial.web().serve("/stays", document)
        calls: dict[str, Call] = {}
        for place, name in enumerate(faults):
            calls[name] = outdial.call(outdial.lines[name].number, url, wait=False)
            if place % 4 == 3:
                outdial.advance(0.2)
        outdial.wait_until_over()
        outdial.advance(70)
        assert outdial.sip.agent.counters() == Counters(0, 0, 0, 0, 0, 0)
        assert [
            failure
            for name in faults
            for carrier in outdial.lines[name].carriers
            for failure in carrier.failures
        ] == []
        yield calls


def test_the_page_has_a_line_for_each_fault(happened: dict[str, Call]) -> None:
    assert set(PROMISES) == set(happened)


@pytest.mark.parametrize("name", PROMISES)
def test_a_call_ends_as_the_page_says(happened: dict[str, Call], name: str) -> None:
    events, outcome, cause, code, by, after, detail = PROMISES[name]
    call = happened[name]
    record = call.record
    told = [callback.event for callback in call.callbacks]
    assert told == ["initiated", *([] if events == "none" else events.split(", ")), "completed"]
    ended = (call.outcome, call.cause, record.sip_code, call.hung_up_by)
    assert ended == (outcome, cause, int(code), by)
    assert record.ended_at is not None
    after_s = record.ended_at - record.created_at
    assert float(after) - 0.1 <= after_s <= float(after) + LATEST_S
    assert detail == "–" or detail in (record.detail or "")
