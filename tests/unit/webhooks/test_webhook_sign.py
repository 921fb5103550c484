"""Signatures by the Standard Webhooks scheme, with the vectors that its libraries publish."""

from __future__ import annotations

import base64
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outdial.webhooks.sign import SignatureError, Signer, new_secret, verify

# the vector of the reference libraries' tests
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
PAYLOAD = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

OTHER = new_secret(bytes(range(32)))


def headers(signature: str = SIGNATURE, **changed: str) -> dict[str, str]:
    return {
        "webhook-id": changed.get("id", ID),
        "webhook-timestamp": changed.get("timestamp", str(TIMESTAMP)),
        "webhook-signature": signature,
    }


def test_the_published_vector_is_signed_and_verified() -> None:
    assert Signer([SECRET]).sign(ID, TIMESTAMP, PAYLOAD) == SIGNATURE
    assert verify([SECRET], headers(), PAYLOAD, TIMESTAMP) == ID


@pytest.mark.parametrize(
    "signatures",
    [
        # what the reference libraries' tests take: the right one among others, of other versions
        f"v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/Wav= {SIGNATURE}",  # noqa: E501
        f"{SIGNATURE} v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=",
    ],
)
def test_one_of_several_signatures_is_enough(signatures: str) -> None:
    assert verify([SECRET], headers(signatures), PAYLOAD, TIMESTAMP) == ID


@pytest.mark.parametrize(
    ("changed", "payload", "problem"),
    [
        (headers("v1,dawfeoifkpqwoekfpqoekf"), PAYLOAD, "no signature fits"),
        (headers("g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), PAYLOAD, "no signature fits"),
        (headers(SIGNATURE.replace("v1", "v2")), PAYLOAD, "no signature fits"),
        (headers(""), PAYLOAD, "is missing"),
        (headers(id=""), PAYLOAD, "is missing"),
        (headers(timestamp=""), PAYLOAD, "is missing"),
        (headers(id="msg_other"), PAYLOAD, "no signature fits"),
        (headers(timestamp="soon"), PAYLOAD, "not a number"),
        (headers(timestamp="9" * 40), PAYLOAD, "not a number"),
        (headers(timestamp="²"), PAYLOAD, "not a number"),
        (headers(timestamp=str(TIMESTAMP - 301)), PAYLOAD, "301 s off; 300 s are allowed"),
        (headers(timestamp=str(TIMESTAMP + 301)), PAYLOAD, "301 s off"),
        (headers(timestamp=str(TIMESTAMP + 1)), PAYLOAD, "no signature fits"),
        (headers(), PAYLOAD + b" ", "no signature fits"),
        (headers(), b"", "no signature fits"),
        ({}, PAYLOAD, "is missing"),
        (headers("é " * 100), PAYLOAD, "no signature fits"),
    ],
)
def test_what_is_not_signed_right_is_told_apart(
    changed: dict[str, str], payload: bytes, problem: str
) -> None:
    with pytest.raises(SignatureError, match=problem):
        verify([SECRET], changed, payload, TIMESTAMP)


def test_while_secrets_rotate_either_verifies() -> None:
    both = Signer([OTHER, SECRET]).sign(ID, TIMESTAMP, PAYLOAD)
    assert both.split(" ")[1] == SIGNATURE
    for secret in (OTHER, SECRET):
        assert verify([secret], headers(both), PAYLOAD, TIMESTAMP) == ID
    # and a receiver may know both already
    assert verify([OTHER, SECRET], headers(), PAYLOAD, TIMESTAMP) == ID
    with pytest.raises(SignatureError):
        verify([OTHER], headers(), PAYLOAD, TIMESTAMP)


@given(st.binary(min_size=24, max_size=64), st.binary(max_size=300), st.integers(0, 2**33))
def test_it_is_the_hmac_of_rfc_2104(key: bytes, payload: bytes, timestamp: int) -> None:
    signature = Signer([new_secret(key)]).sign("EV1", timestamp, payload)
    digest = hmac.digest(key, f"EV1.{timestamp}.".encode() + payload, "sha256")
    assert signature == "v1," + base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_short", "whsec_" + "A" * 120,
     "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa S"],
)  # fmt: skip
def test_a_bad_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="is not a secret: it must be whsec_") as caught:
        Signer([secret])
    assert len(secret) < 8 or secret not in str(caught.value)
