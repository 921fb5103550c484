"""SIPp as the harness runs it: one instance asks, another answers."""

from __future__ import annotations

import pytest

from outdial.testing.sipp import Sipp, is_installed

ASKS = """\
<?xml version="1.0" encoding="UTF-8"?>
<scenario name="asks">
  <send><![CDATA[
OPTIONS sip:[who]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:test@[local_ip]>;tag=[call_number]
To: <sip:[who]@[remote_ip]>
Call-ID: [call_id]
CSeq: 1 OPTIONS
Max-Forwards: 70
Content-Length: 0

  ]]></send>
  <recv response="200"/>
</scenario>
"""
ANSWERS = """\
<?xml version="1.0" encoding="UTF-8"?>
<scenario name="answers">
  <recv request="OPTIONS"/>
  <send><![CDATA[
SIP/2.0 STATUS
[last_Via:]
[last_From:]
[last_To:];tag=1
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

  ]]></send>
</scenario>
"""

pytestmark = [
    pytest.mark.sipp,
    pytest.mark.skipif(not is_installed(), reason="sipp is not installed"),
]


def test_a_run_that_goes_as_written_is_successful() -> None:
    with Sipp(ANSWERS.replace("STATUS", "200 OK"), calls=2, trace_messages=True) as phone:
        with Sipp(ASKS, target=f"127.0.0.1:{phone.port}", calls=2, keys={"who": "bob"}) as caller:
            asked = caller.wait(10)
        answered = phone.wait(10)
    assert (asked.exit_code, asked.successful, asked.failed) == (0, 2, 0), asked.complaints
    assert (answered.exit_code, answered.successful) == (0, 2), answered.complaints
    assert "OPTIONS sip:bob@127.0.0.1" in answered.messages


def test_what_was_not_expected_is_counted_and_told() -> None:
    with (
        Sipp(ANSWERS.replace("STATUS", "486 Busy Here")) as phone,
        Sipp(ASKS, target=f"127.0.0.1:{phone.port}", keys={"who": "bob"}) as caller,
    ):
        asked = caller.wait(10)
    assert (asked.exit_code, asked.successful, asked.failed) == (1, 0, 1)
    assert "486" in asked.complaints


def test_one_that_nobody_calls_is_not_waited_for_longer_than_asked() -> None:
    with (
        Sipp(ANSWERS.replace("STATUS", "200 OK")) as phone,
        pytest.raises(TimeoutError, match="not done"),
    ):
        phone.wait(0.2)


def test_a_scenario_that_sipp_refuses_is_told_at_the_start() -> None:
    with pytest.raises(RuntimeError, match="Invalid reply code"), Sipp(ANSWERS):
        pass
