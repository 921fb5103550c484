"""Play: an audio file from the web, or digits."""

from __future__ import annotations

from outdial.didml.run.host import Host
from outdial.didml.run.outcome import CONTINUE, HangUp, Next
from outdial.didml.verbs import Play
from outdial.errors import FetchError, SoundError
from outdial.legs import PlayEnd


async def run(verb: Play, host: Host) -> Next:
    """Sends the digits, then plays the file.

    A file that cannot be had is skipped, as the timeline then says.
    """
    if verb.digits:
        host.note("digits.sent", count=sum(letter not in "wW" for letter in verb.digits))
        if await host.media.send_digits(verb.digits) is PlayEnd.LOST:
            return HangUp("the audio stream was lost")
        if not verb.url:
            return CONTINUE
    try:
        clip = await host.sound(verb.url)
    except (FetchError, SoundError) as error:
        host.note("verb.ended", verb="Play", result="skipped", problem=str(error))
        return CONTINUE
    if clip.duration_ms <= 0:
        host.note("verb.ended", verb="Play", result="skipped", problem="the file holds no sound")
        return CONTINUE
    end = await host.media.queue(clip, verb.loop)
    return HangUp("the audio stream was lost") if end is PlayEnd.LOST else CONTINUE
