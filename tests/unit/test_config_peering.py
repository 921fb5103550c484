"""Settings of trunks that say who is calling, and what goes with a call besides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from outdial import config
from outdial.config import Trunk
from outdial.config.peering import LONGEST_NAME, LONGEST_VALUE, MOST_HEADERS
from outdial.sip.core.identity import PLAIN
from outdial.sip.trunks import presentation_of


def trunk(**settings: Any) -> Trunk:
    return Trunk(name="t", address="192.0.2.1", **settings)


def refusal(**settings: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        trunk(**settings)
    (error,) = caught.value.errors()
    return str(error["msg"])


def test_a_trunk_of_yesterday_shows_callers_as_yesterday() -> None:
    assert presentation_of(trunk(), "") == PLAIN
    assert trunk().headers == {}


def test_headers_are_taken_from_the_file_and_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "outdial.toml"
    path.write_text(
        '[[trunks]]\nname = "t"\naddress = "192.0.2.1"\nheaders = {"X-Account" = "42"}\n'
    )
    assert config.load(path, environment={}).trunks[0].headers == {"X-Account": "42"}
    given = {"OUTDIAL_TRUNKS__0__HEADERS": '{"X-Team": "a, b"}'}
    assert config.load(path, environment=given).trunks[0].headers["X-Team"] == "a, b"


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"": "1"}, "is not the name of a header"),
        ({"X Account": "1"}, "is not the name of a header"),
        ({"X-Account:": "1"}, "is not the name of a header"),
        ({"X-Account\r\nVia": "1"}, "is not the name of a header"),
        ({"X-" + "a" * LONGEST_NAME: "1"}, "is not the name of a header"),
        ({"Route": "<sip:evil.test>"}, "Route is a header that Outdial writes itself"),
        ({"cOnTaCt": "<sip:evil.test>"}, "cOnTaCt is a header that Outdial writes itself"),
        ({"f": "<sip:x@y>"}, "f is a header that Outdial writes itself"),
        ({"P-Asserted-Identity": "<sip:x@y>"}, "P-Asserted-Identity is a header that"),
        ({"X-Account": ""}, "the value of X-Account must be"),
        ({"X-Account": "1\r\nVia: x"}, "the value of X-Account must be"),
        ({"X-Account": "1\x7f"}, "the value of X-Account must be"),
        ({"X-Account": "1\u2028"}, "the value of X-Account must be"),
        ({"X-Account": "1" * (LONGEST_VALUE + 1)}, "the value of X-Account must be"),
        ({"X-A": "1", "x-a": "2"}, "'x-a' is there twice"),
        ({f"X-{n}": "1" for n in range(MOST_HEADERS + 1)}, "has 17 headers; 16 are allowed"),
    ],
)
def test_headers_that_are_refused(headers: dict[str, str], told: str) -> None:
    assert told in refusal(headers=headers)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"from_user": "a b"}, "is not the user part of a SIP address"),
        ({"from_user": "a@b"}, "is not the user part of a SIP address"),
        ({"from_user": "a\r\n"}, "is not the user part of a SIP address"),
        ({"from_domain": "a>b"}, "is not a host name or address"),
        (
            {"identity_headers": ["P-Asserted-Identity", "P-Preferred-Identity"]},
            "has both P-Asserted-Identity and P-Preferred-Identity",
        ),
        ({"identity_headers": ["Remote-Party-ID"] * 2}, "names a header twice"),
        ({"identity_headers": ["Via"]}, "Input should be"),
        ({"caller_id_format": "tel"}, "Input should be"),
    ],
)
def test_what_else_is_refused(settings: dict[str, Any], told: str) -> None:
    assert told in refusal(**settings)


@pytest.mark.parametrize("address", ["", "203.0.113.7", "203.0.113.7:5999", "[2001:db8::7]:5999"])
def test_a_public_address_is_one_that_an_sdp_can_have(address: str) -> None:
    assert trunk(public_address=address).public_address == address


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("sip.example.com", "'sip.example.com' is not an IP address"),
        ("0.0.0.0", "0.0.0.0 cannot be sent to"),
        ("203.0.113.7:x", "'x' is not a port"),
        ("2001:db8::7", "write an IPv6 address in brackets"),
    ],
)
def test_others_are_not(address: str, told: str) -> None:
    assert told in refusal(public_address=address)


def test_a_public_address_is_of_the_version_that_media_has() -> None:
    pbx = trunk(public_address="[2001:db8::7]")
    with pytest.raises(ValidationError) as caught:
        config.Settings(trunks=[pbx])
    assert "'t': public_address [2001:db8::7] and media.address" in str(caught.value)
