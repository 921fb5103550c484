"""Verifying what a test's web server received."""

from __future__ import annotations

import pytest

from outdial.clock import SystemClock
from outdial.net.addresses import AddressPolicy
from outdial.net.client import HttpClient
from outdial.testing.signatures import SignatureError, signed_payload, verify
from outdial.testing.web import WebServer
from outdial.webhooks.secret_file import Signing
from outdial.webhooks.sign import new_secret

SECRET, OTHER = new_secret(b"a" * 24), new_secret(b"b" * 64)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_that_arrived_is_verified(method: str) -> None:
    with WebServer() as web:
        client = HttpClient(AddressPolicy(["127.0.0.0/8"]), signer=Signing(SystemClock(), [SECRET]))
        await client.request(method, web.collect("/cb") + "?mine=1", params=[("To", "+1 2")])
        await client.close()
        (request,) = web.requests
    payload = signed_payload(request)
    assert payload == (b"mine=1&To=%2B1+2" if method == "GET" else b"To=%2B1+2")
    assert verify(SECRET, request.headers, payload) == request.headers["webhook-id"]
    at = float(request.headers["webhook-timestamp"])
    with pytest.raises(SignatureError, match="no signature fits"):
        verify(OTHER, request.headers, payload)
    with pytest.raises(SignatureError, match="301 s off"):
        verify(SECRET, request.headers, payload, now=at + 301.0)
