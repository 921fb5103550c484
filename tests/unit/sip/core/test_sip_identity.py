"""Who is calling: what requests to a trunk say of it, and what is taken from those towards us."""

from __future__ import annotations

from typing import Any

import pytest

from outdial.legs import Caller
from outdial.sip.core.address import Address
from outdial.sip.core.headers import Headers
from outdial.sip.core.identity import NOBODY, PLAIN, Presentation, caller_of, extra_headers
from outdial.sip.core.message import Request
from outdial.sip.core.uri import Uri

HOST = "192.0.2.1"
PAI, PPI, RPID = "P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID"


# ---------------------------------------------------------------------- what we say


def test_plainly_the_number_is_in_from_and_nowhere_else() -> None:
    shown = PLAIN.show("12025550100", "Ann", HOST)
    assert (shown.from_, shown.fields) == ('"Ann" <sip:12025550100@192.0.2.1>', ())


@pytest.mark.parametrize("number", ["", "anonymous", "Anonymous"])
def test_who_withholds_the_number_is_nobody(number: str) -> None:
    shown = PLAIN.show(number, "Ann", HOST)
    assert (shown.from_, shown.fields) == (NOBODY, ())


def test_nobody_is_an_address() -> None:
    address = Address.parse(NOBODY)
    assert (address.uri.user, address.uri.host) == ("anonymous", "anonymous.invalid")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (PAI, '"Ann" <sip:12025550100@carrier.test>'),
        (PPI, '"Ann" <sip:12025550100@carrier.test>'),
        (
            RPID,
            '"Ann" <sip:12025550100@carrier.test>;party=calling;screen=yes;privacy=off',
        ),
    ],
)
def test_an_account_in_from_and_the_caller_beside_it(header: str, value: str) -> None:
    policy = Presentation(user="acct1", domain="carrier.test", headers=(header,))
    shown = policy.show("12025550100", "Ann", HOST)
    assert shown.from_ == '"Ann" <sip:acct1@carrier.test>'
    assert shown.fields == ((header, value),)


def test_without_a_domain_of_its_own_the_headers_are_at_our_host() -> None:
    shown = Presentation(headers=(PAI,)).show("+12025550100", "", HOST)
    assert shown.from_ == "<sip:+12025550100@192.0.2.1>"
    assert shown.fields == ((PAI, "<sip:+12025550100@192.0.2.1>"),)


def test_a_name_may_stay_at_home() -> None:
    shown = Presentation(names=False, headers=(PAI,)).show("12025550100", "Ann", HOST)
    assert shown.from_ == "<sip:12025550100@192.0.2.1>"
    assert "Ann" not in str(shown.fields)


@pytest.mark.parametrize(
    ("policy", "fields"),
    [
        ({}, ()),
        ({"headers": (PAI,)}, ()),
        ({"user": "acct1", "headers": (PAI,)}, ()),
        ({"trusted": True}, (("Privacy", "id"),)),
        ({"trusted": True, "headers": (PAI,)}, (("Privacy", "id"),)),
        (
            {"trusted": True, "headers": (PAI,), "user": "acct1"},
            (("Privacy", "id"), (PAI, "<sip:acct1@192.0.2.1>")),
        ),
        (
            {"trusted": True, "headers": (RPID,), "user": "acct1"},
            (
                ("Privacy", "id"),
                (RPID, "<sip:acct1@192.0.2.1>;party=calling;screen=yes;privacy=full"),
            ),
        ),
    ],
)
def test_only_a_trusted_trunk_is_told_whose_account_a_withheld_number_is(
    policy: dict[str, Any], fields: tuple[tuple[str, str], ...]
) -> None:
    shown = Presentation(**policy).show("anonymous", "Ann", HOST, diverted_by="18005550100")
    assert (shown.from_, shown.fields) == (NOBODY, fields)


def test_a_call_that_is_passed_on_names_the_number_that_was_called() -> None:
    policy = Presentation(domain="carrier.test", diversion=True)
    passed_on = policy.show("12025550100", "", HOST, diverted_by="18005550100")
    assert passed_on.fields == (
        ("Diversion", "<sip:18005550100@carrier.test>;reason=unconditional"),
    )
    assert policy.show("12025550100", "", HOST).fields == ()
    assert PLAIN.show("12025550100", "", HOST, diverted_by="18005550100").fields == ()


@pytest.mark.parametrize("text", ['a"b', "a@evil.test", "a>;x", "a\r\nX: y", "a b", "é"])
def test_nothing_that_is_shown_can_be_read_as_something_else(text: str) -> None:
    policy = Presentation(headers=(PAI, RPID), diversion=True)
    shown = policy.show(text, text, HOST, diverted_by=text)
    values = [shown.from_, *(value for _, value in shown.fields)]
    assert len(values) == 4
    for value in values:
        assert "\r" not in value and "\n" not in value
        address = Address.parse(value)
        assert (
            address.uri.user_text.replace("\N{REPLACEMENT CHARACTER}", ""),
            address.uri.host,
        ) == (
            text.replace("\r\n", ""),
            HOST,
        )


