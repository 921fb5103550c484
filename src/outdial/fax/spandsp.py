"""The T.30 engine of libspandsp 0.0.6 or later, by ctypes. Only a helper process loads it.

A crash in it is a crash of that process. The functions used here have been the same since 0.0.6,
which Debian and Ubuntu have; none of its structures is looked into.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from pathlib import Path
from typing import Any, Final

from outdial.errors import FaxError

NAMES: Final = ("libspandsp.so.2", "libspandsp.so.3")
PACKAGE: Final = "libspandsp2"
"""Where Debian and Ubuntu have it."""

_ENCODE_T6: Final = 3
_MODEMS: Final = 0x01 | 0x02 | 0x04  # V.27ter, V.29, V.17: up to 14,400 bit/s
_COMPRESSIONS: Final = 0x02 | 0x04 | 0x08  # T.4 one- and two-dimensional, T.6
_IDENT_MOST: Final = 20
_EOP: Final = 0x2E
"""T.30's "end of procedure", behind the last page; its lowest bit says which side sent it."""
_ANY_SIDE: Final = 0xFE

_State = ctypes.c_void_p
_OnPage = ctypes.CFUNCTYPE(ctypes.c_int, _State, ctypes.c_void_p, ctypes.c_int)
_OnEnd = ctypes.CFUNCTYPE(None, _State, ctypes.c_void_p, ctypes.c_int)
_SIGNATURES: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "fax_init": (_State, (_State, ctypes.c_int)),
    "fax_free": (ctypes.c_int, (_State,)),
    "fax_get_t30_state": (_State, (_State,)),
    "fax_rx": (ctypes.c_int, (_State, ctypes.c_void_p, ctypes.c_int)),
    "fax_rx_fillin": (ctypes.c_int, (_State, ctypes.c_int)),
    "fax_tx": (ctypes.c_int, (_State, ctypes.c_void_p, ctypes.c_int)),
    "fax_set_transmit_on_idle": (None, (_State, ctypes.c_int)),
    "t30_set_rx_file": (None, (_State, ctypes.c_char_p, ctypes.c_int)),
    "t30_set_tx_file": (None, (_State, ctypes.c_char_p, ctypes.c_int, ctypes.c_int)),
    "t30_set_tx_ident": (ctypes.c_int, (_State, ctypes.c_char_p)),
    "t30_get_rx_ident": (ctypes.c_char_p, (_State,)),
    "t30_set_ecm_capability": (ctypes.c_int, (_State, ctypes.c_int)),
    "t30_set_rx_encoding": (ctypes.c_int, (_State, ctypes.c_int)),
    "t30_set_supported_modems": (ctypes.c_int, (_State, ctypes.c_int)),
    "t30_set_supported_compressions": (ctypes.c_int, (_State, ctypes.c_int)),
    "t30_set_phase_d_handler": (None, (_State, _OnPage, ctypes.c_void_p)),
    "t30_set_phase_e_handler": (None, (_State, _OnEnd, ctypes.c_void_p)),
    "t30_terminate": (None, (_State,)),
    "t30_completion_code_to_str": (ctypes.c_char_p, (ctypes.c_int,)),
}


def load() -> Any:
    """The library. Raises FaxError, which says what to install."""
    for name in NAMES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        try:
            for function, (result, arguments) in _SIGNATURES.items():
                found = getattr(library, function)
                found.restype, found.argtypes = result, arguments
        except AttributeError as missing:
            # the function's name; a later version may have renamed it
            raise FaxError(f"{name} is not a version that can be used: {missing}") from None
        return library
    raise FaxError(f"libspandsp is not installed (Debian, Ubuntu: apt install {PACKAGE})")


class Terminal:
    """One fax machine on one call, for 16-bit samples at 8 kHz. `close` it."""

    def __init__(self, library: Any, *, calling: bool, ident: str, file: Path) -> None:
        """`file`: the TIFF that is sent (`calling`) or written; `ident`: what the other sees."""
        self._library = library
        self.pages = 0
        """How many were confirmed."""
        self.is_whole = False
        """The sender said that the last page it has was the last one."""
        self._far_ident = ""
        self.ended: int | None = None
        """T.30's completion code, 0 for success; None while it goes on."""
        self._fax = library.fax_init(None, int(calling))
        if not self._fax:
            raise FaxError("libspandsp could not begin")
        t30 = self._t30 = library.fax_get_t30_state(self._fax)
        # held here: ctypes does not keep what C calls back
        self._on_page, self._on_end = _OnPage(self._page), _OnEnd(self._end)
        library.t30_set_phase_d_handler(t30, self._on_page, None)
        library.t30_set_phase_e_handler(t30, self._on_end, None)
        library.fax_set_transmit_on_idle(self._fax, 1)
        library.t30_set_tx_ident(t30, ident.encode("ascii", "replace")[:_IDENT_MOST])
        library.t30_set_ecm_capability(t30, 1)
        library.t30_set_supported_modems(t30, _MODEMS)
        library.t30_set_supported_compressions(t30, _COMPRESSIONS)
        if calling:
            library.t30_set_tx_file(t30, bytes(file), -1, -1)
        else:
            library.t30_set_rx_encoding(t30, _ENCODE_T6)
            library.t30_set_rx_file(t30, bytes(file), -1)

    def _page(self, state: int, data: int, result: int) -> int:
        self.pages += 1
        self.is_whole = result & _ANY_SIDE == _EOP
        return 0

    def _end(self, state: int, data: int, code: int) -> None:
        if self.ended is None:
            self.ended = code

    @property
    def far_ident(self) -> str:
        """What the other machine calls itself."""
        if not self._fax:
            return self._far_ident
        ident = self._library.t30_get_rx_ident(self._t30) or b""
        return "".join(c for c in ident.decode("latin-1") if c.isprintable()).strip()

    @property
    def reason(self) -> str:
        """The completion code in words."""
        if self.ended is None:
            return ""
        text: bytes = self._library.t30_completion_code_to_str(self.ended)
        return text.decode("latin-1")

    def hear(self, pcm: bytes) -> None:
        """Samples that came."""
        buffer = ctypes.create_string_buffer(pcm, len(pcm))  # it is written to
        self._library.fax_rx(self._fax, buffer, len(pcm) // 2)

    def miss(self, samples: int) -> None:
        """So many samples were lost on the way."""
        self._library.fax_rx_fillin(self._fax, samples)

    def speak(self, samples: int) -> bytes:
        """The next samples to send, silence included."""
        buffer = ctypes.create_string_buffer(2 * samples)
        self._library.fax_tx(self._fax, buffer, samples)
        return buffer.raw

    def terminate(self) -> None:
        """The call is over."""
        self._library.t30_terminate(self._t30)

    def close(self) -> None:
        """Frees it; the file is complete. Idempotent."""
        self._far_ident = self.far_ident
        fax, self._fax = self._fax, None
        if fax:
            self._library.fax_free(fax)
