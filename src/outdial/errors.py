"""Every exception Outdial raises on purpose.

    OutdialError
    ├── ConfigError            a setting is wrong; names the key and what would be right
    ├── Refused                a request was refused; carries HTTP status, code, field
    ├── ProtocolError
    │   ├── LocalProtocolError     we misused a protocol core
    │   └── RemoteProtocolError    the peer sent something bad; carries the status to answer with
    ├── NegotiationError       offer and answer share nothing usable
    ├── MediaUnavailable       no media worker or no port could take a stream
    ├── CodecUnavailable       the library of a codec is not installed, or refuses
    ├── FetchError             an outgoing HTTP request did not succeed; says why
    ├── SpeechError            text could not be spoken
    │   └── UnknownLanguage        the engine has other languages
    ├── SoundError             an audio file could not be decoded
    ├── FaxError               a fax cannot be received, or its file not be read
    ├── DocumentError          a voice application document cannot be run; line and column
    ├── StoreUnavailable       the record could not be written now
    └── StoreConflict          the record does not allow it: somebody else was faster

Any other exception that leaves a parser or a protocol core is a defect.
"""

from __future__ import annotations


class OutdialError(Exception):
    """The root of all errors raised on purpose."""


class ConfigError(OutdialError):
    """A setting is wrong. `key` is its dotted name, e.g. ``sip.listen``."""

    def __init__(self, key: str, problem: str, remedy: str = "") -> None:
        self.key = key
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{key}: {problem}" + (f" ({remedy})" if remedy else ""))


class Refused(OutdialError):
    """A request is refused.

    `status` is the HTTP status, `code` Outdial's number for the reason (docs/reference/errors.md),
    `field` the parameter at fault ("" when none is), `retry_after_s` set on 429 and 503,
    `size_bytes` on 416.
    """

    def __init__(
        self,
        status: int,
        code: int,
        message: str,
        *,
        field: str = "",
        retry_after_s: int | None = None,
        size_bytes: int | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s
        self.size_bytes = size_bytes
        super().__init__(message)


class ProtocolError(OutdialError):
    """Either side broke a protocol."""


class LocalProtocolError(ProtocolError):
    """Our own code asked a protocol core for something its state does not allow."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something the standard forbids. `status_hint` is the fitting response."""

    def __init__(self, message: str, status_hint: int = 400) -> None:
        self.status_hint = status_hint
        super().__init__(message)


class NegotiationError(OutdialError):
    """Offer and answer have no usable audio in common (SIP 488)."""


class MediaUnavailable(OutdialError):
    """No media worker or no free port could take the stream."""


class CodecUnavailable(OutdialError):
    """The library of a codec is not installed, or makes no coder now."""


class FetchError(OutdialError):
    """An outgoing HTTP request failed.

    `kind` is one of: refused-address, resolve, connect, tls, timeout, too-large, status, protocol,
    bad-url. `status` is the HTTP status when there was one.
    """

    def __init__(self, kind: str, message: str, status: int | None = None) -> None:
        self.kind = kind
        self.status = status
        super().__init__(message)


class SpeechError(OutdialError):
    """Text could not be spoken: no engine, unknown language, engine failed."""


class UnknownLanguage(SpeechError):
    """The engine cannot speak the language that was asked for; another one it may."""


class SoundError(OutdialError):
    """An audio file could not be decoded, or is longer than allowed."""


class StoredFileError(OutdialError):
    """A recording or fax on the disk cannot be read."""


class FaxError(OutdialError):
    """A fax cannot be received here, or what was received cannot be read."""


class DocumentError(OutdialError):
    """A voice application document cannot be run. `line` and `column` count from 1; 0: unknown."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        self.line = line
        self.column = column
        super().__init__(message)


class StoreUnavailable(OutdialError):
    """The record could not be written now (locked, disk full, away). The caller may try again."""


class StoreConflict(OutdialError):
    """The record does not allow it: the row is there already, or is no longer as it was thought
    to be because another node was faster. Nothing was written; trying again does not help."""
