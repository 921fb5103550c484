"""What somebody said, out of a few things they may say: the control process's side.

The work is done in processes of their own (`recognition_process`), which are few, are ended when
they take too long, and cost nobody a call when they are lost.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Sequence

from outdial.errors import SpeechError
from outdial.frozen import frozen
from outdial.speech import frames
from outdial.speech.pool import HelperLost, HelperPool, JobRefused

PACKAGE = "pocketsphinx"
PROGRAM = "outdial.speech.recognition_process"
REMEDY = "pip install 'outdial[recognition]'"
MOST_WAITING = 50
"""Utterances that are recognised or wait for it: more would not be heard in time."""
JOB_S = 5.0
"""It takes a tenth of the time that was spoken; a process that takes so long hangs."""
TIMEOUT_S = 10.0
"""With the waiting for a process: nobody waits longer at a telephone."""
LANGUAGE = "en"
"""Of the one model that PocketSphinx brings."""


@frozen
class Heard:
    """What was recognised."""

    hint: str
    """As it was given; "" when it was none of them."""
    confidence: float
    """0 to 1; 0 when it was none of them."""
    unknown: tuple[str, ...] = ()
    """Hints that cannot be recognised: a word of theirs is not in the dictionary."""


class Recognizer:
    """Recognises hints. `stop` ends its processes; nothing runs before the first word is heard."""

    def __init__(self, pool: HelperPool | None = None) -> None:
        # one a core, less one that is left for audio and signalling
        size = max(1, (os.cpu_count() or 1) - 1)
        self._pool = pool or HelperPool(size, PROGRAM)
        self._running: set[asyncio.Future[frames.Head]] = set()

    @property
    def pids(self) -> list[int]:
        """The processes that run now."""
        return self._pool.pids

    def problem(self, language: str) -> str:
        """Why nothing in that language can be recognised; "" when it can."""
        if not is_installed():
            return f"speech is not recognised: {PACKAGE} is not installed ({REMEDY})"
        if language.partition("-")[0] != LANGUAGE:
            return f"speech is not recognised in {language}: there is a model for English alone"
        return ""

    async def recognize(self, ulaw: bytes, hints: Sequence[str]) -> Heard:
        """Which of the hints the audio (µ-law of G.711) is. Raises SpeechError."""
        if len(self._running) >= MOST_WAITING:
            raise SpeechError("too much is said at once for this machine")
        head = {"job": "recognize", "hints": list(hints)}
        job = asyncio.ensure_future(self._pool.run(head, ulaw, timeout_s=JOB_S))
        self._running.add(job)
        job.add_done_callback(self._finished)
        try:
            # Who hangs up meanwhile does not end the process, which others wait for.
            async with asyncio.timeout(TIMEOUT_S):
                reply = await asyncio.shield(job)
            return Heard(str(reply["hint"]), float(reply["confidence"]), tuple(reply["unknown"]))
        except TimeoutError:
            raise SpeechError(f"it was not recognised within {TIMEOUT_S:g} s") from None
        except (JobRefused, HelperLost) as error:
            raise SpeechError(str(error)) from None
        except (KeyError, TypeError, ValueError):
            raise SpeechError("the recogniser's answer makes no sense") from None

    def _finished(self, job: asyncio.Future[frames.Head]) -> None:
        self._running.discard(job)
        if not job.cancelled():
            job.exception()  # who waited for it has it, if anybody still does

    async def version(self) -> str:
        """Of PocketSphinx, once a process has its model open. Raises SpeechError."""
        if problem := self.problem(LANGUAGE):
            raise SpeechError(problem)
        try:
            reply = await self._pool.run({"job": "describe"}, timeout_s=TIMEOUT_S)
        except (JobRefused, HelperLost) as error:
            raise SpeechError(str(error)) from None
        return str(reply["version"])

    async def stop(self) -> None:
        """Ends the processes."""
        await self._pool.stop()


def is_installed() -> bool:
    """Whether the optional package is there."""
    return importlib.util.find_spec(PACKAGE) is not None
