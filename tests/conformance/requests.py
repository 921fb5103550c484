"""What cases look for in the requests that the application's web server got."""

from __future__ import annotations

from collections.abc import Mapping

from conformance.talk import Check, Talk
from outdial.testing.web import Received


def told_of(path: str, method: str, *also: Check, **params: str) -> Check:
    """The path was asked for once, by the method, with the standard six parameters and these."""

    def check(talk: Talk) -> None:
        (request,) = talk.wait_for(path)
        check_request(talk, request, method, params)
        assert len(talk.asked(path)) == 1
        for other in also:
            other(talk)

    return check


def check_request(
    talk: Talk, request: Received, method: str, params: Mapping[str, str] | None = None
) -> None:
    """The method, where the parameters stand, and that they are the standard six and these."""
    assert request.method == method
    where, other = request.form, request.query
    if method == "GET":
        where, other = other, where
    assert other == ()
    expected = {
        "To": talk.line.to,
        "From": talk.line.from_,
        "CallerName": talk.line.caller_name,
        "callSid": talk.sid,
        "Direction": talk.line.direction,
        **(params or {}),
    }
    got = dict(where)
    assert got["CallStatus"] in ("ringing", "answered", "completed")
    assert {name: got.get(name) for name in expected} == expected


def not_asked(path: str, *also: Check) -> Check:
    """Nobody asked for the path."""

    def check(talk: Talk) -> None:
        assert talk.asked(path) == []
        for other in also:
            other(talk)

    return check
