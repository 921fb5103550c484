"""Redirect, Hangup, Reject and Postcall: where a document leads, and how it ends."""

from __future__ import annotations

from conformance.cases import Element, Row, Try
from conformance.requests import told_of
from conformance.sounds import OTHER_HZ, TONE_HZ, spans
from conformance.talk import Check, Talk

REST = "<Play>/tone.wav</Play>"
"""What must not run, or must, after the verb."""
NEXT = {"next": "<Play>/other.wav</Play>"}


def _went_on(method: str = "POST", status: str = "answered") -> Check:
    """The other document ran instead of the rest."""

    def check(talk: Talk) -> None:
        told_of("next", method, CallStatus=status)(talk)
        assert len(spans(talk.heard, OTHER_HZ)) == 1
        assert len(spans(talk.heard, TONE_HZ)) == 0

    return check


def _rest_ran(talk: Talk) -> None:
    assert len(spans(talk.heard, TONE_HZ)) == 1
    assert talk.asked("next") == []


def _hung_up(talk: Talk) -> None:
    """By a BYE, and the rest did not run."""
    assert len(spans(talk.heard, TONE_HZ)) == 0
    end = talk.wait_until_over()
    assert (end["CallOutcome"], end["HangupSource"]) == ("completed", "application")
    assert talk.received("BYE ")


def _refused(status: int) -> Try:
    """SIPp checks the status; the call's record has it too."""

    def check(talk: Talk) -> None:
        call = talk.board.outdial.get(f"/v1/calls/{talk.sid}")
        assert (call["sip_code"], call["answered_at"]) == (status, None)

    return Try(sees=check, status=str(status))


def _told_afterwards(method: str = "POST") -> Check:
    """The whole record, after the end."""

    def check(talk: Talk) -> None:
        end = talk.wait_until_over()
        told_of(
            "all",
            method,
            CallStatus="completed",
            CallDuration=end["CallDuration"],
            CallOutcome="completed",
            SipResponseCode="200",
            HangupCause="normal-clearing",
            HangupSource="application",
            Trunk=talk.line.trunk,
        )(talk)
        (request,) = talk.asked("all")
        params = request.params
        assert params["StartTime"] <= params["AnswerTime"] <= params["EndTime"]
        assert (params["To"], params["From"]) == (talk.line.to, talk.line.from_)
        assert len(spans(talk.heard, TONE_HZ)) == 1, "the next verb ran"

    return check


def _told_nobody(talk: Talk) -> None:
    assert talk.asked("all") == []
    _rest_ran(talk)


ROWS = [
    Row(
        verb="Redirect",
        attribute="method",
        document=f"<Redirect $attributes>next</Redirect>{REST}",
        default=_went_on("POST"),
        right={"GET": _went_on("GET"), "POST": _went_on("POST"), "get": _went_on("GET")},
        bad=("HEAD",),
        pages=NEXT,
    ),
    Row(
        verb="Reject",
        attribute="reason",
        document=f"<Reject $attributes/>{REST}",
        default=_refused(603),
        right={
            "busy": _refused(486),
            "rejected": _refused(603),
            "notfound": _refused(404),
            "notavailable": _refused(480),
            "Busy": _refused(486),
        },
        bad=("tired",),
    ),
    Row(
        verb="Postcall",
        attribute="method",
        document=f"<Postcall $attributes>all</Postcall>{REST}",
        default=_told_afterwards("POST"),
        right={"GET": _told_afterwards("GET"), "POST": _told_afterwards("POST")},
        bad=("SEND",),
        pages={"all": ""},
    ),
]

ELEMENTS = [
    Element(
        verb="Redirect",
        document=f"<Redirect $attributes>next</Redirect>{REST}",
        sees=_went_on(),
        inbound=_went_on(status="ringing"),
        bodies={
            f"<Redirect> $at/next </Redirect>{REST}": _went_on(),
            f"<Redirect>next</Redirect><Redirect>other</Redirect>{REST}": _went_on(),
        },
        wrong={
            f"<Redirect/>{REST}": ("Redirect is empty; skipped", _rest_ran),
            f"<Redirect>mailto:me</Redirect>{REST}": (
                "'mailto:me' is not an http or https URL",
                Try(sees=_rest_ran, warns=("Redirect is unusable; skipped",)),
            ),
        },
        pages=NEXT,
    ),
    Element(
        verb="Hangup",
        document=f"<Hangup $attributes/>{REST}",
        sees=_hung_up,
        inbound=_refused(603),
        bodies={f"<Hangup></Hangup>{REST}": _hung_up},
        wrong={f"<Hangup>now</Hangup>{REST}": ("the text in Hangup is ignored", _hung_up)},
    ),
    Element(
        verb="Reject",
        document=f"<Reject $attributes/>{REST}",
        sees=_hung_up,
        inbound=_refused(603),
        wrong={f"<Reject>no</Reject>{REST}": ("the text in Reject is ignored", _hung_up)},
    ),
    Element(
        verb="Postcall",
        document=f"<Postcall $attributes>all</Postcall>{REST}",
        sees=_told_afterwards(),
        bodies={
            f"<Postcall>nobody</Postcall><Postcall>$at/all</Postcall>{REST}": _told_afterwards()
        },
        wrong={
            f"<Postcall/>{REST}": ("Postcall is empty; skipped", _told_nobody),
            f"<Postcall>mailto:me</Postcall>{REST}": (
                "'mailto:me' is not an http or https URL",
                Try(sees=_told_nobody, warns=("Postcall is unusable; skipped",)),
            ),
        },
        pages={"all": ""},
    ),
]
