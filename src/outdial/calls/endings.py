"""Why a leg ended, in the words the API uses. Pure.

Every way a leg can end is one row here; docs/reference/causes.md is checked against `CAUSES`.
"""

from __future__ import annotations

from outdial.calls import codes
from outdial.errors import Refused
from outdial.legs import Ending, NoRtp, Outcome, Rejected, Released, Source

CAUSES: dict[str, str] = {
    "normal-clearing": "Somebody hung up after the answer, or the document ended.",
    "user-busy": "The callee is busy (486, 600).",
    "call-rejected": "The callee declined (603, 607, 608) or the network forbids the call (403).",
    "no-answer": "It rang until the time was up, or the callee did not take it (408, 480).",
    "originator-cancel": "The call was hung up by the API or by the other party before the answer.",
    "unallocated-number": "Nobody has that number (404, 410, 484, 485, 604).",
    "incompatible-destination": "No common audio codec, or no usable answer (415, 488, 606).",
    "authentication-failed": "The trunk did not accept the credentials (401, 407).",
    "trunk-unreachable": "No trunk answered: DNS, connection, or no response within 32 seconds.",
    "trunk-not-registered": "The trunk takes calls only while we are registered, and we are not.",
    "carrier-failure": "Every trunk that could be tried failed (5xx), or wanted no calls "
    "(Retry-After).",
    "protocol-error": "The far side sent something that SIP does not allow, or any other 4xx/6xx; "
    "487 that nobody had asked for is one.",
    "moved": "The carrier wanted the call sent elsewhere (3xx), which Outdial does not follow.",
    "time-limit": "The call reached its time limit.",
    "media-timeout": "No audio arrived from the far end for too long.",
    "media-failure": "The process that carried the audio died, or no port was free.",
    "session-lost": "The far side no longer knew the call, or its session timer ran out.",
    "application-error": "The voice application could not be reached or sent something unusable.",
    "trunk-full": "No trunk of the route had a channel free. Only second legs do not wait for one.",
    "no-route": "No trunk takes this number.",
    "destination-refused": "The number may not be dialled: by the settings, or with that API key.",
    "caller-id-refused": "The API key may not show that caller ID.",
    "minutes-used-up": "The server, its API key or the trunk had talked its `minutes_per_day`.",
    "policy-refused": "The number is not to be called, or not at this hour.",
    "internal-error": "A defect of Outdial's own; the log has the details.",
    "server-shutdown": "Outdial was stopped while the call was up.",
    "server-restart": "Outdial was stopped hard and found the call unfinished when it came back.",
    "not-acknowledged": "The record was away: the post got 503, and the call was not dialled.",
    "expired-in-queue": "It waited for its turn, or for Outdial to come back, for too long.",
}

_BY_STATUS: dict[int, tuple[Outcome, str, Source]] = {
    486: (Outcome.BUSY, "user-busy", Source.CALLEE),
    600: (Outcome.BUSY, "user-busy", Source.CALLEE),
    603: (Outcome.FAILED, "call-rejected", Source.CALLEE),
    607: (Outcome.FAILED, "call-rejected", Source.CALLEE),
    608: (Outcome.FAILED, "call-rejected", Source.CARRIER),
    403: (Outcome.FAILED, "call-rejected", Source.CARRIER),
    408: (Outcome.NO_ANSWER, "no-answer", Source.CALLEE),
    480: (Outcome.NO_ANSWER, "no-answer", Source.CALLEE),
    404: (Outcome.FAILED, "unallocated-number", Source.CARRIER),
    410: (Outcome.FAILED, "unallocated-number", Source.CARRIER),
    484: (Outcome.FAILED, "unallocated-number", Source.CARRIER),
    485: (Outcome.FAILED, "unallocated-number", Source.CARRIER),
    604: (Outcome.FAILED, "unallocated-number", Source.CARRIER),
    415: (Outcome.FAILED, "incompatible-destination", Source.CALLEE),
    488: (Outcome.FAILED, "incompatible-destination", Source.CALLEE),
    606: (Outcome.FAILED, "incompatible-destination", Source.CALLEE),
    401: (Outcome.FAILED, "authentication-failed", Source.CARRIER),
    407: (Outcome.FAILED, "authentication-failed", Source.CARRIER),
}

_BY_CODE = {
    codes.MINUTES_USED_UP: "minutes-used-up",
    codes.DO_NOT_CALL: "policy-refused",
    codes.CALLING_HOURS: "policy-refused",
    codes.KEY_CALLER: "caller-id-refused",
}
_TRY_NEXT_CAUSES = frozenset({2, 3, 27, 34, 38, 41, 42, 44, 47})
"""Q.850: no route, destination out of order, no circuit, network trouble, congestion."""


