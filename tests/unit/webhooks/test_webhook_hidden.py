"""A `secretKey` that the record has encrypted is sent as it was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from outdial.clock import SystemClock
from outdial.net.overrides import Overrides
from outdial.store.records import DeliveryRecord
from outdial.stored_file import SealingKeys
from outdial.webhooks.attempt import attempt

KEYS = SealingKeys([b"k" * 32])
PLAIN = (("callSid", "CA1"), ("apikey", "a secret"))


class Client:
    """Remembers what it was to send."""

    def __init__(self) -> None:
        self.sent: Sequence[tuple[str, str]] = ()

    async def request(
        self, method: str, url: str, *, params: Sequence[tuple[str, str]] = (), **how: Any
    ) -> Any:
        self.sent = params
        raise RuntimeError("enough")


async def sent(params: Sequence[tuple[str, str]], keys: SealingKeys) -> list[tuple[str, str]]:
    client = Client()
    delivery = DeliveryRecord("DE1", "CA1", "", 0, "completed", "", "POST", tuple(params), 0.0)
    await attempt(client, SystemClock(), delivery, "http://x/", Overrides(), 1.0, keys)
    return list(client.sent)


def hidden(keys: SealingKeys) -> tuple[tuple[str, str], ...]:
    return (PLAIN[0], ("apikey", keys.hide("a secret")))


async def test_it_is_shown_to_the_receiver_alone() -> None:
    stored = hidden(KEYS)
    assert "a secret" not in repr(stored)
    assert await sent(stored, KEYS) == list(PLAIN)


async def test_one_that_was_stored_in_clear_is_sent_too() -> None:
    assert await sent(PLAIN, KEYS) == list(PLAIN)
    assert await sent(hidden(SealingKeys()), SealingKeys()) == list(PLAIN)
    assert await sent(PLAIN[:1], KEYS) == list(PLAIN[:1])


async def test_without_its_key_the_callback_goes_without_it_and_the_log_says_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert await sent(hidden(KEYS), SealingKeys([b"x" * 32])) == [PLAIN[0]]
    told = capsys.readouterr()
    assert "storage.encryption_key_file" in told.out + told.err
