"""What lint says of documents: errors, guesses, verbs never run, addresses, secrets."""

from __future__ import annotations

import pytest

from outdial.didml.lint import Finding, lint
from outdial.didml.rows import Attribute, VerbRow
from outdial.didml.table import VERBS
from outdial.didml.values import URL

BASE = "https://app.example.test/ivr/start.php"


def judge(url: str) -> str:
    """A server that may not reach one host."""
    return "10.0.0.7 is a private address" if "//10.0.0.7" in url else ""


def found(inside: str, base: str = BASE) -> list[str]:
    findings, _ = lint(f"<Response>{inside}</Response>".encode(), "text/xml", base, judge)
    assert {finding.severity for finding in findings} <= {"warning"}
    return [finding.message for finding in findings]


def test_a_good_document() -> None:
    text = b"""<Response>
  <Gather action="choice.php" numDigits="1"><Say>Press one.</Say></Gather>
  <Record action="saved.php"/>
  <Dial><Number url="whisper.php">12025550177</Number></Dial>
  <Redirect>menu.php</Redirect>
</Response>"""
    assert lint(text, "text/xml", BASE, judge) == ([], 4)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (b"", Finding(0, 0, "error", "the document is empty; <Response/> would do")),
        (
            b"<?xml version='1.0'?>\n  <html/>",
            Finding(2, 3, "error", "the root element is <html>, not <Response>"),
        ),
    ],
)
def test_what_cannot_be_run_is_an_error_with_its_place(text: bytes, finding: Finding) -> None:
    assert lint(text, "", BASE, judge) == ([finding], 0)


def test_guesses_and_what_is_skipped_have_their_place() -> None:
    text = b"<Response>\n <Say loop='often'>a</Say>\n <Sey>b</Sey>\n</Response>"
    findings, verbs = lint(text, "", BASE, judge)
    assert verbs == 1
    assert [(f.line, f.column, f.severity) for f in findings] == [
        (2, 2, "warning"),
        (3, 2, "warning"),
    ]
    assert findings[1].message == "<Sey> is not a verb; skipped; did you mean Say?"


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ('<Gather numdigit="1" action="a"/>', "Gather has no attribute numdigit; did you mean "),
        ('<Say voices="man">a</Say>', "Say has no attribute voices; did you mean voice?"),
        ("<Gater/>", "<Gater> is not a verb; skipped; did you mean Gather?"),
        ("<Frobnicate/>", "<Frobnicate> is not a verb; skipped"),
    ],
)
def test_what_was_meant_is_guessed(inside: str, message: str) -> None:
    (said,) = found(inside)
    assert said.startswith(message)
    assert ("did you mean" in said) == ("did you mean" in message)


# ------------------------------------------------------------------ never run

NEXT = "<Say>next</Say>"


@pytest.mark.parametrize(
    ("inside", "why"),
    [
        ("<Hangup/>", "Hangup in line 1 ends the call"),
        ("<Reject/>", "Reject in line 1 ends the call"),
        ("<Redirect>b</Redirect>", "Redirect in line 1 goes on with another document"),
        ('<Dial action="a">12025550177</Dial>', "the answer of the action of Dial in line 1 "),
        ('<Say loop="0">a</Say>', "Say in line 1 goes on until the call ends"),
        ('<Play loop="0">a.wav</Play>', "Play in line 1 goes on until the call ends"),
        ('<Sms action="a">Hello</Sms>', "the answer of the action of Sms in line 1 takes over"),
        ('<Fax action="a"/>', "the answer of the action of Fax in line 1 takes over"),
        (
            '<Gather action="a" finishOnKey=""><Play loop="0">a.wav</Play></Gather>',
            "Gather in line 1 waits for a key, and every key leads to its action",
        ),
    ],
)
def test_verbs_that_are_never_run(inside: str, why: str) -> None:
    (said,) = found(inside + NEXT + NEXT)
    assert said.startswith(f"Say and what follows is never run: {why}")
    assert found(inside) == []


@pytest.mark.parametrize(
    "inside",
    [
        "<Dial>12025550177</Dial>",
        '<Gather action="a"><Say>a</Say></Gather>',
        '<Gather action="a"><Play loop="0">a.wav</Play></Gather>',
        '<Gather action="a" minDigits="2" finishOnKey=""><Play loop="0">a.wav</Play></Gather>',
        '<Record action="a"/>',
        "<Postcall>a</Postcall>",
        "<Fax/>",
    ],
)
def test_verbs_that_may_be_run(inside: str) -> None:
    assert found(inside + NEXT) == []


def test_a_word_that_is_not_recognised_leads_past_a_gather() -> None:
    inside = '<Gather action="https://app.example.test/a" finishOnKey="" {}><Play loop="0">a</Play>'
    endless = inside + "</Gather>" + NEXT
    assert len(found(endless.format(""))) == 1
    assert found(endless.format('input="dtmf speech" hints="yes, no"')) == []


