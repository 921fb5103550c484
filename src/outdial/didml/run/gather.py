"""Gather: digits keyed by the caller, asked for again when too few came.

Where the language's own pages are silent this does as FreeSWITCH's play_and_get_digits, whose
arguments the attributes are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from outdial.didml.run import pause, play, say
from outdial.didml.run.host import Host
from outdial.didml.run.keys import Keys
from outdial.didml.run.outcome import CONTINUE, DocumentRequest, Goto, HangUp, Next
from outdial.didml.run.prompt import until_key
from outdial.didml.verbs import Gather, Pause, Play, Say

_RUNNERS: dict[type[Say | Play | Pause], Callable[[Any, Host], Awaitable[Next]]] = {
    Say: say.run,
    Play: play.run,
    Pause: pause.run,
}


async def run(verb: Gather, host: Host) -> Next:
    """Asks and listens, `tries` times at most. The digits are for `action` alone."""
    # A finish key in front of everything ended the input before, or is a slip: it would only
    # cost a try.
    host.keys.drop_leading(verb.finish_on_key)
    for attempt in range(1, verb.tries + 1):
        stopped = await _prompt(verb, host)
        if stopped is not None:
            return stopped
        digits = await _collect(verb, host.keys)
        if digits is None:
            continue
        host.note("verb.ended", verb="Gather", result="digits", count=len(digits), tries=attempt)
        if not verb.action:
            return CONTINUE
        return Goto(DocumentRequest(verb.action, verb.method, (("Digits", digits),)))
    host.note("verb.ended", verb="Gather", result="no-digits", tries=verb.tries)
    return CONTINUE


async def _prompt(verb: Gather, host: Host) -> HangUp | None:
    """Runs the verbs inside until they end or a key is pressed. HangUp: the audio was lost."""
    if not verb.prompt or host.keys.any_waiting:
        return None
    return await until_key(host, _ask(verb, host))


async def _ask(verb: Gather, host: Host) -> HangUp | None:
    for part in verb.prompt:
        host.note("verb.started", verb=type(part).__name__, text=part.summary(), line=part.line)
        following = await _RUNNERS[type(part)](part, host)
        if isinstance(following, HangUp):
            return following
    return None


async def _collect(verb: Gather, keys: Keys) -> str | None:
    """The digits of one try; None when they are too few."""
    digits = ""
    while len(digits) < verb.num_digits:
        key = await keys.take(verb.timeout_s)
        if key is None or key == verb.finish_on_key:
            break
        digits += key
    return digits if len(digits) >= verb.min_digits else None
