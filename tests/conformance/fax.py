"""Fax: who is told. A whole fax takes longer than a case may: tests/system/sipp has one."""

from __future__ import annotations

from conformance.board import CALLER
from conformance.cases import Element, Row
from conformance.requests import not_asked, told_of
from conformance.talk import Check, Talk

PAGES = {"next": ""}


def _told(method: str = "POST") -> Check:
    """Somebody called who is no fax machine, and hung up: `action` is told all the same."""

    def check(talk: Talk) -> None:
        told_of(
            "next",
            method,
            callid=talk.sid,
            dialednumber=talk.phone.number,
            callerid=CALLER,
            faxurl="",
            faxstatus="failed",
            numofpages="0",
            received="0",
        )(talk)

    return check


def _ran(talk: Talk) -> None:
    talk.wait_until("fax.done")
    (end,) = talk.timeline("fax.done")
    assert end["status"] == "failed"
    assert ("Fax", "") in talk.verbs()


ROWS = [
    Row(
        verb="Fax",
        attribute="action",
        document="<Fax $attributes/>",
        default=not_asked("next", _ran),
        right={"next": _told(), "$at/next": _told()},
        bad=("mailto:me",),
        phone="leaves",
        pages=PAGES,
    ),
    Row(
        verb="Fax",
        attribute="method",
        document='<Fax action="next" $attributes/>',
        default=_told(),
        right={"GET": _told("GET"), "POST": _told(), "get": _told("GET")},
        bad=("HEAD",),
        phone="leaves",
        pages=PAGES,
    ),
]

ELEMENTS = [
    Element(
        verb="Fax",
        document="<Fax $attributes/>",
        sees=_ran,
        bodies={"<Fax></Fax>": _ran},
        wrong={"<Fax>now</Fax>": ("the text in Fax is ignored", _ran)},
        phone="leaves",
    )
]
