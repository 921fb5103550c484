"""A helper process: speech synthesis, sound decoding, G.711 files, MP3.

``python -m outdial.speech.helper``; `pool` starts it and speaks `frames` with it over its
standard input and output. Everything here may block: nothing else runs in the process. It ends
when its input does, so it cannot outlive the process that started it.

Requests (``job``): ``describe`` {engine}; ``speak`` {engine, voice, rate_wpm, text, path};
``decode`` {path, max_s} with the file as body; ``mp3`` {path, channels, first, count, key}.
Replies: {"samples"}, {"version", "languages"}, or {} with MP3 frames as body; {"error"} with one
sentence.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable

from outdial.errors import SoundError, SpeechError
from outdial.speech import audio, decoder, encoder, frames, synthesizers

_MEMORY_BYTES = 2 << 30
"""Address space: a sound that makes FFmpeg ask for more fails, the machine does not."""


class Jobs:
    """What the process can do, and the engines it has open."""

    def __init__(self) -> None:
        self._engines: dict[str, synthesizers.Synthesizer] = {}
        self._table: dict[str, Callable[[frames.Head, bytes], frames.Head]] = {
            "describe": self._describe,
            "speak": self._speak,
            "decode": self._decode,
        }

    def answer(self, head: frames.Head, body: bytes) -> tuple[frames.Head, bytes]:
        """Does one job. Failures are answers too."""
        is_mp3 = head.get("job") == "mp3"
        try:
            if is_mp3:
                return {}, self._mp3(head)
            return self._table[head["job"]](head, body), b""
        except (SpeechError, SoundError) as error:
            return {"error": str(error)}, b""
        except MemoryError:
            return {"error": "it needs too much memory"}, b""
        except OSError as error:
            what = "cannot read the recording" if is_mp3 else "cannot write the prompt"
            return {"error": f"{what}: {error.strerror}"}, b""
        except Exception as error:
            # a defect, told on standard error; the next job must not wait for a new process
            traceback.print_exc()
            return {"error": f"the {head.get('job')} job failed: {type(error).__name__}"}, b""

    def close(self) -> None:
        """Ends the engines."""
        for engine in self._engines.values():
            engine.close()

    def _engine(self, name: str) -> synthesizers.Synthesizer:
        if name not in self._engines:
            self._engines[name] = synthesizers.make(name)
        return self._engines[name]

    def _describe(self, head: frames.Head, body: bytes) -> frames.Head:
        version, languages = self._engine(head["engine"]).describe()
        return {"version": version, "languages": languages}

    def _speak(self, head: frames.Head, body: bytes) -> frames.Head:
        engine = self._engine(head["engine"])
        rate_hz, pcm = engine.synthesize(head["text"], head["voice"], head["rate_wpm"])
        if not pcm:
            raise SpeechError("the engine made no sound of the text")
        levelled = audio.level_speech(audio.resample(pcm, rate_hz))
        return {"samples": audio.write_clip([levelled], head["path"])}

    def _decode(self, head: frames.Head, body: bytes) -> frames.Head:
        chunks = decoder.decode(body, head["max_s"])
        return {"samples": audio.write_clip(chunks, head["path"])}

    def _mp3(self, head: frames.Head) -> bytes:
        return encoder.encode(
            head["path"],
            head["channels"],
            head["first"],
            head["count"],
            bytes.fromhex(head["key"]),
        )


def main() -> None:
    """Answers until its input ends."""
    # systemd's SIGTERM goes to every process of the service: the calls that are up still speak
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    os.nice(5)  # prompts are prepared ahead; RTP and signalling go first
    # what FFmpeg or a library prints must not get between the replies
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    jobs = Jobs()
    try:
        while (request := frames.read(sys.stdin.buffer)) is not None:
            frames.write(replies, *jobs.answer(*request))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass
    finally:
        jobs.close()


if __name__ == "__main__":
    main()
