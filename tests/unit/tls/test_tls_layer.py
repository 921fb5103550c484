"""Two ends in memory: who is believed, who is not, and what is said then."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from doubles.certificates import Authority, Made
from outdial.tls.contexts import ClientSecurity, ServerSecurity
from outdial.tls.layer import TlsLayer
from outdial.tls.trouble import TlsFailed, Trouble, trouble_of

NAME = "sip.example.com"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def server(made: Made, client_ca: str = "") -> TlsLayer:
    return TlsLayer(ServerSecurity("sip", str(made.path), str(made.key_path), client_ca))


def client(authority: Authority, name: str = NAME, *, own: Made | None = None) -> TlsLayer:
    return TlsLayer(
        ClientSecurity(
            "trunks.t",
            name,
            ca=authority.path,
            certificate=str(own.path) if own else "",
            key=str(own.key_path) if own else "",
        )
    )


def shake_hands(near: TlsLayer, far: TlsLayer) -> dict[str, TlsFailed]:
    """Carries bytes until nobody says anything more; who failed, and why."""
    failed: dict[str, TlsFailed] = {}
    near.begin()
    for _ in range(10):
        for name, one, other in (("far", far, near), ("near", near, far)):
            data = other.outgoing()
            if not data or name in failed:
                continue
            try:
                one.receive(data)
            except TlsFailed as error:
                failed[name] = error
    return failed


def why_not(near: TlsLayer, far: TlsLayer) -> tuple[str, str]:
    """Kind and words of what the client found."""
    trouble = shake_hands(near, far)["near"].trouble
    return trouble.kind, trouble.text


def test_what_one_end_says_the_other_hears(authority: Authority) -> None:
    near, far = client(authority), server(authority.make())
    assert near.version == ""
    assert shake_hands(near, far) == {}
    assert near.established and far.established
    assert near.version == far.version == "TLSv1.3"
    assert near.certificate is not None and near.certificate.dns_names == (NAME,)
    assert far.certificate is None
    near.send(b"INVITE ")
    near.send(b"sip:")
    sent = near.outgoing()
    assert b"INVITE" not in sent
    assert far.receive(sent) == b"INVITE sip:"
    far.send(b"x" * 200_000)
    assert near.receive(far.outgoing()) == b"x" * 200_000
    assert near.outgoing() == b""
    near.finish()
    assert not far.is_over
    assert far.receive(near.outgoing()) == b""
    assert far.is_over


def test_a_byte_at_a_time_is_as_good(authority: Authority) -> None:
    near, far = client(authority), server(authority.make())
    near.begin()
    for _ in range(5):
        for one, other in ((far, near), (near, far)):
            for byte in other.outgoing():
                assert one.receive(bytes([byte])) == b""
    assert near.established and far.established


def test_a_certificate_that_has_expired(authority: Authority) -> None:
    far = server(authority.make(days=(-30, -1)))
    assert why_not(client(authority), far) == ("expired", "the certificate has expired")


def test_a_certificate_that_is_not_valid_yet(authority: Authority) -> None:
    far = server(authority.make(days=(1, 30)))
    assert why_not(client(authority), far)[0] == "not-yet-valid"


def test_a_self_signed_certificate(authority: Authority) -> None:
    kind, text = why_not(client(authority), server(authority.make(self_signed=True)))
    assert (kind, "self-signed" in text) == ("self-signed", True)


def test_a_certificate_of_an_authority_that_nobody_knows(
    authority: Authority, tmp_path: Path
) -> None:
    far = server(Authority(tmp_path, "Somebody Else").make())
    assert why_not(client(authority), far) == (
        "unknown-ca",
        "nobody who is trusted vouches for the certificate",
    )


def test_a_certificate_for_another_name_tells_its_names(authority: Authority) -> None:
    far = server(authority.make(names=["a.example", "sip:b.example", "10.0.0.1"]))
    assert why_not(client(authority), far) == (
        "wrong-name",
        "the certificate is for a.example, sip:b.example, 10.0.0.1, not for sip.example.com",
    )
    many = server(authority.make(names=[f"n{number}.example" for number in range(20)]))
    assert why_not(client(authority), many)[1].endswith(" and 15 more, not for sip.example.com")


def test_a_certificate_may_be_trusted_itself(authority: Authority) -> None:
    made = authority.make(self_signed=True)
    near = TlsLayer(ClientSecurity("trunks.t", NAME, ca=str(made.path)))
    assert shake_hands(near, server(made)) == {}
    leaf = authority.make()
    near = TlsLayer(ClientSecurity("trunks.t", NAME, ca=str(leaf.path)))
    assert shake_hands(near, server(leaf)) == {}


def test_an_address_may_be_the_name(authority: Authority) -> None:
    near = client(authority, "127.0.0.1")
    assert shake_hands(near, server(authority.make(names=["127.0.0.1"]))) == {}
    kind, _ = why_not(client(authority, "127.0.0.2"), server(authority.make()))
    assert kind == "wrong-name"


def test_unchecked_anybody_is_taken(authority: Authority) -> None:
    far = server(authority.make(names=["other.example"], days=(-9, -1), self_signed=True))
    near = TlsLayer(ClientSecurity("trunks.t", NAME, verify=False))
    assert shake_hands(near, far) == {}
    assert near.certificate is not None and near.certificate.dns_names == ("other.example",)


def test_the_system_trusts_none_of_ours(authority: Authority) -> None:
    near = TlsLayer(ClientSecurity("trunks.t", NAME))
    assert why_not(near, server(authority.make()))[0] in ("unknown-ca", "self-signed")


def test_both_ends_may_show_a_certificate(authority: Authority) -> None:
    near = client(authority, own=authority.make("me", ["me.example"]))
    far = server(authority.make(), authority.path)
    assert shake_hands(near, far) == {}
    assert far.certificate is not None and far.certificate.common_name == "me"


def test_who_shows_no_certificate_where_one_is_wanted_is_told(authority: Authority) -> None:
    failed = shake_hands(client(authority), server(authority.make(), authority.path))
    assert failed["far"].trouble == Trouble("no-certificate", "the far end showed no certificate")
    assert failed["near"].trouble.kind == "client-certificate-wanted"
    assert "tls_certificate" in failed["near"].trouble.text


@pytest.mark.parametrize(
    ("days", "words"),
    [((-30.0, -1.0), "our certificate has expired"), ((-1.0, 30.0), "who vouches for")],
)
def test_who_shows_a_wrong_certificate_is_told(
    authority: Authority, tmp_path: Path, days: tuple[float, float], words: str
) -> None:
    signer = authority if days[1] < 0 else Authority(tmp_path, "Unknown")
    near = client(authority, own=signer.make("me", days=days))
    failed = shake_hands(near, server(authority.make(), authority.path))
    assert failed["near"].trouble.kind == "client-certificate-refused"
    assert words in failed["near"].trouble.text


def aged(context: ssl.SSLContext) -> None:
    """It speaks nothing newer than TLS 1.1."""
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_older_versions_are_not_spoken(authority: Authority) -> None:
    far = ServerSecurity("sip", *_files(authority.make()))
    near = ClientSecurity("trunks.t", NAME, ca=authority.path)
    assert far.context.minimum_version == near.context.minimum_version == ssl.TLSVersion.TLSv1_2
    aged(far.context)
    assert why_not(TlsLayer(near), TlsLayer(far))[0] == "protocol"
    old, new = ClientSecurity("trunks.t", NAME), server(authority.make())
    aged(old.context)
    assert shake_hands(TlsLayer(old), new)["far"].trouble.kind == "protocol"


def test_ciphers_that_do_not_meet(authority: Authority) -> None:
    far = ServerSecurity("sip", *_files(authority.make()))
    far.context.maximum_version = ssl.TLSVersion.TLSv1_2
    far.context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    near = ClientSecurity("trunks.t", NAME, ca=authority.path)
    near.context.maximum_version = ssl.TLSVersion.TLSv1_2
    near.context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    kind, text = why_not(TlsLayer(near), TlsLayer(far))
    assert (kind, "cipher" in text) == ("protocol", True)


@pytest.mark.parametrize(
    "data", [b"SIP/2.0 400 Bad Request\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 99]
)
def test_an_answer_that_is_no_tls_says_so(authority: Authority, data: bytes) -> None:
    near = client(authority)
    near.begin()
    with pytest.raises(TlsFailed) as failed:
        near.receive(data)
    assert failed.value.trouble.kind in ("no-tls", "other")
    if data[:1] != b"\0":
        assert failed.value.trouble == Trouble("no-tls", "what answers there is not TLS")


@pytest.mark.parametrize("data", [b"INVITE sip:a@b SIP/2.0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_question_that_is_no_tls_is_refused(authority: Authority, data: bytes) -> None:
    with pytest.raises(TlsFailed) as failed:
        server(authority.make()).receive(data)
    assert failed.value.trouble.kind == "no-tls"


def test_a_handshake_without_end_is_cut_off(authority: Authority) -> None:
    far = server(authority.make())
    # one long handshake message in records of 16 kB, of which there may be 128 kB
    piece = b"\x16\x03\x01\x40\x00" + b"\x01\x00\xff\xff" + b"\0" * 16_380

    def send(pieces: int) -> None:
        for _ in range(pieces):
            far.receive(piece)

    with pytest.raises(TlsFailed):
        send(12)


def _files(made: Made) -> tuple[str, str]:
    return str(made.path), str(made.key_path)


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (ssl.SSLEOFError(8, "EOF occurred"), "closed"),
        (ConnectionResetError("reset"), "other"),
        (ssl.SSLError(1, "no reason at all"), "other"),
    ],
)
def test_every_error_has_words(error: OSError, trouble: str) -> None:
    found = trouble_of(error)
    assert found.kind == trouble
    assert found.text
