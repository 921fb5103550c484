"""Linear 16-bit samples: the standard library's audioop, from wherever this Python has it.

Part of Python until 3.12; from 3.13 on the audioop-lts package provides it.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop as audioop


def stereo(left: bytes, right: bytes) -> bytes:
    """Two channels of one length as interleaved samples."""
    joined: bytes = audioop.add(
        audioop.tostereo(left, 2, 1, 0), audioop.tostereo(right, 2, 0, 1), 2
    )
    return joined
