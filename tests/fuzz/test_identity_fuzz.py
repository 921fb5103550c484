"""Headers that say who calls, who is to be called and what is to be replaced, against generated
text: nothing but their own errors, whoever writes them."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from outdial.errors import RemoteProtocolError
from outdial.legs import Caller, Referred
from outdial.sip.core.headers import Headers
from outdial.sip.core.identity import PLAIN, Presentation, caller_of, extra_headers
from outdial.sip.core.message import Request
from outdial.sip.core.peer import Peer
from outdial.sip.core.referral import referred
from outdial.sip.core.replacing import to_replace
from outdial.sip.core.requirements import Refusal
from outdial.sip.core.uri import Uri

URI = Uri.parse("sip:1@example.org")
FROM = "<sip:1222@example.org>;tag=1"
PRINTABLE = st.characters(exclude_categories=("Cc", "Cs"))
WORDS = st.sampled_from(
    (
        *(
            "<sip:",
            "<tel:+1",
            "<sips:",
            "<http:",
            ">",
            '"',
            "\\",
            ",",
            ";",
            "?",
            "&",
            "=",
            "%",
            "%00",
        ),
        *("@example.org", "anonymous", "1222", "privacy=full", "party=calling", "screen=yes", "id"),
        *(
            "method=BYE",
            "Replaces=a%3Bto-tag%3D1",
            "to-tag=1",
            "from-tag=2",
            "early-only",
            " ",
            "é",
        ),
    )
)
VALUE = st.one_of(st.text(PRINTABLE, max_size=120), st.lists(WORDS, max_size=24).map("".join))
VALUES = st.lists(VALUE, min_size=1, max_size=4)


def request(method: str, **headers: list[str]) -> Request:
    """With these lines, as the parser hands them over."""
    lines = {name.replace("_", "-"): values for name, values in headers.items()}
    return Request(method, URI, Headers.received({"From": [FROM], **lines}))


@settings(max_examples=300)
@given(VALUES, VALUES, VALUES)
@example(["<tel:>"], ["<sip:@>"], [";;"])
def test_who_calls(asserted: list[str], draft: list[str], privacy: list[str]) -> None:
    invite = request("INVITE", P_Asserted_Identity=asserted, Remote_Party_ID=draft, Privacy=privacy)
    for trusted in (False, True):
        assert isinstance(caller_of(invite, trusted=trusted), Caller)


@settings(max_examples=300)
@given(VALUES)
def test_who_is_to_be_called(values: list[str]) -> None:
    try:
        wish = referred(request("REFER", Refer_To=values))
    except RemoteProtocolError:
        return
    assert isinstance(wish, Referred)
    assert Uri.parse(wish.uri).scheme in ("sip", "sips", "tel")


@settings(max_examples=300)
@given(VALUES)
def test_what_is_to_be_replaced(values: list[str]) -> None:
    asked = request("INVITE", Replaces=values)
    found = to_replace(asked, Peer("t", may_replace=True), lambda tag: None)
    assert isinstance(found, Refusal)
    assert found.status in (400, 481)
    assert to_replace(asked, Peer("t"), lambda tag: None) == Refusal(603)


@settings(max_examples=200)
@given(st.dictionaries(st.from_regex(r"\AX-[A-Za-z0-9]{1,20}\Z"), VALUES, max_size=30))
def test_what_goes_with_a_call(headers: dict[str, list[str]]) -> None:
    told = extra_headers(Request("INVITE", URI, Headers.received({"From": [FROM], **headers})))
    assert len(told) <= 16
    assert all(len(value) <= 256 and value.isprintable() for _, value in told)


@settings(max_examples=300)
@given(st.text(max_size=60), st.text(max_size=60))
def test_what_is_shown_is_one_line(number: str, name: str) -> None:
    everything = Presentation(headers=("P-Asserted-Identity", "Remote-Party-ID"), diversion=True)
    for policy in (PLAIN, everything):
        shown = policy.show(number, name, "example.org", number)
        for value in (shown.from_, *(value for _, value in shown.fields)):
            assert "\r" not in value
            assert "\n" not in value
