"""Calls by SIPS URIs: every Contact of ours in their dialogs is one (RFC 3261 8.1.1.8, 12.1.1)."""

from __future__ import annotations

from typing import Any

import pytest

from ladders.link import ANSWER, Link, answering, header, title
from outdial.legs import Answered, Reoffer
from outdial.sip.core.agent import Invited
from outdial.sip.core.invite_client import Invitation
from outdial.sip.core.peer import Peer

REOFFER = b"v=0\r\ns=reoffer\r\n"
TRUSTED = Peer("x", may_refer=True)


def contacts(link: Link, way: str) -> dict[str, str]:
    """The last Contact of each kind of message that went that way and had one."""
    sent = [raw for (_, one, _), raw in zip(link.ladder, link.raw, strict=True) if one == way]
    return {title(raw): value for raw in sent if (value := header(raw, "Contact"))}


def dial(link: Link, uri: str, routes: tuple[str, ...] = ()) -> Any:
    for side in link.sides.values():
        side.agent.peer_of = lambda host, account: TRUSTED
    invitation = Invitation(
        call_id="call-1",
        uri=uri,
        from_="<sip:1222@10.0.0.1>",
        hop=link.hop("A", "10.0.0.2"),
        offer=b"v=0\r\ns=offer\r\n",
        routes=routes,
        policy=TRUSTED,
    )
    call = link["A"].agent.invite(invitation, link.now)
    link.settle()
    return call


def everything(link: Link, call: Any) -> None:
    """What has a Contact in a dialog: re-INVITE, refreshing UPDATE, REFER and its NOTIFY."""

    def react(owner: Any, event: Any) -> None:
        if isinstance(event, Reoffer):
            owner.session.renegotiation.answer_offer(ANSWER)

    link["A"].on_event = link["B"].on_event = react
    call.session.reoffer(REOFFER)
    link.run(0.2)
    peer: Any = link["B"].call
    peer.session.reoffer(REOFFER)
    link.run(901)
    outline = peer.session.dialog.outline(peer._agent.branch())
    refer = outline.encode("REFER", "Refer-To: <sip:12025550123@10.0.0.2>\r\n")
    peer._agent.send(refer, outline.hop, None)
    link.run(0.1)
    call.session.referral.accept()
    link.run(0.1)


@pytest.mark.parametrize(
    ("uri", "routes"),
    [("sips:15005550001@10.0.0.2", ()), ("sip:15005550001@10.0.0.2", ("<sips:10.0.0.2;lr>",))],
)
def test_all_of_a_dialog_that_was_asked_for_by_sips(uri: str, routes: tuple[str, ...]) -> None:
    link = Link(transport="tls", session_expires_s=1800)
    answering(link)
    call = dial(link, uri, routes)
    link.run(0.1)
    assert link["A"].last == Answered(ANSWER)
    everything(link, call)
    ours = contacts(link, "A>B")
    assert set(ours) == {"INVITE", "200 INVITE", "200 UPDATE", "202 REFER", "NOTIFY"}
    assert set(ours.values()) == {"<sips:10.0.0.1:5060>"}
    theirs = contacts(link, "B>A")
    assert {"180 INVITE", "200 INVITE", "INVITE", "UPDATE"} <= set(theirs)
    assert set(theirs.values()) == {"<sips:10.0.0.2:5060>"}
    call.hang_up()
    link.assert_clean()


def test_a_dialog_over_tls_by_sip_stays_as_it_was() -> None:
    link = Link(transport="tls", session_expires_s=1800)
    answering(link)
    call = dial(link, "sip:15005550001@10.0.0.2;transport=tls")
    link.run(0.1)
    everything(link, call)
    assert set(contacts(link, "A>B").values()) == {"<sip:10.0.0.1:5060;transport=tls>"}
    assert set(contacts(link, "B>A").values()) == {"<sip:10.0.0.2:5060;transport=tls>"}
    call.hang_up()
    link.assert_clean()


def test_a_reliable_response_has_one_too() -> None:
    link = Link(transport="tls")

    def react(call: Any, event: Any) -> None:
        if isinstance(event, Invited):
            call.ring(183, ANSWER)

    link["B"].on_event = react
    call = dial(link, "sips:15005550001@10.0.0.2")
    link.run(0.1)
    assert contacts(link, "B>A") == {"183 INVITE": "<sips:10.0.0.2:5060>"}
    call.hang_up()
    link.assert_clean()
