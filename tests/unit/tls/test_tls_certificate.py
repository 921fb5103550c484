"""Reading certificates, also those that no check would let pass, and bytes that are none."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.certificates import Authority
from outdial.tls.certificate import DAY_S, Certificate, NoCertificate, day_of, read_pem
from outdial.tls.names import identities, is_for


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def test_what_stands_in_it_is_what_was_written(authority: Authority) -> None:
    made = authority.make(
        "Sip.Example.com",
        ["Sip.Example.com", "*.b.example", "sip:example.com", "10.0.0.9", "2001:db8::9"],
        days=(-2, 90),
    )
    read = Certificate.parse(made.der)
    assert read.subject == "CN=Sip.Example.com, O=Outdial tests"
    assert read.issuer == "CN=Test Authority, O=Outdial tests"
    assert read.common_name == "Sip.Example.com"
    assert read.dns_names == ("sip.example.com", "*.b.example")
    assert read.uris == ("sip:example.com",)
    assert read.addresses == ("10.0.0.9", "2001:db8::9")
    assert read.valid_from == made.certificate.not_valid_before_utc.timestamp()
    assert read.valid_until == made.certificate.not_valid_after_utc.timestamp()
    assert read.days_left(time.time()) == pytest.approx(90, abs=0.01)
    assert not read.is_self_signed


def test_an_authority_vouches_for_itself(authority: Authority) -> None:
    read = Certificate.parse(authority.own.der)
    assert read.is_self_signed
    assert read.names == ("Test Authority",)


def test_times_of_both_kinds_are_read(authority: Authority) -> None:
    # from 2050 on they are written with four digits of the year
    far = Certificate.parse(authority.make(days=(-1, 40 * 365)).der)
    assert far.valid_until - time.time() == pytest.approx(40 * 365 * DAY_S, abs=120)
    past = Certificate.parse(authority.make(days=(-40 * 365, -1)).der)
    assert past.days_left(time.time()) == pytest.approx(-1, abs=0.01)
    assert day_of(1_780_000_000) == "2026-05-28"


@pytest.mark.parametrize("text", ["", "no PEM", "-----BEGIN CERTIFICATE-----"])
def test_a_file_without_a_certificate_says_so(text: str) -> None:
    with pytest.raises(NoCertificate, match="there is no certificate in it"):
        read_pem(text)


def test_a_file_that_was_damaged_says_so(authority: Authority) -> None:
    text = authority.own.certificate.public_bytes(Encoding.PEM).decode()
    with pytest.raises(NoCertificate, match="Base64 is wrong"):
        read_pem(text.replace("\nMII", "\nM!I"))
    with pytest.raises(NoCertificate, match="cannot be read"):
        read_pem("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----")


def test_a_file_with_a_chain_is_read_in_order(authority: Authority) -> None:
    chain = authority.make("leaf").path.read_text() + Path(authority.path).read_text()
    assert [one.common_name for one in read_pem(chain)] == ["leaf", "Test Authority"]


def test_all_that_the_system_trusts_can_be_read() -> None:
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    read = [Certificate.parse(der) for der in found]
    assert all(one.subject and one.valid_until > one.valid_from for one in read)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_bytes_are_a_certificate_or_none(data: bytes) -> None:
    with pytest.raises(NoCertificate):
        Certificate.parse(data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_certificate_with_wrong_bytes_raises_nothing_else(
    authority: Authority, data: st.DataObject
) -> None:
    der = bytearray(authority.own.der)
    for place in data.draw(st.lists(st.integers(0, len(der) - 1), min_size=1, max_size=4)):
        der[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(der)))
    for one in (bytes(der), bytes(der[:cut])):
        try:
            read = Certificate.parse(one)
        except NoCertificate:
            continue
        assert read.subject.isprintable()


def test_controls_in_names_are_not_shown(authority: Authority) -> None:
    read = Certificate.parse(authority.make("evil\x1b[2J\nname").der)
    assert read.common_name == "evil [2J name"


def certificate(*names: str, common_name: str = "cn.example") -> Certificate:
    """With these names; those with a colon are URIs, those that begin with a digit addresses."""
    return Certificate(
        subject=f"CN={common_name}",
        issuer="CN=ca",
        common_name=common_name,
        dns_names=tuple(n for n in names if ":" not in n and not n[0].isdigit()),
        uris=tuple(n for n in names if ":" in n and not n[0].isdigit()),
        addresses=tuple(n for n in names if n[0].isdigit()),
        valid_from=0.0,
        valid_until=1.0,
    )


@pytest.mark.parametrize(
    ("names", "domain", "right"),
    [
        (["example.com"], "example.com", True),
        (["example.com"], "EXAMPLE.com.", True),
        (["example.com"], "sip.example.com", False),
        (["example.com"], "evil-example.com", False),
        (["sip:example.com"], "example.com", True),
        (["sip:Example.com"], "example.com", True),
        (["sip:alice@example.com"], "example.com", False),
        (["sip:example.com;transport=tls"], "example.com", False),
        (["sips:example.com"], "example.com", False),
        (["https://example.com"], "example.com", False),
        (["other.example", "sip:example.com"], "other.example", True),
        (["*.example.com"], "sip.example.com", True),
        (["*.example.com"], "example.com", False),
        (["*.example.com"], "a.b.example.com", False),
        (["*.com"], "example.com", False),
        (["*"], "example.com", False),
        (["s*.example.com"], "sip.example.com", False),
        (["10.0.0.9"], "10.0.0.9", True),
        (["10.0.0.9"], "10.0.0.8", False),
        (["sip:10.0.0.9"], "10.0.0.9", True),
        (["example.com"], "10.0.0.9", False),
        (["10.0.0.9"], "cn.example", False),
        ([], "cn.example", True),
        ([], "CN.example", True),
        (["example.com"], "cn.example", False),
        ([], "10.0.0.9", False),
    ],
)
def test_whose_certificate_it_is(names: list[str], domain: str, right: bool) -> None:
    assert is_for(certificate(*names), domain) is right


def test_an_address_of_version_6_is_the_same_however_it_is_written(authority: Authority) -> None:
    read = Certificate.parse(authority.make(names=["2001:db8::9"]).der)
    assert is_for(read, "[2001:0DB8:0:0::9]")


def test_names_are_told_before_the_common_name() -> None:
    assert identities(certificate("sip:a.example", "b.example")) == ("a.example", "b.example")
    assert identities(certificate()) == ("cn.example",)
