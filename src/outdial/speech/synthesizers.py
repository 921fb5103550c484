"""Speech engines behind one small protocol. Runs in a helper process, where it may block.

eSpeak NG is under the GPL: it stays in processes of its own, the installed program or
`espeak_process`.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
import threading
from typing import Protocol

from outdial.errors import SpeechError
from outdial.speech import frames
from outdial.speech.voices import by_language

SYNTHESIS_TIMEOUT_S = 10.0
PROGRAM = "espeak-ng"
WHEEL = "espeakng-loader"

_VERSION = re.compile(r"\d+(\.\d+)+")
_OTHER_LANGUAGE = re.compile(r"\(([a-zA-Z0-9-]+) (\d+)\)")


class Synthesizer(Protocol):
    """Makes speech. All methods block and raise SpeechError."""

    def synthesize(self, text: str, voice: str, rate_wpm: int) -> tuple[int, bytes]:
        """Sampling rate and 16-bit mono PCM of the text."""

    def describe(self) -> tuple[str, dict[str, str]]:
        """Version, and voice files by language tag in lower case."""

    def close(self) -> None:
        """Ends what it started."""


class EspeakProgram:
    """The espeak-ng program, started for each text (about 10 ms)."""

    def __init__(self) -> None:
        path = shutil.which(PROGRAM)
        if path is None:
            raise SpeechError("the espeak-ng program is not installed (apt install espeak-ng)")
        self._path = path

    def synthesize(self, text: str, voice: str, rate_wpm: int) -> tuple[int, bytes]:
        wav = self._run(
            ["-v", voice, "-s", str(rate_wpm), "-b", "1", "--stdin", "--stdout"],
            text.encode("utf-8", "replace"),
        )
        return _pcm_of(wav)

    def describe(self) -> tuple[str, dict[str, str]]:
        version = _VERSION.search(self._run(["--version"]).decode("utf-8", "replace"))
        listed = []
        for line in self._run(["--voices"]).decode("utf-8", "replace").splitlines()[1:]:
            columns = line.split()  # priority, language, age/gender, name, file, (other priority)…
            if len(columns) > 4:
                listed.append((columns[4], columns[1], 0))
                others = _OTHER_LANGUAGE.findall(line)
                listed += [(columns[4], tag, int(priority)) for tag, priority in others]
        return (version.group() if version else "unknown"), by_language(listed)

    def close(self) -> None:
        """Nothing runs between texts."""

    def _run(self, arguments: list[str], text: bytes = b"") -> bytes:
        try:
            done = subprocess.run(  # noqa: S603  no shell; the text goes to standard input
                [self._path, *arguments],
                input=text,
                capture_output=True,
                timeout=SYNTHESIS_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SpeechError("espeak-ng took too long") from None
        except OSError as error:
            raise SpeechError(f"espeak-ng cannot be started: {error.strerror}") from None
        if done.returncode != 0 or not done.stdout:
            said = done.stderr.decode("utf-8", "replace").strip() or f"exit {done.returncode}"
            raise SpeechError(f"espeak-ng failed: {said}")
        return done.stdout


class EspeakWheel:
    """The library of the espeakng-loader wheel, in one lasting process (about 3 ms a text)."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def synthesize(self, text: str, voice: str, rate_wpm: int) -> tuple[int, bytes]:
        head, pcm = self._ask({"voice": voice, "rate_wpm": rate_wpm, "text": text})
        return int(head["rate_hz"]), pcm

    def describe(self) -> tuple[str, dict[str, str]]:
        head, _ = self._ask({"voices": True})
        return head["version"], head["languages"]

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _ask(self, request: frames.Head) -> tuple[frames.Head, bytes]:
        process = self._start()
        watchdog = threading.Timer(SYNTHESIS_TIMEOUT_S, process.kill)
        watchdog.start()
        try:
            frames.write(process.stdin, request)  # type: ignore[arg-type]
            reply = frames.read(process.stdout)  # type: ignore[arg-type]
        except (OSError, EOFError, ValueError):
            reply = None
        finally:
            watchdog.cancel()
        if reply is None:
            self.close()
            raise SpeechError("the eSpeak NG process ended before it had spoken")
        if "error" in reply[0]:
            raise SpeechError(reply[0]["error"])
        return reply

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "outdial.speech.espeak_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process


def make(engine: str) -> Synthesizer:
    """The engine of that name, `PROGRAM` or `WHEEL`. Raises SpeechError."""
    return EspeakProgram() if engine == PROGRAM else EspeakWheel()


def _pcm_of(wav: bytes) -> tuple[int, bytes]:
    """Rate and samples of espeak-ng's output: a streamed WAV, whose sizes are not filled in."""
    start = wav.find(b"data", 12, 200)
    if start < 0 or wav[:4] != b"RIFF":
        raise SpeechError("espeak-ng wrote no WAV")
    (rate_hz,) = struct.unpack_from("<I", wav, 24)
    pcm = wav[start + 8 :]
    return rate_hz, pcm[: len(pcm) & ~1]
