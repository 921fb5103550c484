"""What the commands print, from what the API gives."""

from __future__ import annotations

from typing import Any

from outdial.calls.drawing import ladder_lines
from outdial.cli import lines

CALL: dict[str, Any] = {
    "sid": "CA1",
    "parent_sid": "CA1",
    "direction": "outbound",
    "from": "18005797676",
    "to": "19499300360",
    "created_at": "2027-01-15T08:00:00.000Z",
    "key_name": "dev",
    "state": "completed",
    "outcome": "busy",
    "duration_s": 0,
    "sip_code": 486,
    "cause": "user-busy",
    "hangup_source": "callee",
    "detail": None,
    "request": {"to": "19499300360", "url": "http://a/", "trunk": ""},
}

DELIVERY: dict[str, Any] = {
    "event": "completed",
    "url": "http://app/events",
    "method": "POST",
    "state": "done",
    "attempts": 1,
    "created_at": "2027-01-15T08:00:03.000Z",
    "done_at": "2027-01-15T08:00:03.100Z",
    "last_status": 200,
    "last_error": "",
}


def message(direction: str, start_line: str, peer: str = "127.0.0.1:5090") -> dict[str, str]:
    return {
        "at": "2027-01-15T08:00:00.250Z",
        "direction": direction,
        "peer": peer,
        "start_line": start_line,
    }


def test_a_ladder_has_straight_sides_and_arrows() -> None:
    messages = [
        message("out", "INVITE sip:19499300360@127.0.0.1:5090 SIP/2.0"),
        message("in", "SIP/2.0 486 Busy Here"),
        message("out", "ACK sip:" + "9" * 200 + "@127.0.0.1 SIP/2.0"),
    ]
    head, *drawn = list(ladder_lines(messages))
    assert "Outdial" in head
    assert head.endswith("127.0.0.1:5090")
    assert len({len(line) for line in drawn}) == 1
    assert {(line[14], line[-1]) for line in drawn} == {("|", "|")}
    assert drawn[0].startswith("08:00:00.250  |INVITE sip:19499300360@127.0.0.1:5090 -")
    assert drawn[0].endswith("->|")
    assert "|<--" in drawn[1]
    assert drawn[1].rstrip("| ").endswith("486 Busy Here")
    assert "…" in drawn[2]


def test_a_ladder_names_another_peer() -> None:
    drawn = list(ladder_lines([message("out", "A"), message("in", "B", "10.0.0.9:5060")]))
    assert drawn[2].endswith("|  10.0.0.9:5060")
    assert list(ladder_lines([])) == []


def test_a_call_in_full() -> None:
    event = {"at": "2027-01-15T08:00:01.000Z", "kind": "state.ringing", "data": {"sip_code": 180}}
    text = "\n".join(
        lines.call_lines(CALL, [event], [DELIVERY], [message("out", "INVITE x SIP/2.0")])
    )
    assert "18005797676 -> 19499300360" in text
    assert "busy, SIP 486, user-busy, by callee" in text
    assert "url: http://a/" in text
    assert "trunk" not in text
    assert "08:00:01.000  state.ringing        sip_code 180" in text
    assert "08:00:03.100  callback completed  done, 200  POST http://app/events" in text
    assert "|INVITE x -" in text


def test_a_call_with_its_sip_in_full() -> None:
    one = message("in", "SIP/2.0 200 OK") | {
        "transport": "udp",
        "text": "SIP/2.0 200 OK\r\nX: \x1b",
    }
    text = "\n".join(lines.call_lines(CALL, [], [], [one], whole=True))
    assert "- 200 OK|" in text
    assert text.endswith("from 127.0.0.1:5090 over udp\n  SIP/2.0 200 OK\n  X: \\u001b")


def test_a_callback_in_trouble_says_what_is_wrong() -> None:
    waiting = {"state": "pending", "attempts": 3, "done_at": None, "last_status": None}
    line = lines.delivery_line({**DELIVERY, **waiting, "last_error": "connection refused"})
    assert line.startswith("08:00:03.000  callback completed  pending, connection refused")
    assert "after 3 tries" in line


def test_nothing_from_the_network_reaches_the_terminal_raw() -> None:
    nasty = "\x1b]0;owned\x07\u202e"
    call = {name: nasty if isinstance(v, str) else v for name, v in CALL.items()}
    call["request"] = {nasty: nasty}
    event = {"at": nasty, "kind": nasty, "data": {nasty: nasty}}
    delivery = {n: nasty if isinstance(v, str) else v for n, v in DELIVERY.items()}
    delivery["last_status"] = None
    text = "\n".join(
        [
            *lines.call_lines(call, [event], [delivery], [message("in", nasty, nasty)]),
            *lines.table([[nasty, "x"]]),
        ]
    )
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text


def test_a_table_is_aligned() -> None:
    assert list(lines.table([("A", "B"), ("long", "x")])) == ["A     B", "long  x"]
    assert list(lines.table([])) == []


def test_a_call_that_is_not_over_says_where_it_stands() -> None:
    call = CALL | {"outcome": None, "state": "queued", "queue_position": 3}
    assert "queued, place 3" in list(lines.call_lines(call, [], [], []))
    assert lines.standing({"state": "ringing", "queue_position": None}) == "ringing"
    assert lines.standing({"state": "queued"}) == "queued"


def test_usage_as_tables() -> None:
    row = {
        "key": "dev\x1b",
        "trunk": "",
        "outcome": None,
        "calls": 2,
        "answered": 1,
        "seconds": 7.6,
    }
    now = {"name": "", "live": 1, "queued": 2, "calls_per_second": 2.5, "concurrent_calls": None}
    usage = {
        "since": "2027-01-15T08:00:00.000Z",
        "until": "2027-01-16T08:00:00.000Z",
        "calls": [row],
        "total": now,
        "keys": [now | {"name": "dev"}],
        "trunks": [now | {"name": "carrier", "concurrent_calls": 30}],
    }
    text = "\n".join(lines.usage_lines(usage))
    assert "\x1b" not in text
    assert "(not over)  2      1         8" in text
    assert "trunk carrier  1     30  2       2.5" in text
