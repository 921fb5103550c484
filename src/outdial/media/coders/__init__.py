"""The codecs besides G.711, each by a library: libopus for opus, libspandsp or PyAV for G.722.

How they were chosen, and what they cost, is in docs/design/codecs.md.
"""

from __future__ import annotations

from functools import cache

from outdial.legs import Codec
from outdial.media.core.coder import Coders


@cache
def coders(codec: Codec) -> Coders:
    """Those of a codec that is not G.711, loaded once. Raises CodecUnavailable."""
    # Most workers never need one.
    if codec is Codec.OPUS:
        from outdial.media.coders import opus

        return opus.load()
    from outdial.media.coders import g722

    return g722.load()
