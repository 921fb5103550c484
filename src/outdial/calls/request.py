"""What somebody asks for when they place a call: checked, normalised, complete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outdial.frozen import frozen

STATUS_EVENTS = ("initiated", "ringing", "answered", "completed")


@frozen
class CallRequest:
    """A call to be placed. Every value has passed its check; `to` and `from_` are E.164 digits."""

    to: str
    from_: str
    url: str = ""
    """The voice application; "" connects `from_` instead (click-to-call)."""
    method: str = "POST"
    send_digits: str = ""
    status_callback: str = ""
    status_callback_events: tuple[str, ...] = ("completed",)
    status_callback_method: str = "POST"
    secret_key: str = ""
    """Sent as `apikey` with callbacks."""
    optional: str = ""
    """Echoed with callbacks, spec A20."""
    timeout_s: int = 60
    """Ringing time."""
    time_limit_s: int = 14400
    """Longest answered time."""
    record: bool = False
    fallback_url: str = ""
    """Fetched (POST) when `url` fails."""
    trunk: str = ""
    """Name of the trunk to use; "": the routes decide."""
    caller_name: str = ""
    sip_headers: tuple[tuple[str, str], ...] = ()
    """Further header fields of the INVITE, X-… only."""

    def to_json(self) -> dict[str, Any]:
        """As stored with the call. What was not asked for of what came later is left out, so that
        a post is the same to an older version."""
        values: dict[str, Any] = {name: getattr(self, name) for name in self.__match_args__}
        if not self.sip_headers:
            del values["sip_headers"]
        return values

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CallRequest:
        """The inverse of `to_json`."""
        values = dict(data)
        values.pop("postcall", None)  # what the document asked for
        values["status_callback_events"] = tuple(values["status_callback_events"])
        values["sip_headers"] = tuple(
            [(name, value) for name, value in values.get("sip_headers", ())]
        )
        return cls(**values)