def of_rejection(rejected: Rejected) -> Ending:
    """How an INVITE that was not answered ended."""
    status = rejected.status
    if rejected.unregistered:
        return Ending(
            Outcome.FAILED, "trunk-not-registered", Source.OUTDIAL, status, rejected.reason
        )
    if rejected.local and rejected.retry_after_s is not None:
        detail = f"the trunk was not called: {rejected.reason}"
        return Ending(Outcome.FAILED, "carrier-failure", Source.CARRIER, status, detail)
    if rejected.local:
        return Ending(
            Outcome.FAILED,
            "trunk-unreachable",
            Source.CARRIER,
            status,
            f"no usable answer from the trunk: {rejected.reason}",
        )
    if status in _BY_STATUS:
        outcome, cause, source = _BY_STATUS[status]
    elif 300 <= status < 400:
        outcome, cause, source = Outcome.FAILED, "moved", Source.CARRIER
    elif 500 <= status < 600:
        outcome, cause, source = Outcome.FAILED, "carrier-failure", Source.CARRIER
    else:
        outcome, cause, source = Outcome.FAILED, "protocol-error", Source.CARRIER
    detail = f"the far side said {status} {rejected.reason}"
    if status in (401, 407):
        detail += ": it does not take trunks.username and trunks.password"
    return Ending(outcome, cause, source, status, detail)


def of_refusal(status: int, source: Source, detail: str) -> Ending:
    """How a call towards us ended that was refused with the SIP status, and why."""
    outcome, cause, _ = _BY_STATUS.get(
        status, (Outcome.FAILED, "call-rejected", Source.APPLICATION)
    )
    return Ending(outcome, cause, source, status, detail)


def of_given_up(rejected: Rejected) -> Ending:
    """How a call towards us ended that signalling refused by itself: it rang for too long, or a
    response that the caller wants acknowledged by PRACK never was."""
    if rejected.status == 480:
        return Ending(
            Outcome.NO_ANSWER,
            "no-answer",
            Source.OUTDIAL,
            480,
            "the application did not answer it for so long that the caller is thought to be gone",
        )
    return Ending(
        Outcome.FAILED,
        "protocol-error",
        Source.CALLER,
        rejected.status,
        f"the caller required something that it then did not do: {rejected.reason}",
    )


def of_release(released: Released) -> Ending:
    """How an answered leg ended that we did not end ourselves."""
    if released.by_far_end:
        return Ending(
            Outcome.COMPLETED, "normal-clearing", Source.CALLEE, 200, "the callee hung up"
        )
    return Ending(
        Outcome.COMPLETED,
        "session-lost",
        Source.CARRIER,
        released.status,
        f"the dialog was lost: {released.reason or 'no reason given'}",
    )


def of_silence(silence: NoRtp) -> Ending:
    """How an answered leg ended on which nothing was heard any more."""
    detail = f"no audio from the far end for {silence.seconds:.0f} s"
    if silence.unauthentic:
        detail += f"; {silence.unauthentic} packets came that its SRTP key does not fit"
    return Ending(Outcome.COMPLETED, "media-timeout", Source.OUTDIAL, detail=detail)


def of_shown_keys(trunk: str) -> Ending:
    """How a leg to an address ended whose keys everybody on the way could have read."""
    return Ending(
        Outcome.FAILED,
        "incompatible-destination",
        Source.OUTDIAL,
        detail=f"srtp is mandatory for the trunk {trunk}: its addresses are dialled over TLS only, "
        "with sips: or ;transport=tls",
    )


def of_full_trunks(number: str) -> Ending:
    """How a leg ended that could not wait for a channel: as at a carrier that has none free."""
    return Ending(
        Outcome.FAILED,
        "trunk-full",
        Source.OUTDIAL,
        503,
        f"every trunk that takes {number} has as many calls as trunks.concurrent_calls allows",
    )


def of_gate(refused: Refused) -> Ending:
    """How a leg ended that might not be dialled when its turn came."""
    return Ending(
        Outcome.FAILED,
        _BY_CODE.get(refused.code, "destination-refused"),
        Source.OUTDIAL,
        detail=f"{refused.message} (code {refused.code})",
    )


def may_try_next_trunk(rejected: Rejected) -> bool:
    """Whether another trunk may help: 5xx, timeout, no route; never busy or decline."""
    if rejected.local or 500 <= rejected.status < 600:
        return True
    return rejected.q850_cause in _TRY_NEXT_CAUSES and rejected.status not in (486, 600, 603)
