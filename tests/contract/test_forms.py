"""The document's patterns say what the server takes, no more and hardly less."""

from __future__ import annotations

import random
import re

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outdial.api import forms
from outdial.calls import numbers
from outdial.calls.checks import FIELDS, MAX_URL, Rules, check
from outdial.config import Limits
from outdial.errors import FetchError, Refused
from outdial.net.addresses import AddressPolicy, check_url

NUMBER = re.compile(numbers.pattern())


def taken(text: str) -> bool:
    try:
        numbers.normalise(text, "to")
    except Refused:
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(st.from_regex(NUMBER.pattern.replace("$", r"\Z")))
def test_a_number_that_fits_is_taken(text: str) -> None:
    assert taken(text)


def test_every_countrys_example_fits() -> None:
    fitting = 0
    for region in phonenumbers.SUPPORTED_REGIONS:
        example = phonenumbers.example_number(region)
        assert example is not None
        text = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        assert taken(text) == bool(NUMBER.fullmatch(text)), text
        fitting += taken(text)
    assert fitting > 200


def test_digits_that_do_not_fit_are_hardly_ever_taken() -> None:
    """Only where a national prefix stands behind the country code."""
    digits = random.Random(5)
    drawn = ["".join(digits.choices("0123456789", k=digits.randint(1, 18))) for _ in range(20_000)]
    others = [text for text in drawn if not NUMBER.fullmatch(text)]
    assert len(others) > 5_000
    wrongly = [text for text in others if taken(text) and numbers.normalise(text, "") == text]
    assert wrongly == []


def refusal(url: str, policy: AddressPolicy) -> str:
    """The kind of FetchError; "" when the URL is taken."""
    try:
        check_url(url, policy)
    except FetchError as error:
        return error.kind
    return ""


@pytest.mark.parametrize("policy", [AddressPolicy(), AddressPolicy(["0.0.0.0/0", "::/0"])])
def test_a_url_that_fits_is_taken_or_refused_for_its_address(policy: AddressPolicy) -> None:
    @settings(max_examples=500, deadline=None)
    @given(st.from_regex(forms.URL.replace("$", r"\Z")).filter(lambda url: len(url) <= MAX_URL))
    def holds(url: str) -> None:
        if not url.strip(" "):
            return
        assert refusal(url, policy) in ("", "refused-address")

    holds()


@pytest.mark.parametrize(
    "url",
    [
        "http://a",
        "https://example.com/app.xml?x=1#y",
        "HTTP://EXAMPLE.com:8080",
        "http://127.0.0.1:9000/answer.xml",
        "http://localhost:9000/answer.xml",
        "http://my_host-1.example/%7Eme/a+b",
        "http://[2606:4700::1111]/",
        "https://example.com?q=é",
    ],
)
def test_urls_that_people_write_fit(url: str) -> None:
    assert re.search(forms.URL, url)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/",
        "http://",
        "http:///x",
        "example.com",
        "http://user:pass@example.com/",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://a b/",
        "http://example.com/a b",
        "http://example.com/\\x",
        "http://-a.example/",
        "javascript:alert(1)",
    ],
)
def test_urls_that_are_refused_do_not_fit(url: str) -> None:
    assert not re.search(forms.URL, url)
    with pytest.raises(FetchError):
        check_url(url, AddressPolicy(["0.0.0.0/0"]))


RULES = Rules(Limits(destinations=["1"]), lambda url: None)
CALL = {"to": ["19499300360"], "from": ["18005797676"]}


@settings(max_examples=200, deadline=None)
@given(st.from_regex(forms.EVENTS.replace("$", r"\Z")))
def test_events_that_fit_are_taken(text: str) -> None:
    assert check(CALL | {"status_callback_event": [text]}, {name: name for name in FIELDS}, RULES)
