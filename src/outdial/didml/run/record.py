"""Record: a message of the caller."""

from __future__ import annotations

import asyncio

from outdial.didml.run import say
from outdial.didml.run.host import Host, Params, Take, TakeEnd
from outdial.didml.run.keys import Keys
from outdial.didml.run.outcome import CONTINUE, DocumentRequest, Goto, HangUp, Next
from outdial.didml.run.prompt import until_key
from outdial.didml.verbs import Record, Say
from outdial.errors import SoundError
from outdial.legs import PlayEnd

MOST_TAKES = 10
"""The last one counts, whatever is keyed then."""
CHOICE = Say(
    "To keep your message, press 1. To listen to it, press 2. To record it again, press 3.",
    language="en",
)
CHOICE_WAIT_S = 5.0
MOST_QUESTIONS = 3
"""A message whose speaker says nothing more is kept: to lose it would be worse."""

_LOST = HangUp("the audio stream was lost")


async def run(verb: Record, host: Host) -> Next:
    """Records, lets the caller choose if the verb says so, and tells `action`."""
    for number in range(1, MOST_TAKES + 1):
        if verb.beep and await host.media.tone("beep") is PlayEnd.LOST:
            return _LOST
        # Keys pressed before were meant for something else, and would end it at once.
        host.keys.clear()
        take = host.record(float(verb.max_length_s), float(verb.timeout_s))
        try:
            end = await _take(verb, host, take)
            if end.error or end.is_empty:
                return await _nothing(host, take, end)
            if verb.confirm and number < MOST_TAKES and not await _is_confirmed(host, take):
                await take.discard()
                continue
            await take.keep()
        except asyncio.CancelledError:
            # Who hangs up after the beep has left a message: that is how most of them end.
            host.later(_tell_afterwards(verb, host, take))
            raise
        break
    host.note(
        "verb.ended", verb="Record", result="recorded", recording=take.sid, ms=end.duration_ms
    )
    if not verb.action:
        return CONTINUE
    return Goto(DocumentRequest(verb.action, verb.method, tuple(_params(verb, host, take, end))))


async def _take(verb: Record, host: Host, take: Take) -> TakeEnd:
    """Until the finish key, or what ends it by itself; hanging up and a redirect cancel this."""
    ended = asyncio.ensure_future(take.end())
    pressed = asyncio.ensure_future(_finish_key(verb, host.keys))
    try:
        await asyncio.wait((ended, pressed), return_when=asyncio.FIRST_COMPLETED)
    finally:
        take.stop()  # also for one whom another document takes away
        ended.cancel()
        pressed.cancel()
        await asyncio.gather(ended, pressed, return_exceptions=True)
    return await take.end()


async def _finish_key(verb: Record, keys: Keys) -> None:
    while True:
        key = await keys.take(None)
        if key is not None and key in verb.finish_on_key:
            return


async def _nothing(host: Host, take: Take, end: TakeEnd) -> Next:
    result = "failed" if end.error else "empty"
    if not end.error:
        await take.discard()
    host.note("verb.ended", verb="Record", result=result, recording=take.sid, ms=end.duration_ms)
    return CONTINUE


async def _is_confirmed(host: Host, take: Take) -> bool:
    """1 keeps the message, 2 plays it, 3 records again."""
    host.keys.clear()
    unanswered = 0
    while unanswered < MOST_QUESTIONS:
        if not host.keys.any_waiting:
            await until_key(host, say.run(CHOICE, host))
        match await host.keys.take(CHOICE_WAIT_S):
            case "1":
                return True
            case "2":
                await until_key(host, _play(host, take))
            case "3":
                return False
            case _:
                unanswered += 1
    return True


async def _play(host: Host, take: Take) -> None:
    try:
        await host.media.queue(await take.clip())
    except SoundError as error:
        host.note("verb.warning", verb="Record", message=str(error), language="")


async def _tell_afterwards(verb: Record, host: Host, take: Take) -> None:
    """The call is over: `action` is notified of the message, its answer thrown away."""
    end = await take.end()
    if end.error or end.is_empty:
        await _nothing(host, take, end)
        return
    await take.keep()
    host.note(
        "verb.ended", verb="Record", result="recorded", recording=take.sid, ms=end.duration_ms
    )
    if verb.action:
        host.notify(verb.action, verb.method, _params(verb, host, take, end))


def _params(verb: Record, host: Host, take: Take, end: TakeEnd) -> Params:
    """As the vendor spells them; the last two are additions."""
    call = host.call
    params = [
        ("RecordingUrl", take.url),
        ("callid", call.sid),
        ("dialednumber", call.to),
        ("callerid", call.from_),
        ("callername", call.caller_name),
        ("RecordingDuration", str((end.duration_ms + 500) // 1000)),
    ]
    return [*params, ("fileID", verb.file_id)] if verb.file_id else params
