"""The HTTP gateway of the settings that takes short messages in place of the trunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from outdial import template
from outdial.config import Sms
from outdial.errors import FetchError
from outdial.messages import MessageResult
from outdial.store.records import MessageRecord

NAME = "gateway"
"""What `MessageRecord.via` calls it."""
_MOST_BYTES = 65_536
_UNSENT = ("refused-address", "resolve", "connect", "tls", "bad-url")
"""Kinds of FetchError after which the gateway has certainly seen nothing."""


class Answer(Protocol):
    """A gateway's answer."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...


class GatewayClient(Protocol):
    """The outgoing HTTP client, as a gateway is asked by it."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        content_type: str = template.FORM,
        headers: Sequence[tuple[str, str]] = (),
        timeout_s: float = 10.0,
        max_bytes: int = 65536,
        once: bool = False,
    ) -> Answer:
        """Raises FetchError."""


class Gateway:
    """Sends each message by one request, made after the templates of the settings."""

    def __init__(self, client: GatewayClient, settings: Sms) -> None:
        self._client = client
        self._settings = settings
        lines = (line.get_secret_value().partition(":") for line in settings.gateway_headers)
        self._headers = [(name, value.strip()) for name, _, value in lines]

    async def send(self, message: MessageRecord) -> MessageResult:
        """Never raises for what the gateway does. A lost answer counts as a failure: the message
        may have gone, and is not sent again."""
        settings, values = self._settings, _values(message)
        has_body = settings.gateway_method != "GET"
        body = (
            template.fill_body(settings.gateway_body, settings.gateway_content_type, values)
            if has_body
            else None
        )
        try:
            answer = await self._client.request(
                settings.gateway_method,
                template.fill_url(settings.gateway_url, values),
                body=body,
                content_type=_with_charset(settings.gateway_content_type),
                headers=self._headers,
                timeout_s=settings.gateway_timeout_s,
                max_bytes=_MOST_BYTES,
                once=True,
            )
        except FetchError as error:
            unsent = error.kind in _UNSENT
            return MessageResult(503 if unsent else 408, str(error), local=True, not_taken=unsent)
        if not 200 <= answer.status < 300:
            return MessageResult(answer.status, f"the gateway answered {answer.status}")
        if settings.gateway_expects.encode() not in answer.body:
            told = f"the gateway's answer does not contain {settings.gateway_expects!r}"
            return MessageResult(502, told, local=True)
        return MessageResult(answer.status, "")


def _values(message: MessageRecord) -> dict[str, str]:
    return {
        "from": message.from_number,
        "to": message.to_number,
        "text": message.body,
        "sid": message.sid,
        "callsid": message.call_sid,
    }


def _with_charset(content_type: str) -> str:
    kind = content_type.lower()
    return (
        f"{content_type}; charset=utf-8"
        if "charset" not in kind and "text/" in kind
        else (content_type)
    )
