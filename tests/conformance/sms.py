"""Sms: who gets it, whom it comes from, and who is told."""

from __future__ import annotations

from conformance.board import CALLER, Telephone
from conformance.cases import Element, Row, Try
from conformance.flow import NEXT, REST
from conformance.requests import told_of
from conformance.sounds import OTHER_HZ, TONE_HZ, spans
from conformance.talk import Check, Talk

TEXT = "Your table is ready."


def _took(talk: Talk, phone: Telephone, text: str = TEXT, sender: str = CALLER) -> None:
    """The telephone got it, once, and the callback says so."""
    (message,) = talk.received("MESSAGE ", phone)
    assert (message.body, message.get("Content-Type")) == (text, "text/plain;charset=UTF-8")
    assert message.get("From").startswith(f"<sip:{sender}@")
    (told,) = talk.wait_for("told")
    params = dict(told.params)
    assert params.pop("Timestamp") and params.pop("SmsSid")[:2] == "SM"
    assert params == {
        "SmsStatus": "sent", "From": sender, "To": phone.number, "callSid": talk.sid
    }  # fmt: skip


def sent(text: str = TEXT, sender: str = CALLER) -> Check:
    """To who is on the line; the next verb ran."""

    def check(talk: Talk) -> None:
        talk.wait_for("told")
        _took(talk, talk.phone, text, sender)
        assert len(spans(talk.heard, TONE_HZ)) == 1

    return check


def _to_the_other(talk: Talk) -> None:
    talk.wait_for("told")
    _took(talk, talk.other)
    assert talk.received("MESSAGE ") == []


def _to_nobody(talk: Talk) -> None:
    """What is no number is not sent to somebody else."""
    (told,) = talk.wait_for("told")
    assert told.params["SmsStatus"] == "failed"
    assert "telephone number" in told.params["SmsError"]
    assert talk.received("MESSAGE ") == []


def _told_by(method: str) -> Check:
    def check(talk: Talk) -> None:
        (told,) = talk.wait_for("told")
        assert told.method == method
        where, other = (told.query, told.form) if method == "GET" else (told.form, told.query)
        assert other == () and dict(where)["SmsStatus"] == "sent"

    return check


def _went_on(method: str = "POST") -> Check:
    """`action` was asked with what is known, and its answer ran instead of the rest."""

    def check(talk: Talk) -> None:
        told_of("next", method, SmsStatus="sent")(talk)
        (told,) = talk.wait_for("told")
        (asked,) = talk.asked("next")
        assert asked.params["SmsSid"] == told.params["SmsSid"]
        assert len(spans(talk.heard, OTHER_HZ)) == 1
        assert len(spans(talk.heard, TONE_HZ)) == 0

    return check


def _told_nobody(talk: Talk) -> None:
    """It is sent all the same."""
    assert talk.timeline("message.queued")
    talk.wait_until("message.sent")
    (message,) = talk.received("MESSAGE ")
    assert message.body == TEXT
    assert talk.asked("told") == []


def _not_sent(talk: Talk) -> None:
    assert talk.received("MESSAGE ") == [] and talk.timeline("message.queued") == []
    assert len(spans(talk.heard, TONE_HZ)) == 1


TOLD = 'statusCallback="told"'
PAGES = {"told": "", **NEXT}
ONE = f"<Sms $attributes {TOLD}>{TEXT}</Sms>{REST}"

ROWS = [
    Row(
        verb="Sms",
        attribute="to",
        document=ONE,
        default=sent(),
        right={
            "$other": Try(sees=_to_the_other, other="texts"),
            "+$other": Try(sees=_to_the_other, other="texts"),
            "Ann": _to_nobody,
        },
        phone="texts",
        pages=PAGES,
    ),
    Row(
        verb="Sms",
        attribute="from",
        document=ONE,
        default=sent(),
        right={
            "12025550177": sent(sender="12025550177"),
            "+1 (202) 555-0177": sent(sender="12025550177"),
        },
        bad=("ACME",),
        phone="texts",
        pages=PAGES,
    ),
    Row(
        verb="Sms",
        attribute="action",
        document=ONE,
        default=sent(),
        right={"next": _went_on(), "$at/next": _went_on()},
        bad=("mailto:me",),
        phone="texts",
        pages=PAGES,
    ),
    Row(
        verb="Sms",
        attribute="method",
        document=f'<Sms action="next" $attributes {TOLD}>{TEXT}</Sms>{REST}',
        default=_went_on(),
        right={"GET": _went_on("GET"), "POST": _went_on(), "get": _went_on("GET")},
        bad=("HEAD",),
        phone="texts",
        pages=PAGES,
    ),
    Row(
        verb="Sms",
        attribute="statusCallback",
        document=f"<Sms $attributes>{TEXT}</Sms>{REST}",
        default=_told_nobody,
        right={"told": sent(), "$at/told": sent()},
        bad=("mailto:me",),
        phone="texts",
        pages=PAGES,
    ),
    Row(
        verb="Sms",
        attribute="statusCallbackMethod",
        document=f"<Sms {TOLD} $attributes>{TEXT}</Sms>{REST}",
        default=_told_by("POST"),
        right={"GET": _told_by("GET"), "POST": _told_by("POST"), "Get": _told_by("GET")},
        bad=("SEND",),
        phone="texts",
        pages=PAGES,
    ),
]

ELEMENTS = [
    Element(
        verb="Sms",
        document=ONE,
        sees=sent(),
        bodies={f"<Sms {TOLD}> Grüße,  &amp; &#x1F44B; </Sms>{REST}": sent("Grüße, & 👋")},
        wrong={f"<Sms {TOLD}/>{REST}": ("Sms is empty; skipped", _not_sent)},
        phone="texts",
        only_outbound=True,  # who calls us here takes no messages
        pages=PAGES,
    )
]
