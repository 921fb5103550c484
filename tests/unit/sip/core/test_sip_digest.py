"""Digest authentication (RFC 7616, RFC 8760), with the vectors of the RFCs."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from outdial.errors import LocalProtocolError, RemoteProtocolError
from outdial.sip.core import digest
from outdial.sip.core.digest import (
    ALGORITHMS,
    Challenge,
    Verdict,
    Verifier,
    answer,
    strongest_of_each_realm,
)
from outdial.sip.core.uri import Uri

URI = Uri.parse("sip:b@example.org")


def param(text: str, name: str) -> str:
    for part in text.removeprefix("Digest ").split(", "):
        key, _, value = part.partition("=")
        if key == name:
            return value.strip('"')
    raise AssertionError(f"no {name} in {text}")


def test_the_vector_of_rfc_2617() -> None:
    challenge = Challenge.parse(
        'Digest realm="testrealm@host.com", qop="auth,auth-int", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    value = answer(
        challenge, "Mufasa", "Circle Of Life", "GET", "/dir/index.html", b"", 1, "0a4f113b"
    )
    assert param(value, "response") == "6629fae49393a05397450978507c4ef1"
    assert param(value, "opaque") == "5ccc069c403ebaf9f0171e9517f40e41"
    assert param(value, "nc") == "00000001"
    assert param(value, "qop") == "auth"


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_vectors_of_rfc_7616(algorithm: str, expected: str) -> None:
    challenge = Challenge.parse(
        f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    value = answer(
        challenge,
        "Mufasa",
        "Circle of Life",
        "GET",
        "/dir/index.html",
        b"",
        1,
        "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert param(value, "response") == expected


def test_without_qop_as_in_rfc_2069() -> None:
    challenge = Challenge.parse('digest realm="r", nonce="n"')
    value = answer(challenge, "u", "p", "BYE", "sip:b")
    assert "qop" not in value
    assert "nc=" not in value

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    assert param(value, "response") == md5(f"{md5('u:r:p')}:n:{md5('BYE:sip:b')}")


def test_the_nonce_count_is_part_of_the_answer() -> None:
    challenge = Challenge("r", "n", qop="auth")
    first, second = (answer(challenge, "u", "p", "BYE", "sip:b", b"", n, "c") for n in (1, 2))
    assert param(second, "nc") == "00000002"
    assert param(first, "response") != param(second, "response")


def test_the_body_is_part_of_it_with_auth_int() -> None:
    challenge = Challenge.parse('Digest realm="r", nonce="n", qop="auth-int"')
    assert challenge.qop == "auth-int"
    one, other = (answer(challenge, "u", "p", "BYE", "sip:b", b, 1, "c") for b in (b"", b"x"))
    assert param(one, "response") != param(other, "response")


@pytest.mark.parametrize("text", [
    'Digest realm="a b, c=d", nonce="n", stale=TRUE, algorithm="md5", qop=auth',
    'DIGEST  realm = "a b, c=d" ,  nonce = "n" , Stale = "true" , domain="sip:x", qop="x,AUTH"',
    'Digest realm="a b, c=d",nonce="n",stale=true,charset=UTF-8,userhash=false,qop="auth"',
])  # fmt: skip
def test_a_challenge_however_it_is_written(text: str) -> None:
    assert Challenge.parse(text) == Challenge("a b, c=d", "n", "MD5", "auth", None, True)


@pytest.mark.parametrize(
    "text",
    [
        "", "Digest", "Digest ", 'Basic realm="r"', 'Digest realm="r"', 'Digest nonce="n"',
        'Digest realm="r", nonce="n', 'Digest realm="r" nonce="n"',
        'Digest realm="r", nonce="n", x',
        'Digest realm="r", nonce="n", realm="s"', 'Digest realm="r", nonce="n", algorithm=SHA-1',
        'Digest realm="r", nonce="n", qop="auth-conf"', 'Digest realm="r", nonce="n", qop=""',
        'Digest realm="r", nonce="n"' + "".join(f", p{n}=1" for n in range(70)),
    ],
)  # fmt: skip
def test_challenges_that_cannot_be_answered(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        Challenge.parse(text)


def test_a_challenge_is_written_so_that_it_is_read_back() -> None:
    for challenge in (
        Challenge("r", "n", "SHA-256", "auth", "o", True),
        Challenge("r", "n"),
        Challenge('a\\"b', "n", opaque=""),
    ):
        assert Challenge.parse(str(challenge)) == challenge


def test_the_strongest_challenge_of_a_realm_is_taken() -> None:
    values = [f'Digest realm="r", nonce="{a}", algorithm={a}' for a in ("MD5", "SHA-256", "SHA-1")]
    (found,) = strongest_of_each_realm(["Basic x", *values])
    assert found.algorithm == "SHA-256"
    assert strongest_of_each_realm(["Basic x", 'Digest realm="r"']) == []


def test_each_realm_is_answered() -> None:
    values = [f'Digest realm="{realm}", nonce="{n}"' for n, realm in enumerate(("1", "2", "1"))]
    found = strongest_of_each_realm(values)
    assert [(one.realm, one.nonce) for one in found] == [("1", "0"), ("2", "1")]


def test_control_characters_in_our_own_settings_are_refused() -> None:
    with pytest.raises(LocalProtocolError):
        answer(Challenge("r", "n"), "u\r\nX: y", "p", "BYE", "sip:b")


def test_a_quote_in_the_user_name_stays_inside() -> None:
    value = answer(Challenge("r", "n"), 'u", uri="x', "p", "BYE", "sip:b")
    assert value.startswith('Digest username="u\\", uri=\\"x", realm="r"')


# ------------------------------------------------------------------------ the server side


def verifier(lifetime_s: int = 60, max_nonces: int = 100) -> Verifier:
    return Verifier("sim", b"k" * 32, lifetime_s=lifetime_s, max_nonces=max_nonces)


def passwords(username: str) -> str | None:
    return "secret" if username == "ann" else None


def credentials(
    challenge: str, *, user: str = "ann", password: str = "secret", count: int = 1, uri: str = ""
) -> str:
    return answer(
        Challenge.parse(challenge), user, password, "INVITE", uri or str(URI), b"", count, "c"
    )


def verdict(server: Verifier, value: str, now: float = 100.0, source: str = "192.0.2.1") -> Verdict:
    return server.verify(value, passwords, "INVITE", URI, source, now)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("qop", ["auth", "auth-int"])
def test_both_sides_agree(algorithm: str, qop: str) -> None:
    server = Verifier("sim", b"k" * 32, algorithms=(algorithm,))
    offered = server.challenges("192.0.2.1", 100.0, "5a")[0].replace('"auth"', f'"{qop}"')
    value = answer(Challenge.parse(offered), "ann", "secret", "INVITE", str(URI), b"v=0", 1, "c")
    assert server.verify(value, passwords, "INVITE", URI, "192.0.2.1", 101.0, b"v=0") is (
        Verdict.ACCEPTED
    )
    if qop == "auth-int":
        assert server.verify(value, passwords, "INVITE", URI, "192.0.2.1", 101.0, b"v=1") is (
            Verdict.REFUSED
        )


def test_one_challenge_an_algorithm() -> None:
    offered = [Challenge.parse(text) for text in verifier().challenges("192.0.2.1", 1.0, "5a")]
    assert [challenge.algorithm for challenge in offered] == ["SHA-256", "MD5"]
    assert not offered[0].stale
    assert Challenge.parse(verifier().challenges("192.0.2.1", 1.0, "5a", stale=True)[0]).stale


def test_each_nonce_count_is_good_once() -> None:
    server = verifier()
    challenge = server.challenges("192.0.2.1", 100.0, "5a")[0]
    assert verdict(server, credentials(challenge, count=1)) is Verdict.ACCEPTED
    assert verdict(server, credentials(challenge, count=1)) is Verdict.STALE
    assert verdict(server, credentials(challenge, count=5)) is Verdict.ACCEPTED
    assert verdict(server, credentials(challenge, count=4)) is Verdict.STALE


def test_a_nonce_lives_for_its_time_and_for_its_source() -> None:
    server = verifier(lifetime_s=60)
    value = credentials(server.challenges("192.0.2.1", 100.0, "5a")[0])
    assert verdict(server, value, source="192.0.2.2") is Verdict.STALE
    assert verdict(server, value, now=160.0) is Verdict.STALE
    assert verdict(server, value, now=159.0) is Verdict.ACCEPTED
    other = Verifier("sim", b"x" * 32)
    assert verdict(other, value) is Verdict.STALE, "the client is not at fault: we were restarted"
    assert (server.remembered, other.remembered) == (1, 0)


@pytest.mark.parametrize("uri", ["sip:b@proxy.example.org:5070;lr", "sip:192.0.2.7:5060"])
def test_the_host_may_have_been_changed_on_the_way(uri: str) -> None:
    server = verifier()
    value = credentials(server.challenges("192.0.2.1", 100.0, "5a")[0], uri=uri)
    assert verdict(server, value) is Verdict.ACCEPTED


@pytest.mark.parametrize("uri", ["sip:c@example.org", "tel:b", "mailto:b@example.org"])
def test_credentials_for_another_number_are_wrong(uri: str) -> None:
    server = verifier()
    value = credentials(server.challenges("192.0.2.1", 100.0, "5a")[0], uri=uri)
    assert verdict(server, value) is Verdict.REFUSED


def test_wrong_credentials() -> None:
    server = verifier()
    challenge = server.challenges("192.0.2.1", 100.0, "5a")[0]
    good = credentials(challenge)
    for bad in (
        credentials(challenge, password="wrong"),
        credentials(challenge, user="nobody"),
        credentials(challenge, user="nobody", password=""),
        credentials(challenge, uri="sip:other@example.org"),
        credentials(challenge.replace('realm="sim"', 'realm="else"')),
        credentials(challenge.replace("SHA-256", "SHA-256-sess")),
        credentials(challenge.replace(', qop="auth"', "")),
        good.replace("nc=00000001", "nc=1"),
        good.replace("INVITE", ""),
        good.replace(str(URI), "nonsense"),
        good.replace("username=", "name="),
        "Digest",
        "Basic QWxhZGRpbg==",
        "",
    ):
        if bad != good:
            assert verdict(server, bad) is Verdict.REFUSED, bad
    made_up = challenge.replace('nonce="', 'nonce="1')
    assert verdict(server, credentials(made_up)) is Verdict.STALE
    assert verdict(server, credentials(made_up, password="wrong")) is Verdict.REFUSED
    assert server.verify(good, passwords, "BYE", URI, "192.0.2.1", 100.0) is Verdict.REFUSED
    assert verdict(server, good) is Verdict.ACCEPTED


def test_an_unknown_user_costs_what_a_wrong_password_costs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same steps in the same order, and all comparisons by the one that takes constant time."""
    steps: list[tuple[str, int]] = []
    hashed, compared = digest._HASHES["SHA-256"], hmac.compare_digest

    def hashing(data: bytes) -> str:
        steps.append(("hash", len(data)))
        return hashed(data)

    def comparing(one: bytes, other: bytes) -> bool:
        steps.append(("compare", len(one)))
        return compared(one, other)

    monkeypatch.setitem(digest._HASHES, "SHA-256", hashing)
    monkeypatch.setattr(hmac, "compare_digest", comparing)
    server = verifier()
    challenge = server.challenges("192.0.2.1", 100.0, "5a")[0]
    user = next(name for name in ("alice", "ann", "bob") if passwords(name))
    taken = []
    for name in (user, "x" * len(user)):
        value = credentials(challenge, user=name, password="wrong")
        steps.clear()
        assert verdict(server, value) is Verdict.REFUSED
        taken.append([(kind, size if kind == "compare" else 0) for kind, size in steps])
    assert taken[0] == taken[1]
    assert [kind for kind, _ in taken[0]].count("compare") == 2


def test_memory_is_bounded_and_given_back() -> None:
    server = verifier(max_nonces=2, lifetime_s=60)
    for salt, now, expected in (
        ("01", 100.0, Verdict.ACCEPTED),
        ("02", 100.0, Verdict.ACCEPTED),
        ("03", 100.0, Verdict.STALE),
        ("04", 170.0, Verdict.ACCEPTED),
    ):
        value = credentials(server.challenges("192.0.2.1", now, salt)[0])
        assert verdict(server, value, now=now) is expected
    assert server.remembered == 1
    server.forget_expired(231.0)
    assert server.remembered == 0


def test_wrong_passwords_leave_nothing_behind() -> None:
    server = verifier()
    challenge = server.challenges("192.0.2.1", 100.0, "5a")[0]
    verdict(server, credentials(challenge, password="wrong"))
    assert server.remembered == 0
