"""A process of its own that hears which of a few hints was said, with PocketSphinx.

``python -m outdial.speech.recognition_process``; `pool` starts it and speaks `frames` with it.
It may block or be killed: nothing else runs in it. Requests (``job``): ``describe`` {} gives
{"version"}; ``recognize`` {hints} with µ-law of G.711 as body gives {"hint", "confidence",
"unknown"}; what fails gives {"error"}.

What is said is read as one of the hints and as any sounds of the language: see `confidence`.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import sys
import traceback
from importlib.metadata import version
from typing import Any

from outdial.speech import audio, frames
from outdial.speech.confidence import LEAST_CONFIDENCE, Reading, confidence_of
from outdial.speech.hints import Grammar, grammar_of

MODEL_RATE_HZ = 16000
"""The model was made from wide-band speech: what is heard is brought to its rate."""
_MEMORY_BYTES = 1 << 30
_KEPT_GRAMMARS = 50
_SHORTEST_BYTES = 800
"""Nothing is said in a tenth of a second."""
_RESERVED = frozenset({"public", "grammar", "import"})
"""Words that mean something in the grammar's own language."""
_PHONES = "en-us/en-us-phone.lm.bin"
_SILENCES = ("<", "(", "[", "SIL", "+")
"""Beginnings of the names of what is no word."""


class Recognizer:
    """The model, open. Raises OSError or RuntimeError when it cannot be."""

    def __init__(self) -> None:
        import pocketsphinx

        # With the senones all computed, scores of two searches can be compared.
        self._decoder: Any = pocketsphinx.Decoder(
            samprate=MODEL_RATE_HZ, lm=None, loglevel="FATAL", compallsen=True
        )
        self._decoder.add_allphone_file("sounds", pocketsphinx.get_model_path(_PHONES))
        self._grammars: dict[tuple[str, ...], Grammar] = {}

    def recognize(self, ulaw: bytes, hints: tuple[str, ...]) -> frames.Head:
        """The reply for the audio."""
        grammar = self._grammar(hints)
        reply: frames.Head = {"hint": "", "confidence": 0.0, "unknown": list(grammar.unknown)}
        if not grammar.jsgf or len(ulaw) < _SHORTEST_BYTES:
            return reply
        narrow = audio.of_ulaw(ulaw)
        pcm = audio.resample(narrow, audio.RATE_HZ, MODEL_RATE_HZ)
        said = self._read("hints", pcm)
        if said.text not in grammar.meanings:
            return reply
        confidence = confidence_of(said, self._read("sounds", pcm), audio.snr_db(narrow))
        if confidence >= LEAST_CONFIDENCE:
            reply |= {"hint": grammar.meanings[said.text], "confidence": round(confidence, 3)}
        return reply

    def _grammar(self, hints: tuple[str, ...]) -> Grammar:
        if hints not in self._grammars:
            if len(self._grammars) >= _KEPT_GRAMMARS:
                self._grammars.clear()
            self._grammars[hints] = grammar_of(hints, self._is_known)
        grammar = self._grammars[hints]
        if grammar.jsgf:
            self._decoder.add_jsgf_string("hints", grammar.jsgf)
        return grammar

    def _is_known(self, word: str) -> bool:
        return word not in _RESERVED and self._decoder.lookup_word(word) is not None

    def _read(self, search: str, pcm: bytes) -> Reading:
        decoder = self._decoder
        decoder.activate_search(search)
        decoder.start_utt()
        decoder.process_raw(pcm, full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        if found is None or found.score <= 0:
            return Reading("", -1e5, 0)
        spoken = [s for s in decoder.seg() if not s.word.startswith(_SILENCES)]
        lasts = sum(s.end_frame - s.start_frame + 1 for s in spoken)
        # it tells the thousandth part of the logarithm, as a number again
        return Reading(found.hypstr, 1024 * math.log(found.score), lasts)


class Jobs:
    """What the process can do. The model is opened with the first job."""

    def __init__(self) -> None:
        self._recognizer: Recognizer | None = None

    def answer(self, head: frames.Head, body: bytes) -> frames.Head:
        """Does one job. Failures are answers too."""
        try:
            if self._recognizer is None:
                self._recognizer = Recognizer()
            if head["job"] == "describe":
                return {"version": version("pocketsphinx")}
            return self._recognizer.recognize(body, tuple(head["hints"]))
        except ImportError as error:
            return {"error": f"pocketsphinx cannot be loaded: {error}"}
        except MemoryError:
            return {"error": "it needs too much memory"}
        except Exception as error:
            # a defect, told on standard error; the next job must not wait for a new process
            traceback.print_exc()
            return {"error": f"speech recognition failed: {type(error).__name__}"}


def main() -> None:
    """Answers until its input ends."""
    # as in `helper`: calls that are up go on when the service is told to stop
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    os.nice(5)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    jobs = Jobs()
    try:
        while (request := frames.read(sys.stdin.buffer)) is not None:
            frames.write(replies, jobs.answer(*request))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass


if __name__ == "__main__":
    main()
