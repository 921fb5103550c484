"""Which hosts a document may dial by SIP URI."""

from __future__ import annotations

import pytest

from outdial.calls import codes
from outdial.calls.sip_hosts import SipHosts, is_over_tls
from outdial.config import Trunk
from outdial.errors import Refused

TRUNKS = (
    Trunk(name="carrier", address="sip.carrier.test"),
    Trunk(name="pbx", address="192.0.2.1:5070"),
    Trunk(name="six", address="[2001:db8::1]:5060"),
)
HOSTS = SipHosts(["phones.test", "198.51.100.7:5080"], TRUNKS, sim=False)


def refusal(uri: str, hosts: SipHosts = HOSTS) -> int:
    try:
        hosts.check(uri, "Sip")
    except Refused as refused:
        return refused.code if refused.message.startswith("Sip ") else -1
    return 0


@pytest.mark.parametrize(
    "uri",
    [
        "sip:bob@phones.test",
        "sip:bob@PHONES.test:5999;transport=tcp",
        "sip:phones.test",
        "sip:bob@198.51.100.7:5080",
        "sip:bob@sip.carrier.test",
        "sip:bob@192.0.2.1:5070",
        "sip:bob@192.0.2.1",
        "sip:bob@192.0.2.1:5099",
        "sip:bob@[2001:db8::1]",
        "sip:bob@[2001:DB8:0::1]:5060",
    ],
)
def test_hosts_of_the_settings_and_of_trunks_may_be_dialled(uri: str) -> None:
    assert refusal(uri) == 0


@pytest.mark.parametrize(
    "uri",
    [
        "sip:bob@203.0.113.9",
        "sip:bob@phones.test.evil.test",
        "sip:bob@evil-phones.test",
        "sip:phones.test@evil.test",
        "sip:bob:phones.test@evil.test",
        "sip:bob@198.51.100.7",
        "sip:bob@198.51.100.7:5081",
        "sip:bob@[2001:db8::2]",
        "sip:bob@phones.test;maddr=203.0.113.9",
    ],
)
def test_others_may_not(uri: str) -> None:
    assert refusal(uri) == codes.SIP_HOST


def test_the_refusal_says_which_setting_allows_it() -> None:
    with pytest.raises(Refused) as caught:
        HOSTS.check("sip:bob@evil.test:5061", "Sip")
    assert caught.value.status == 403
    assert 'sip_hosts = ["evil.test:5061"]' in caught.value.message


@pytest.mark.parametrize("uri", ["sip:bob@[::1", "sip:", "tel:+12025550123", "https://a.test", ""])
def test_what_is_no_sip_uri_is_refused(uri: str) -> None:
    assert refusal(uri) in (codes.BAD_VALUE, codes.SIP_HOST)


def test_with_simulated_phones_every_host_may_be_dialled() -> None:
    assert refusal("sip:bob@203.0.113.9", SipHosts([], TRUNKS, sim=True)) == 0


@pytest.mark.parametrize(
    ("uri", "number"),
    [
        ("sip:bob@phones.test", ""),
        ("sip:118@phones.test", ""),
        ("sip:1202555@phones.test", "1202555"),
        ("sip:+1-202-555-0123@phones.test", "+1-202-555-0123"),
        ("sip:%31%32025550123@phones.test", "12025550123"),
        ("sip:118@sip.carrier.test", "118"),
        ("sip:x19005550111@sip.carrier.test", "x19005550111"),
        ("sip:19005550111;ext=3@sip.carrier.test", "19005550111"),
        ("sip:x:19005550111@sip.carrier.test", "x:19005550111"),
        ("sip:desk2@sip.carrier.test", ""),
        ("sip:sip.carrier.test", ""),
    ],
)
def test_what_a_gateway_would_take_for_a_number_is_one(uri: str, number: str) -> None:
    assert HOSTS.check(uri, "Sip") == number


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("sip:1@SIP.carrier.test.", "carrier"),
        ("sip:1@192.0.2.1:5070", "pbx"),
        ("sip:1@192.0.2.1", None),
        ("sip:1@phones.test", None),
        ("sip:1@[::1", None),
    ],
)
def test_whose_trunk_it_is(uri: str, name: str | None) -> None:
    trunk = HOSTS.trunk_at(uri)
    assert (trunk.name if trunk else None) == name


def test_a_number_at_another_port_of_a_trunk_is_a_number_still() -> None:
    assert HOSTS.check("sip:118@192.0.2.1:5099", "Sip") == "118"
    assert HOSTS.trunk_at("sip:118@192.0.2.1:5099") is None


@pytest.mark.parametrize(
    ("uri", "over_tls"),
    [
        ("sips:bob@phones.test", True),
        ("sip:bob@phones.test;transport=TLS", True),
        ("sip:bob@phones.test;transport=tcp", False),
        ("sip:bob@phones.test;transport", False),
        ("sip:tls@phones.test", False),
        ("nonsense", False),
    ],
)
def test_an_address_says_whether_it_is_over_tls(uri: str, over_tls: bool) -> None:
    assert is_over_tls(uri) is over_tls
