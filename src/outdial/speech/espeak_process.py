"""A process of its own that speaks with the eSpeak NG library of the `espeakng-loader` wheel.

The library is under the GPL, so it is loaded here and nowhere else: this program
(``python -m outdial.speech.espeak_process``) is talked to over its standard input and output, as
the espeak-ng program would be. See `frames` for the form, `synthesizers` for the other side.

Requests: ``{"voice": "gmw/en-US+f3", "rate_wpm": 150, "text": …}`` gives ``{"rate_hz": …}`` with
16-bit mono PCM as the body; ``{"voices": true}`` gives ``{"version": …, "languages": …}``, voice
files by language tag; what fails gives ``{"error": …}``.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, Structure, c_char_p, c_int, c_short, c_size_t, c_ubyte, c_uint, c_void_p

from outdial.speech import frames
from outdial.speech.voices import by_language

# names and values of speak_lib.h, the library's public header
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_END_PAUSE = 0x1000
_PARAMETER_RATE = 1
_POSITION_CHARACTER = 1


class _Voice(Structure):
    """espeak_VOICE."""

    _fields_ = [
        ("name", c_char_p),
        ("languages", POINTER(c_ubyte)),
        ("identifier", c_char_p),
        ("gender", c_ubyte),
        ("age", c_ubyte),
        ("variant", c_ubyte),
        ("xx1", c_ubyte),
        ("score", c_int),
        ("spare", c_void_p),
    ]


class Library:
    """The loaded library. Raises OSError when it cannot be loaded."""

    def __init__(self, path: str, data_path: str) -> None:
        self._chunks: list[bytes] = []
        callback_type = ctypes.CFUNCTYPE(c_int, POINTER(c_short), c_int, c_void_p)

        def collect(samples: ctypes._Pointer[c_short], count: int, events: int | None) -> int:
            if samples and count > 0:
                self._chunks.append(ctypes.string_at(samples, count * 2))
            return 0

        self._callback = callback_type(collect)  # must live as long as the library may call it
        lib = self._lib = ctypes.CDLL(path)
        lib.espeak_Initialize.argtypes = [c_int, c_int, c_char_p, c_int]
        lib.espeak_SetVoiceByName.argtypes = [c_char_p]
        lib.espeak_SetParameter.argtypes = [c_int, c_int, c_int]
        lib.espeak_Synth.argtypes = [
            *(c_char_p, c_size_t, c_uint, c_int, c_uint, c_uint),
            *(c_void_p, c_void_p),
        ]
        lib.espeak_ListVoices.argtypes = [c_void_p]
        lib.espeak_ListVoices.restype = POINTER(POINTER(_Voice))
        lib.espeak_Info.argtypes = [c_void_p]
        lib.espeak_Info.restype = c_char_p
        self.rate_hz: int = lib.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path.encode(), _INITIALIZE_DONT_EXIT
        )
        if self.rate_hz <= 0:
            raise OSError(f"eSpeak NG could not read its data in {data_path}")
        lib.espeak_SetSynthCallback(self._callback)

    def synthesize(self, voice: str, rate_wpm: int, text: str) -> bytes:
        """16-bit mono PCM at `rate_hz`. Raises ValueError for an unknown voice, OSError."""
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"eSpeak NG has no voice {voice}")
        self._lib.espeak_SetParameter(_PARAMETER_RATE, rate_wpm, 0)
        self._chunks.clear()
        data = text.encode("utf-8", "replace")
        flags = _CHARS_UTF8 | _END_PAUSE
        failed = self._lib.espeak_Synth(
            data, len(data) + 1, 0, _POSITION_CHARACTER, 0, flags, None, None
        )
        if failed or self._lib.espeak_Synchronize():
            raise OSError("eSpeak NG could not speak the text")
        pcm = b"".join(self._chunks)
        self._chunks.clear()
        return pcm

    def version(self) -> str:
        """For example 1.52.0."""
        said: bytes = self._lib.espeak_Info(None)
        return said.decode()

    def languages(self) -> dict[str, str]:
        """Voice files by language tag."""
        voices = self._lib.espeak_ListVoices(None)
        listed = []
        index = 0
        while voices[index]:
            voice = voices[index].contents
            file = voice.identifier.decode("utf-8", "replace")
            for place, (priority, tag) in enumerate(_tags(voice.languages)):
                listed.append((file, tag, priority if place else 0))
            index += 1
        return by_language(listed)


def _tags(packed: ctypes._Pointer[c_ubyte]) -> list[tuple[int, str]]:
    """A voice's languages, its own first: (priority byte, text, NUL) repeated, then a zero byte."""
    tags = []
    at = 0
    while packed[at]:
        end = at + 1
        while packed[end]:
            end += 1
        tags.append((packed[at], bytes(packed[at + 1 : end]).decode("utf-8", "replace")))
        at = end + 1
    return tags


def _answer(library: Library, head: frames.Head) -> tuple[frames.Head, bytes]:
    if head.get("voices"):
        return {"version": library.version(), "languages": library.languages()}, b""
    try:
        pcm = library.synthesize(head["voice"], head["rate_wpm"], head["text"])
    except (ValueError, OSError) as error:
        return {"error": str(error)}, b""
    return {"rate_hz": library.rate_hz}, pcm


def main() -> None:
    """Answers until its input ends."""
    import espeakng_loader

    library = Library(espeakng_loader.get_library_path(), espeakng_loader.get_data_path())
    while (request := frames.read(sys.stdin.buffer)) is not None:
        frames.write(sys.stdout.buffer, *_answer(library, request[0]))


if __name__ == "__main__":
    main()
