"""A small client of the native API, for the commands that speak to a running server."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from outdial import log
from outdial.errors import OutdialError
from outdial.tls.contexts import trust
from outdial.tls.trouble import trouble_of

_TIMEOUT_S = 30.0
_LARGEST_ANSWER = 32 << 20
_CHUNK_BYTES = 1 << 16
CA_VARIABLE = "OUTDIAL_CA"


class ApiError(OutdialError):
    """The server refused, could not be reached, or answered something else than the API."""


class Unreachable(ApiError):
    """No server answers there."""


class Broken(ApiError):
    """A stream of events ended before its end."""


class Client:
    """One connection to one server."""

    status = 0
    """Of the last answer."""

    def __init__(self, url: str, key: str, secrecy: ssl.SSLContext | None = None) -> None:
        """`secrecy` says whom to believe over https; None: those whom the system trusts."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ApiError(
                f"{log.escape(url)} is not the URL of a server, e.g. http://127.0.0.1:8080"
            )
        try:
            port = parts.port
        except ValueError:
            raise ApiError(f"{log.escape(url)} has a wrong port") from None
        self.url = url.rstrip("/")
        self._prefix = parts.path.rstrip("/")
        self._key = key
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            secrecy = secrecy or ssl.create_default_context()
            self._connection = http.client.HTTPSConnection(
                parts.hostname, port, timeout=_TIMEOUT_S, context=secrecy
            )
        else:
            self._connection = http.client.HTTPConnection(parts.hostname, port, timeout=_TIMEOUT_S)

    def close(self) -> None:
        """Closes the connection; a request opens it again."""
        self._connection.close()

    def get(self, path: str, **params: str | int) -> Any:
        """The JSON at the path. Raises ApiError."""
        query = "?" + urlencode(params) if params else ""
        return self._ask("GET", path + query, None)

    def post(self, path: str, body: object) -> Any:
        """The JSON answer to a JSON body. Raises ApiError."""
        return self._ask("POST", path, json.dumps(body).encode())

    def download(self, path: str, write: Callable[[bytes], object]) -> int:
        """Hands over the bytes at the path as they come, and says how many. Raises ApiError, also
        when they end too early."""
        try:
            self._connection.request("GET", self._prefix + path, None, self._headers())
            response = self._connection.getresponse()
            if response.status != 200:
                self._read(response.status, response.read(_LARGEST_ANSWER))
                raise ApiError(f"{self.url} answered {response.status}")
            size = 0
            while chunk := response.read(_CHUNK_BYTES):
                size += len(chunk)
                write(chunk)
            if response.length:
                raise ApiError(f"{self.url} closed the connection in the middle of {path}")
            return size
        except ssl.SSLError as error:
            raise ApiError(self._not_believed(error)) from None
        except ConnectionRefusedError:
            raise Unreachable(self._nobody()) from None
        except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
            raise ApiError(
                f"{self.url} cannot be reached: {error or type(error).__name__}"
            ) from None
        finally:
            self._connection.close()

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}", "Accept": "*/*"}

    def _not_believed(self, error: ssl.SSLError) -> str:
        what = trouble_of(error).text
        if isinstance(error, ssl.SSLCertVerificationError) and "name" not in what:
            what += f"; --ca or {CA_VARIABLE} names a file of whom to trust"
        return f"no secure connection to {self.url}: {what}"

    def _nobody(self) -> str:
        return f"no server answers at {self.url}; is `outdial serve` running there?"

    def delete(self, path: str) -> None:
        """Raises ApiError."""
        self._ask("DELETE", path, None)

    def follow(self, path: str, after: int) -> Iterator[Any]:
        """The events behind `after` as they come, until the server ends the stream (then `status`
        is 204 if there are no more). Raises ApiError for a refusal, Broken when it is cut off."""
        headers = {
            "Authorization": f"Bearer {self._key}",
            "Accept": "text/event-stream",
            "Last-Event-ID": str(after),
        }
        connection = self._connection
        try:
            connection.request("GET", self._prefix + path, None, headers)
            with connection.getresponse() as response:
                self.status = response.status
                if response.status >= 400:
                    self._read(response.status, response.read(_LARGEST_ANSWER))
                while line := response.readline(_LARGEST_ANSWER):
                    if line.startswith(b"data:"):
                        yield json.loads(line[5:])
        except ssl.SSLError as error:
            raise ApiError(self._not_believed(error)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Broken(f"{self.url}: {error or type(error).__name__}") from None
        finally:
            connection.close()

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        headers = self._headers()
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            try:
                status, data = self._exchange(method, path, body, headers)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                # A kept connection may be closed at any time. A post is not sent twice: the first
                # may have placed a call.
                if method != "GET":
                    raise
                status, data = self._exchange(method, path, body, headers)
        except ssl.SSLError as error:
            raise ApiError(self._not_believed(error)) from None
        except ConnectionRefusedError:
            raise Unreachable(self._nobody()) from None
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(
                f"{self.url} cannot be reached: {error or type(error).__name__}"
            ) from None
        return self._read(status, data)

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        """Status and body of the answer; a connection that was interrupted is not used again."""
        try:
            self._connection.request(method, self._prefix + path, body, headers)
            response = self._connection.getresponse()
            self.status = response.status
            return response.status, response.read(_LARGEST_ANSWER)
        except BaseException:
            self._connection.close()
            raise

    def _read(self, status: int, data: bytes) -> Any:
        try:
            answer = json.loads(data) if status != 204 else {}
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ApiError(f"{self.url} answered {status}, and not as Outdial does")
        if status >= 400:
            said = log.escape(str(answer.get("detail") or answer.get("message") or ""))
            if status == 401:
                said += (
                    " (--key, OUTDIAL_KEY, or the first [[keys]] of the configuration; "
                    "`outdial keys add NAME` makes one)"
                )
            raise ApiError(said or f"{self.url} answered {status}")
        return answer


def connect(config: Path | None, server: str, key: str) -> Client:
    """A client by the options, else by OUTDIAL_URL and OUTDIAL_KEY, else by the settings.

    Raises ApiError and ConfigError.
    """
    server = server or os.environ.get("OUTDIAL_URL", "")
    key = key or os.environ.get("OUTDIAL_KEY", "")
    ca = os.environ.get(CA_VARIABLE, "")
    secrecy = _trusting(ca, CA_VARIABLE) if ca else None
    if not server or not key:
        from outdial.cli.files import settings_of

        settings = settings_of(config)
        own = settings.http.tls_certificate
        if not server:
            server = f"{'https' if own else 'http'}://{reachable(settings.http.listen)}"
            secrecy = _trusting(own, "http.tls_certificate", whole=True) if own else None
        if not key and settings.keys:
            key = settings.keys[0].key.get_secret_value()
    return Client(server, key, secrecy)


def _trusting(path: str, setting: str, *, whole: bool = False) -> ssl.SSLContext:
    """Believes those for whom the PEM file vouches, under their names; `whole`: whoever has the
    certificate that it begins with, whatever we call him. Raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if whole:
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    trust(context, setting, path)
    return context


def reachable(listen: str) -> str:
    """A listening address as one to connect to: a wildcard is reached on the loopback."""
    host, _, port = listen.rpartition(":")
    return f"{ {'0.0.0.0': '127.0.0.1', '[::]': '[::1]'}.get(host, host) }:{port}"