# ---------------------------------------------------------------------- what we are told


def invite(
    from_: str = '"Ann" <sip:12025550100@pbx.test>;tag=1', *headers: tuple[str, str]
) -> Request:
    return Request(
        "INVITE", Uri.parse("sip:18005550100@192.0.2.1"), Headers((("From", from_), *headers))
    )


ASSERTED = (PAI, '"Asserted" <sip:+13035550111@carrier.test>')
DRAFT = (RPID, '"Draft" <sip:+14045550111@carrier.test>;party=calling;privacy=off')


@pytest.mark.parametrize("headers", [(), (ASSERTED,), (DRAFT,), (ASSERTED, DRAFT)])
def test_of_a_peer_that_is_not_trusted_from_counts(headers: tuple[tuple[str, str], ...]) -> None:
    from_ = '"Ann" <sip:12025550100@pbx.test>;tag=1'
    assert caller_of(invite(from_, *headers), trusted=False) == Caller("12025550100", "Ann")


@pytest.mark.parametrize(
    ("headers", "caller"),
    [
        ((), Caller("12025550100", "Ann")),
        ((ASSERTED,), Caller("+13035550111", "Asserted")),
        ((DRAFT,), Caller("+14045550111", "Draft")),
        ((DRAFT, ASSERTED), Caller("+13035550111", "Asserted")),
        (
            ((PAI, "<sip:ann@carrier.test>"), (PAI, "<tel:+13035550111>")),
            Caller("+13035550111", "Ann"),
        ),
        (((PAI, "<sip:ann@carrier.test>, <tel:+13035550111>"),), Caller("+13035550111", "Ann")),
        (((PAI, "<sip:desk@carrier.test>"),), Caller("desk", "Ann")),
        (((PAI, "<sip:unfinished"),), Caller("12025550100", "Ann")),
        (((PAI, "<sip:a@b>,,"),), Caller("12025550100", "Ann")),
        (((RPID, "<sip:+1404@carrier.test>;party=called"),), Caller("12025550100", "Ann")),
    ],
)
def test_a_trusted_peer_says_who_calls(
    headers: tuple[tuple[str, str], ...], caller: Caller
) -> None:
    from_ = '"Ann" <sip:12025550100@pbx.test>;tag=1'
    assert caller_of(invite(from_, *headers), trusted=True) == caller


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize(
    "headers",
    [
        (("Privacy", "id"),),
        (("Privacy", "header;id"), ASSERTED),
        (("Privacy", "USER"),),
        (("Privacy", "none"), ("Privacy", "critical; id")),
        ((RPID, "<sip:+14045550111@carrier.test>;privacy=full"),),
        ((RPID, "<sip:+14045550111@carrier.test>;party=calling;privacy=URI"),),
    ],
)
def test_who_asks_for_privacy_has_it(trusted: bool, headers: tuple[tuple[str, str], ...]) -> None:
    from_ = '"Ann" <sip:12025550100@pbx.test>;tag=1'
    assert caller_of(invite(from_, *headers), trusted=trusted) == Caller("anonymous")


@pytest.mark.parametrize(
    "headers",
    [
        (("Privacy", "none"), ASSERTED),
        (("Privacy", "history"), ASSERTED),
        (("Privacy", ""), ASSERTED),
    ],
)
def test_other_kinds_of_privacy_do_not_concern_the_caller(
    headers: tuple[tuple[str, str], ...],
) -> None:
    from_ = '"Ann" <sip:12025550100@pbx.test>;tag=1'
    assert caller_of(invite(from_, *headers), trusted=True).number == "+13035550111"


@pytest.mark.parametrize(
    "from_",
    [
        '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1',
        "<sip:Restricted@carrier.test>;tag=1",
        "<sip:carrier.test>;tag=1",
    ],
)
def test_from_that_names_nobody(from_: str) -> None:
    assert caller_of(invite(from_), trusted=False).number == "anonymous"
    # the network may know all the same, and a peer that we trust may tell us
    assert caller_of(invite(from_, ASSERTED), trusted=True).number == "+13035550111"


def test_of_many_identities_few_are_looked_at() -> None:
    many = [(PAI, f"<sip:a{n}@carrier.test>") for n in range(100)]
    assert (
        caller_of(invite("<sip:x@y>;tag=1", *many, (PAI, "<tel:+1>")), trusted=True).number == "a0"
    )


# ---------------------------------------------------------------------- what goes with it


def test_headers_for_the_application() -> None:
    request = invite(
        "<sip:x@y>;tag=1",
        ("X-Account", "42"),
        ("x-tags", "a"),
        ("X-Tags", "b"),
        ("P-Access-Network-Info", "x"),
        ("X-Long", "a" * 257),
        ("X-Two", "é"),
    )
    assert extra_headers(request) == (("X-Account", "42"), ("X-Tags", "a, b"), ("X-Two", "é"))


def test_of_many_headers_few_are_told() -> None:
    many = [(f"X-{n}", "1") for n in range(100)]
    assert len(extra_headers(invite("<sip:x@y>;tag=1", *many))) == 16