def test_the_place_of_what_is_never_run() -> None:
    text = b"<Response><Hangup/><Say>a</Say></Response>"
    ((finding,), _) = lint(text, "", BASE, judge)
    assert (finding.line, finding.column) == (1, 20)


def test_inside_a_gather_nothing_follows_what_never_ends() -> None:
    inside = '<Gather action="a"><Say loop="0">a</Say><Say>b</Say></Gather>'
    assert found(inside) == [
        "in Gather nothing after this Say is heard: it goes on until a key is pressed"
    ]


def test_a_gather_without_action() -> None:
    assert found("<Gather/>") == ["Gather has no action: what is keyed goes nowhere"]


def test_a_document_that_only_leads_to_itself() -> None:
    (said,) = found("<Redirect>start.php</Redirect>")
    assert "leads to this document again" in said
    assert found('<Gather action="a"/><Redirect>start.php</Redirect>') == []


# ------------------------------------------------------------------ addresses and secrets


@pytest.mark.parametrize(
    ("inside", "label"),
    [
        ('<Say action="//10.0.0.7/a">a</Say>', "action of Say"),
        ("<Play>//10.0.0.7/a.wav</Play>", "URL of Play"),
        ("<Redirect>//10.0.0.7/a</Redirect>", "URL of Redirect"),
        ("<Postcall>//10.0.0.7/a</Postcall>", "URL of Postcall"),
        ('<Record action="//10.0.0.7/a"/>', "action of Record"),
        ('<Gather action="//10.0.0.7/a"/>', "action of Gather"),
        ('<Gather action="a"><Play>//10.0.0.7/a.wav</Play></Gather>', "URL of Play"),
        ('<Dial action="//10.0.0.7/a">12025550177</Dial>', "action of Dial"),
        ('<Number url="//10.0.0.7/a">12025550177</Number>', "url of Number"),
        (
            '<Dial><Sip>a@b</Sip><Number statusCallback="//10.0.0.7/a">12025550177</Number></Dial>',
            "statusCallback of Number",
        ),
    ],
)
def test_addresses_that_the_server_may_not_reach(inside: str, label: str) -> None:
    assert found(inside) == [f"{label}: 10.0.0.7 is a private address"]


BODIES = {"Say": "a", "Sms": "a", "Number": "12025550177", "Dial": "12025550177"}
"""Of verbs that need one beside their URL; the others take a name."""


@pytest.mark.parametrize(
    ("row", "attribute"),
    [
        pytest.param(row, attribute, id=f"{row.name}-{attribute.name}")
        for row in VERBS
        if row.build
        for attribute in row.attributes
        if attribute.kind is URL
    ],
)
def test_no_url_of_the_language_is_forgotten(row: VerbRow, attribute: Attribute) -> None:
    name, body = row.name, BODIES.get(row.name, "support" if row.body else "")
    element = f'<{name} {attribute.name}="//10.0.0.7/a">{body}</{name}>'
    said = found(element if row.top_level else f"<Dial>{element}</Dial>")
    assert any("10.0.0.7 is a private address" in message for message in said)


def test_an_address_is_named_once() -> None:
    inside = '<Say action="//10.0.0.7/a">a</Say><Redirect>//10.0.0.7/b</Redirect>'
    assert len(found(inside)) == 1


def test_names_of_private_networks() -> None:
    (said,) = found("<Play>https://files.office.local/a.wav</Play>")
    assert said.startswith("URL of Play: files.office.local is a name of a private network")


@pytest.mark.parametrize("name", ["apikey", "access_token", "X-Signature", "PASSWORD"])
def test_secrets_over_http(name: str) -> None:
    (said,) = found(f'<Say action="http://app.example.test/a?x=1&amp;{name}=s3cret">a</Say>')
    assert said == f"action of Say: {name} goes over http, for all on the way to read; use https"
    assert "s3cret" not in said


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.test/a?apikey=1",
        "http://app.example.test/a?order=1",
        "http://localhost/a?apikey=1",
        "http://127.0.0.1:9000/a?apikey=1",
    ],
)
def test_no_secrets_over_http(url: str) -> None:
    assert found(f'<Say action="{url}">a</Say>') == []


def test_keyed_digits_over_http() -> None:
    assert found('<Gather action="http://app.example.test/a"/>') == [
        "action of Gather: what is keyed goes over http, for all on the way to read; use https"
    ]


@pytest.mark.parametrize(
    "inside",
    [
        '<Dial><Conference waitUrl="https://10.0.0.7/m">x</Conference></Dial>',
        '<Dial><Queue url="https://10.0.0.7/m">x</Queue></Dial>',
        '<Enqueue waitUrl="https://10.0.0.7/m">x</Enqueue>',
    ],
)
def test_what_is_fetched_where_callers_meet_is_judged(inside: str) -> None:
    (message,) = found(inside)
    assert message.endswith(": 10.0.0.7 is a private address")
