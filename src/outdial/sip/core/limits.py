"""The hard limits on what a peer may send. Whatever is larger is refused before it is looked at."""

from __future__ import annotations

from typing import Final

MAX_MESSAGE_BYTES: Final = 65_535
"""One datagram, or one framed message of a stream. More gives 513."""

MAX_HEAD_BYTES: Final = 49_152
"""Start line and header fields of one message of a stream, so that a peer cannot make us buffer."""

MAX_BODY_BYTES: Final = 16_384
"""More gives 413."""

MAX_HEADERS: Final = 128
"""Header lines, folded ones counted once. More gives 513."""

MAX_LINE: Final = 8_192
"""Characters of one header line after unfolding. More gives 513."""

MAX_PARAMS: Final = 64
"""Parameters of one URI, address, Via or challenge. More gives 400."""

MAX_VALUES: Final = 128
"""Values of one name over all its lines: Vias, routes, contacts. More gives 400."""

MAX_CACHED: Final = 512
"""Longer texts are parsed anew each time, which bounds the memory of the parse caches."""

CACHE_ENTRIES: Final = 1_024
"""Entries of each parse cache."""

MAX_CSEQ: Final = 2**31 - 1
"""RFC 3261 section 8.1.1.5: less than 2**31."""
