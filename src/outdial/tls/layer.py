"""One TLS connection as bytes in, bytes out: no sockets, so that whoever has them decides when a
handshake may begin, how long it may take, and what it may cost."""

from __future__ import annotations

import ssl

from outdial.tls.certificate import Certificate, NoCertificate
from outdial.tls.contexts import ClientSecurity, ServerSecurity
from outdial.tls.names import is_for
from outdial.tls.trouble import TlsFailed, Trouble, trouble_of, wrong_name

_PIECE = 65_536
_MAX_HANDSHAKE_BYTES = 131_072
"""A chain of certificates has some thousand."""


class TlsLayer:
    """Either end. Everything that is to be sent is taken by `outgoing`."""

    __slots__ = (
        "_handshake_bytes",
        "_in",
        "_object",
        "_out",
        "_security",
        "established",
        "is_over",
    )

    def __init__(self, security: ClientSecurity | ServerSecurity) -> None:
        self._security = security
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        is_client = isinstance(security, ClientSecurity)
        self._object = security.context.wrap_bio(
            self._in,
            self._out,
            server_side=not is_client,
            server_hostname=security.name if isinstance(security, ClientSecurity) else None,
        )
        self._handshake_bytes = 0
        self.established = False
        """Whether the two have agreed, and what is received is from whom it should be."""
        self.is_over = False
        """Whether the far end has said that nothing more will come."""

    def begin(self) -> None:
        """A client's first words. Raises TlsFailed."""
        self._shake_hands()

    def receive(self, data: bytes) -> bytes:
        """What the bytes that arrived say. Raises TlsFailed; there may still be `outgoing` then."""
        self._in.write(data)
        if not self.established:
            self._handshake_bytes += len(data)
            if self._handshake_bytes > _MAX_HANDSHAKE_BYTES:
                raise TlsFailed(Trouble("protocol", "the handshake is longer than any should be"))
            self._shake_hands()
        return self._read() if self.established else b""

    def send(self, data: bytes) -> None:
        """Encrypts it; only once it is `established`."""
        try:
            self._object.write(data)
        except ssl.SSLError as error:
            raise TlsFailed(trouble_of(error)) from None

    def finish(self) -> None:
        """The last words: what came was the whole (section 6.1 of RFC 8446)."""
        if self.established:
            try:
                self._object.unwrap()
            except (ssl.SSLError, ValueError):
                return

    def outgoing(self) -> bytes:
        """What is to be sent now."""
        return self._out.read() if self._out.pending else b""

    @property
    def version(self) -> str:
        """``TLSv1.3``; "" before the handshake."""
        return self._object.version() or ""

    @property
    def certificate(self) -> Certificate | None:
        """The far end's, checked or not; None when it showed none, or one that nobody can read."""
        try:
            der = self._object.getpeercert(binary_form=True)
            return None if der is None else Certificate.parse(der)
        except (NoCertificate, ValueError):
            return None

    def _shake_hands(self) -> None:
        try:
            self._object.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except (ssl.SSLError, OSError) as error:
            raise TlsFailed(trouble_of(error)) from None
        self._check_name()
        self.established = True

    def _check_name(self) -> None:
        security = self._security
        if not isinstance(security, ClientSecurity) or not security.verify:
            return
        certificate = self.certificate
        if certificate is None:
            raise TlsFailed(Trouble("bad-certificate", "the certificate cannot be read"))
        if not is_for(certificate, security.name):
            raise TlsFailed(wrong_name(certificate, security.name))

    def _read(self) -> bytes:
        """All there is. The far end's last words end it without a fault."""
        pieces = []
        while True:
            try:
                piece = self._object.read(_PIECE)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                piece = b""
            except ssl.SSLError as error:
                raise TlsFailed(trouble_of(error)) from None
            if not piece:
                self.is_over = True
                break
            pieces.append(piece)
        return b"".join(pieces)
