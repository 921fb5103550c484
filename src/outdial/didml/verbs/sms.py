"""Sms: a text message to send."""

from __future__ import annotations

from outdial.didml.rows import Attribute, Body, VerbRow
from outdial.didml.shown import short
from outdial.didml.values import METHOD, PHONE, TEXT, URL, Kind, text_to
from outdial.didml.verbs.attributes import action
from outdial.frozen import frozen

_ADDRESSEE = Kind("text, a phone number", text_to(60).convert)
"""Not `PHONE`: a slip must fail the message, and not send it to the default, who is another."""


@frozen
class Sms:
    """Sends a text message; the call goes on at once."""

    text: str
    to: str = ""
    """"" for the other party of the call."""
    from_: str = ""
    """"" for our number on the call."""
    action: str = ""
    """Absolute URL that is told what is known of it and whose answer takes over; "" for none."""
    method: str = "POST"
    status_callback: str = ""
    """Absolute URL that is told what became of it."""
    status_callback_method: str = "POST"
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return short(self.text)


ROW = VerbRow(
    "Sms",
    "Sends a text message. The next verb runs as soon as the message is kept, without waiting for "
    "what becomes of it.",
    Sms,
    Body("text", TEXT, "The message, up to `sms.max_characters`."),
    (
        Attribute(
            "to",
            _ADDRESSEE,
            "",
            "Who gets it. What is no number fails the message.",
            "to",
            shown_default="the caller; of a call that we placed, who was called",
        ),
        Attribute(
            "from",
            PHONE,
            "",
            "Whom it comes from.",
            "from_",
            shown_default="the called number; of a call that we placed, its caller ID",
        ),
        *action(
            "Gets `SmsSid` and `SmsStatus` and decides what comes next; asked within 5 s, whatever "
            "has become of the message by then."
        ),
        Attribute(
            "statusCallback", URL, "", "Told once what became of the message.", "status_callback"
        ),
        Attribute(
            "statusCallbackMethod",
            METHOD,
            "POST",
            "Method of the request to `statusCallback`.",
            "status_callback_method",
        ),
    ),
    example=(
        '  <Sms to="12025550177" statusCallback="/texts">Your table is ready.</Sms>\n'
        "  <Say>We have sent you a message.</Say>\n"
    ),
    notes=(
        "`SmsStatus` is `sent` (the trunk or the gateway took it), `failed` (`SmsError` says why), "
        "and for `action` also `queued` or `sending`. Whether a telephone got it is not known.",
        "It goes over the trunks as a call to the number would, by SIP MESSAGE, or through the "
        "gateway of the settings: [text messages](../../guides/text-messages.md). "
        "`limits.destinations`, `limits.premium_rate` and `limits.satellite` hold for it.",
        "A message is sent at most once. One that waits when the server is stopped is sent "
        "afterwards; one that was being sent just then may have arrived, and is told as `failed`.",
        "A call towards us is not answered for it: `Sms` and then `Reject` answers by text.",
    ),
)
