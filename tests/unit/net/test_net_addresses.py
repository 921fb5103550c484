"""What may be reached: every disguise of a private address that is known, and what must pass."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outdial.errors import ConfigError, FetchError
from outdial.net import addresses
from outdial.net.addresses import AddressPolicy, check_url, parse_target

PUBLIC = AddressPolicy()

FORBIDDEN = [
    # loopback in its usual and unusual clothes
    "http://127.0.0.1/",
    "http://127.0.0.1:8080/x",
    "http://127.1.2.3/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://app.localhost/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://0x7f.0.0.1/",
    "http://0x7f000001/",
    "http://0X7F.1/",
    "http://127.0.0.1./",
    "http://127。0。0。1/",
    "http://①27.0.0.1/",
    "http://ｌocalhost/",
    "http://00000177.1/",
    "http://4294967295/",
    "http://127.0.0.0x1/",
    "http://0x/",
    # unspecified, this network
    "http://0.0.0.0/",
    "http://0/",
    "http://0.1.2.3/",
    "http://[::]/",
    # private
    "http://10.0.0.1/",
    "http://10.255.255.255/",
    "http://172.16.0.1/",
    "http://172.31.255.254/",
    "http://192.168.0.1/",
    "http://0xa000001/",
    "http://192.168.257/",
    # link-local and the clouds' metadata
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.0.1/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    # carrier-grade NAT, benchmarks, documentation, protocol
    "http://100.64.0.1/",
    "http://100.127.255.254/",
    "http://198.18.0.1/",
    "http://192.0.0.8/",
    "http://192.0.2.1/",
    "http://198.51.100.7/",
    "http://203.0.113.9/",
    "http://192.88.99.1/",
    # multicast, reserved, broadcast
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[ff02::1]/",
    # IPv6 that leads to IPv4, or nowhere
    "http://[::ffff:10.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::10.0.0.1]/",
    "http://[64:ff9b::10.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a00:1::1]/",
    "http://[2001::1]/",
    "http://[2001:db8::1]/",
    "http://[3fff::1]/",
    "http://[fc00::1]/",
    "http://[fdff::1]/",
    "http://[fec0::1]/",
    "http://[100::1]/",
    "http://[5f00::1]/",
    "http://[4000::1]/",
    # ports
    "http://example.com:0/",
]

BAD = [
    "",
    "example.com",
    "/relative",
    "//example.com/",
    "http:",
    "http://",
    "http:///path",
    "http://:80/",
    "file:///etc/passwd",
    "ftp://example.com/",
    "gopher://example.com/",
    "javascript:alert(1)",
    "data:text/xml,<Response/>",
    "sip:bob@example.com",
    "http://user:secret@example.com/",
    "http://user@example.com/",
    "http://:@example.com/",
    "http://example.com@10.0.0.1/",
    "http://exam ple.com/",
    "http://example.com/a b",
    "http://example.com/\r\nHost: evil",
    "http://example.com/\x00",
    "http://exam\tple.com/",
    "http://example.com\\@10.0.0.1/",
    "http:\\\\example.com/",
    "http://[::1",
    "http://[fe80::1%25eth0]/",
    "http://%31%32%37.0.0.1/",
    "http://example.com:99999/",
    "http://example.com:http/",
    "http://-example.com/",
    "http://exa..mple.com/",
    "http://exam*ple.com/",
    "http://" + "a" * 64 + ".com/",
    "http://" + "a." * 127 + "com/",
    "http://example.com/" + "a" * 5000,
]

ALLOWED = [
    "http://example.com",
    "https://example.com/",
    "HTTPS://Example.COM/Path?x=1&y=2#part",
    "http://example.com:8080/answer.xml",
    "http://example.com./",
    "http://bücher.example/",
    "http://xn--bcher-kva.example/",
    "http://under_score.example.com/",
    "http://8.8.8.8/",
    "http://1.1.1.1:443/",
    "http://172.15.0.1/",
    "http://172.32.0.1/",
    "http://100.63.255.255/",
    "http://100.128.0.1/",
    "http://[2606:4700:4700::1111]/",
    "http://[64:ff9b::8.8.8.8]/",
    "http://[2002:808:808::1]/",
    "http://[::ffff:8.8.8.8]/",
    "http://10.example.com/",
    "http://@example.com/",
    "http://intranet/",
    "http://example.com/?next=http://10.0.0.1/",
    "  https://example.com/padded  ",
]


@pytest.mark.parametrize("url", FORBIDDEN)
def test_forbidden_address_is_refused_without_dns(url: str) -> None:
    with pytest.raises(FetchError) as caught:
        check_url(url, PUBLIC)
    assert caught.value.kind == "refused-address"


@pytest.mark.parametrize("url", BAD)
def test_what_is_no_fetchable_url_is_refused(url: str) -> None:
    with pytest.raises(FetchError) as caught:
        check_url(url, PUBLIC)
    assert caught.value.kind == "bad-url"


@pytest.mark.parametrize("url", ALLOWED)
def test_public_url_passes(url: str) -> None:
    check_url(url, PUBLIC)


def test_refusal_names_what_would_be_right() -> None:
    with pytest.raises(FetchError, match=r"webhooks\.allow_private"):
        check_url("http://10.0.0.1/", PUBLIC)
    with pytest.raises(FetchError, match="leave out user:password@"):
        check_url("http://me:secret@example.com/", PUBLIC)
    with pytest.raises(FetchError, match="http://… or https://…"):
        check_url("ftp://example.com/", PUBLIC)
    with pytest.raises(FetchError, match="four decimal numbers"):
        check_url("http://0x7f.1/", PUBLIC)


def test_refusal_does_not_repeat_the_password() -> None:
    with pytest.raises(FetchError) as caught:
        check_url("http://me:hunter2@example.com/", PUBLIC)
    assert "hunter2" not in str(caught.value)


def test_owner_may_allow_networks() -> None:
    policy = AddressPolicy(["127.0.0.0/8", "10.1.2.3", "fd00::/8"])
    for url in (
        "http://127.0.0.1:9000/",
        "http://localhost:9000/",
        "http://10.1.2.3/",
        "http://[::ffff:127.0.0.1]/",
        "http://[fd12::1]/",
    ):
        check_url(url, policy)
    for url in ("http://10.1.2.4/", "http://[::1]/", "http://192.168.0.1/", "http://127.1/"):
        with pytest.raises(FetchError):
            check_url(url, policy)


def test_localhost_stands_for_the_allowed_loopbacks_only() -> None:
    assert AddressPolicy(["127.0.0.0/8"]).loopbacks() == ["127.0.0.1"]
    assert AddressPolicy(["::1"]).loopbacks() == ["::1"]
    assert AddressPolicy(["127.0.0.1", "::1"]).loopbacks() == ["127.0.0.1", "::1"]
    assert AddressPolicy(["10.0.0.0/8"]).loopbacks() == []


def test_ports_are_limited_only_when_some_are_named() -> None:
    policy = AddressPolicy(allow_ports=[8443])
    for url in ("http://example.com/", "https://example.com/", "https://example.com:8443/"):
        check_url(url, policy)
    with pytest.raises(FetchError, match=r"webhooks\.allow_ports allows 80, 443, 8443"):
        check_url("http://example.com:22/", policy)


@pytest.mark.parametrize("network", ["", "10.0.0.0/33", "localhost", "10.0.0"])
def test_bad_network_in_the_settings_is_named(network: str) -> None:
    with pytest.raises(ConfigError, match=r"webhooks\.allow_private"):
        AddressPolicy([network])


def test_target_is_read_once_and_normalised() -> None:
    target = parse_target("HTTP://Example.COM.:8080/a%2Fb?q=%41&r=a+b#frag", PUBLIC)
    assert (target.origin.host, target.origin.address) == ("example.com", "")
    assert (target.origin.scheme, target.origin.port) == ("http", 8080)
    assert target.origin.authority == "example.com:8080"
    assert target.path == "/a%2Fb?q=%41&r=a+b"
    assert target.url == "http://example.com:8080/a%2Fb?q=%41&r=a+b"
    assert parse_target("http://8.8.8.8/", PUBLIC).origin.address == "8.8.8.8"


@given(st.from_regex(r"https?://[a-z0-9.-]{1,12}(:[0-9]{1,4})?[/?]?[!-~]{0,20}", fullmatch=True))
@settings(max_examples=300)
def test_the_short_way_reads_as_the_long_one(text: str) -> None:
    usual = addresses._USUAL.fullmatch(text)
    if usual:
        assert addresses._take_apart(text) == usual.groups()


def test_judgement_is_kept_by_origin_and_not_by_query() -> None:
    policy = AddressPolicy(["127.0.0.1"])
    first = parse_target("http://127.0.0.1:9000/cb?id=1", policy)
    second = parse_target("http://127.0.0.1:9000?id=2", policy)
    assert second.origin is first.origin
    assert second.url == "http://127.0.0.1:9000/?id=2"
    for url in ("http://127.0.0.2:9000/cb?id=1", "http://10.0.0.1/?http://127.0.0.1:9000"):
        with pytest.raises(FetchError):
            parse_target(url, policy)
    assert len(policy.origins) == 1
    for number in range(3000):
        check_url(f"http://h{number}.example/", policy)
    assert len(policy.origins) == 1024


def test_each_spelling_of_an_origin_is_one() -> None:
    for url in (
        "http://Example.com/",
        "HTTP://example.com.:80",
        "http://ｅxample.com:/",
        "http://@example.com:080/",
    ):
        assert parse_target(url, PUBLIC).origin.text == "http://example.com"
    for url in ("https://[2606:4700::1]/", "https://[2606:4700:0::0:0001]:443/"):
        assert parse_target(url, PUBLIC).origin.text == "https://[2606:4700::1]"


@pytest.mark.parametrize("address", ["not an address", "", "1.2.3", "fe80::1%eth0"])
def test_what_a_resolver_should_not_say_is_refused(address: str) -> None:
    with pytest.raises(FetchError):
        PUBLIC.check_address(address)


@given(
    st.text(max_size=60)
    | st.from_regex(r"(https?|HTTP|ftp)?:?/{0,3}[0-9a-fx.:\[\]%@\\#?]{0,30}/?.*", fullmatch=True)
)
@settings(max_examples=600)
def test_nothing_but_fetch_errors(text: str) -> None:
    try:
        target = parse_target(text, PUBLIC)
    except FetchError as refusal:
        assert refusal.kind in ("bad-url", "refused-address")  # noqa: PT017
    else:
        assert target.origin.scheme in ("http", "https")
        assert target.url.isascii()
        assert target.path.startswith("/")
        if target.origin.address:
            PUBLIC.check_address(target.origin.address)
