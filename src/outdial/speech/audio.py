"""PCM to ready-to-send G.711 files. Runs in a helper process: imports PyAV's FFmpeg.

PyAV only, no numpy: a helper stays at some 35 MB. FFmpeg's resampler (32-tap polyphase, Kaiser)
keeps what would alias at 8 kHz 60 dB down, where audioop.ratecv keeps nothing.
"""

from __future__ import annotations

import audioop
import math
import os
from collections.abc import Iterable, Iterator

import av

RATE_HZ = 8000
SPEECH_LEVEL_DBFS = -16.0
"""RMS of speech while it sounds: as loud as a telephone talker, with room for peaks."""

_FRAME = 320
"""20 ms of 16-bit samples, in bytes."""
_PEAK = 31000
_QUIET = 200
"""RMS of a frame (of 32768) under which it counts as silence."""
_LEAD_FRAMES = 1
_FEWEST_FRAMES = 5
_TAIL_FRAMES = 10


def resample(pcm: bytes, rate_hz: int, to_hz: int = RATE_HZ) -> bytes:
    """16-bit mono PCM at another rate."""
    if rate_hz == to_hz:
        return pcm
    frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
    frame.sample_rate = rate_hz
    plane = frame.planes[0]
    plane.update(pcm + bytes(plane.buffer_size - len(pcm)))
    resampler = av.AudioResampler(format="s16", layout="mono", rate=to_hz)
    return b"".join(samples_of(f) for f in (*resampler.resample(frame), *resampler.resample(None)))


def of_ulaw(ulaw: bytes) -> bytes:
    """16-bit mono PCM of G.711 in the µ-law."""
    return audioop.ulaw2lin(ulaw, 2)


def snr_db(pcm: bytes) -> float:
    """How much louder the speech is than what is heard between words; 60 at most."""
    frames = [pcm[at : at + _FRAME] for at in range(0, len(pcm) - _FRAME + 1, _FRAME)]
    loudness = sorted(audioop.rms(frame, 2) for frame in frames)
    if len(loudness) < _FEWEST_FRAMES:
        return 0.0
    quiet = loudness[: len(loudness) // 10 + 1]
    loud = loudness[-len(loudness) // 4 :]
    ratio = (sum(loud) / len(loud) + 1) / (sum(quiet) / len(quiet) + 1)
    return min(60.0, 20 * math.log10(ratio))


def samples_of(frame: av.AudioFrame) -> bytes:
    """The samples of a packed 16-bit mono frame, without its padding."""
    return bytes(frame.planes[0])[: frame.samples * 2]


def level_speech(pcm: bytes) -> bytes:
    """Speech at `SPEECH_LEVEL_DBFS`, never clipped; silence before and after cut to a breath."""
    frames = [pcm[at : at + _FRAME] for at in range(0, len(pcm), _FRAME)]
    loudness = [audioop.rms(frame, 2) for frame in frames]
    active = [i for i, rms in enumerate(loudness) if rms > _QUIET]
    if not active:
        return pcm
    kept = b"".join(frames[max(0, active[0] - _LEAD_FRAMES) : active[-1] + 1 + _TAIL_FRAMES])
    threshold = max(loudness) / 10
    powers = [rms * rms for rms in loudness if rms > threshold]
    rms = math.sqrt(sum(powers) / len(powers))
    gain = 32768 * 10 ** (SPEECH_LEVEL_DBFS / 20) / rms
    return audioop.mul(kept, 2, min(gain, _PEAK / max(1, audioop.max(kept, 2))))


def write_clip(pcm_chunks: Iterable[bytes], path: str) -> int:
    """Writes ``path.alaw`` and ``path.ulaw``, each complete or not at all; gives the samples.

    The .ulaw file comes last: where it is, the other is too.
    """
    samples = 0
    made = [f"{path}.{os.getpid()}.alaw.tmp", f"{path}.{os.getpid()}.ulaw.tmp"]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        with open(made[0], "wb") as alaw, open(made[1], "wb") as ulaw:
            for pcm in _whole_samples(pcm_chunks):
                alaw.write(audioop.lin2alaw(pcm, 2))
                ulaw.write(audioop.lin2ulaw(pcm, 2))
                samples += len(pcm) // 2
        os.replace(made[0], f"{path}.alaw")
        os.replace(made[1], f"{path}.ulaw")
    except BaseException:
        for name in made:
            if os.path.exists(name):
                os.unlink(name)
        raise
    return samples


def _whole_samples(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk[: len(chunk) & ~1]
