"""One attempt to deliver a callback: the request, and what is kept of how it went."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from outdial import log
from outdial.clock import Clock
from outdial.errors import FetchError, StoredFileError
from outdial.net.overrides import Overrides
from outdial.net.trace import Trace
from outdial.store.records import DeliveryRecord
from outdial.stored_file import SealingKeys
from outdial.webhooks.payloads import SECRET_PARAM
from outdial.webhooks.schedule import is_delivered

_MOST_ANSWER_BYTES = 1_000_000
"""Nobody reads the answer's body, but an answer is not a failure for having one."""
_MOST_ERROR = 500

_NO_KEYS = SealingKeys()

_log = log.get("webhooks")


class Answer(Protocol):
    """What an attempt needs of net.client.HttpResponse."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


class Client(Protocol):
    """What an attempt needs of net.client.HttpClient."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Sequence[tuple[str, str]] = (),
        timeout_s: float = 10.0,
        max_bytes: int = 65536,
        message_id: str = "",
        connect_timeout_s: float | None = None,
        read_timeout_s: float | None = None,
        trace: Trace | None = None,
    ) -> Answer: ...


@dataclass(slots=True)
class Attempt:
    """How it went."""

    at: float
    """Wall time it began, seconds."""
    ms: float
    status: int | None = None
    """Of the answer, None when there was no complete one."""
    error: str = ""
    """Why it is tried again, or was given up; "" when it was delivered."""
    kind: str = ""
    """The FetchError's; "" when there was an answer."""
    retry_after_s: float | None = None
    trace: Trace | None = None

    @property
    def answered(self) -> bool:
        """Whether the receiver did its part, whatever it said."""
        return self.status is not None

    def to_json(self) -> dict[str, Any]:
        """As it is kept in DeliveryRecord.tries."""
        kept: dict[str, Any] = {
            "at": round(self.at, 3),
            "ms": round(self.ms, 1),
            "status": self.status,
            "error": self.error,
        }
        trace = self.trace
        if trace is not None:
            kept["peer"] = trace.peer
            if trace.signature:
                kept["timestamp"] = trace.timestamp
                kept["signature"] = trace.signature
            kept["head"] = trace.head()
        return kept


async def attempt(
    client: Client,
    clock: Clock,
    delivery: DeliveryRecord,
    url: str,
    overrides: Overrides,
    timeout_s: float,
    keys: SealingKeys = _NO_KEYS,
) -> Attempt:
    """Sends the callback once, with the secret in it that `keys` may have hidden in the record.
    Never raises, but when it is cancelled."""
    trace = Trace()
    made = Attempt(clock.now(), 0.0, trace=trace)
    started = clock.monotonic()
    try:
        answer = await client.request(
            delivery.method,
            url,
            params=_shown(delivery, keys),
            timeout_s=overrides.total_s or timeout_s,
            max_bytes=_MOST_ANSWER_BYTES,
            message_id=delivery.event_id or delivery.id,
            connect_timeout_s=overrides.connect_s,
            read_timeout_s=overrides.read_s,
            trace=trace,
        )
        made.status = answer.status
        if not is_delivered(answer.status):
            made.error = f"answered {answer.status}"
            made.retry_after_s = retry_after_s(answer.headers.get("Retry-After"), clock.now())
    except FetchError as problem:
        made.status, made.kind = problem.status, problem.kind
        made.error = log.escape(f"{problem.kind}: {problem}"[:_MOST_ERROR])
    except Exception as problem:  # a defect, but the lane must not stand still for it
        _log.exception("callback attempt failed", delivery=delivery.id)
        made.kind = "internal"
        made.error = f"internal: {type(problem).__name__}"
    made.ms = (clock.monotonic() - started) * 1000.0
    return made


def _shown(delivery: DeliveryRecord, keys: SealingKeys) -> Sequence[tuple[str, str]]:
    """The parameters as they are sent. Without its key a secret cannot be: the receiver will
    refuse that, or not."""
    if SECRET_PARAM not in dict(delivery.params):
        return delivery.params
    shown = []
    for name, value in delivery.params:
        if name != SECRET_PARAM:
            shown.append((name, value))
            continue
        try:
            shown.append((name, keys.show(value)))
        except (StoredFileError, ValueError) as error:
            _log.error("secretKey cannot be sent", delivery=delivery.id, reason=str(error))
    return shown


def retry_after_s(text: str | None, now: float) -> float | None:
    """RFC 9110 section 10.2.3: seconds or a date; None for anything else."""
    if not text:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    with contextlib.suppress(ValueError, OverflowError, TypeError):
        at = parsedate_to_datetime(text)
        return max(0.0, at.replace(tzinfo=at.tzinfo or UTC).timestamp() - now)
    return None
