"""A whole server that speaks HTTPS alone: both APIs, the commands, a renewed certificate.

Its application and the receiver of its callbacks are asked over HTTPS as well.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from doubles.certificates import Authority, Made
from outdial.testing.server import OutdialServer
from outdial.testing.web import WebServer

pytestmark = pytest.mark.system

HERE = "127.0.0.1"
ANSWERS = "15005550001"
FROM = "18005550100"


class Certificates:
    """What the server shows: one file with all that it needs, as a renewing program leaves it."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.path = folder / "https.pem"

    def renew(self) -> int:
        """A new one stands in the place of the old at once; its serial number."""
        made = self.authority.make("api.example", [HERE])
        os.replace(self._joined(made), self.path)
        return made.certificate.serial_number

    def whole(self, common_name: str, name: str) -> str:
        """The file of somebody else's, for that name."""
        return str(self._joined(self.authority.make(common_name, [name])))

    def _joined(self, made: Made) -> Path:
        whole = made.path.with_suffix(".whole")
        parts = (made.path, Path(self.authority.path), made.key_path)
        whole.write_bytes(b"".join(part.read_bytes() for part in parts))
        return whole


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def first(certificates: Certificates) -> int:
    return certificates.renew()


@pytest.fixture(scope="module")
def outdial(certificates: Certificates, first: int) -> Iterator[OutdialServer]:
    """It believes the authority, too, as if the system knew it."""
    settings = {
        "sim": {"enabled": True},
        "http": {"tls_certificate": str(certificates.path)},
        "webhooks": {"allow_private": [f"{HERE}/32"], "attempts": 1},
    }
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("SSL_CERT_FILE", certificates.authority.path)
            server = OutdialServer(settings, ready_within_s=60, ca=certificates.authority.path)
            stack.enter_context(server)
        yield server


@pytest.fixture(scope="module")
def second(outdial: OutdialServer, certificates: Certificates, first: int) -> int:
    """Renewed while the server runs. It looks every ten seconds: until then the other tests run."""
    assert shown(outdial, certificates) == first
    return certificates.renew()


@pytest.fixture
def web(certificates: Certificates) -> Iterator[WebServer]:
    """The application, over HTTPS."""
    with WebServer(certificate=certificates.whole("app.example", HERE)) as server:
        yield server


@pytest.fixture
def impostor(certificates: Certificates) -> Iterator[WebServer]:
    """One whose certificate is good, but for another name."""
    with WebServer(certificate=certificates.whole("app.example", "app.example")) as server:
        yield server


def shown(outdial: OutdialServer, certificates: Certificates) -> int:
    """The serial number of the certificate that it shows."""
    trust = ssl.create_default_context(cafile=certificates.authority.path)
    with (
        socket.create_connection((HERE, outdial.http_port), timeout=10) as plain,
        trust.wrap_socket(plain, server_hostname=HERE) as secured,
    ):
        certificate = secured.getpeercert()
    assert certificate is not None
    return int(str(certificate["serialNumber"]), 16)


def command(
    outdial: OutdialServer, *words: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """One of the commands, in the server's folder, where its settings are."""
    clean = {name: value for name, value in os.environ.items() if "OUTDIAL_" not in name}
    return subprocess.run(
        [sys.executable, "-m", "outdial", *words],
        cwd=outdial.folder,
        capture_output=True,
        text=True,
        timeout=60,
        env=clean | variables,
    )


@pytest.mark.usefixtures("second")
@pytest.mark.parametrize("api", ["native", "CallTermination"])
def test_a_call_is_placed_and_its_recording_fetched(
    outdial: OutdialServer, web: WebServer, api: str
) -> None:
    url = web.serve("/say.xml", "<Response><Say>Hello</Say></Response>")
    told = web.collect("/told")
    if api == "native":
        wanted: dict[str, Any] = {"to": ANSWERS, "from": FROM, "url": url, "record": True}
        sid = outdial.post("/v1/calls", {**wanted, "status_callback": told})["sid"]
    else:
        wanted = {"to": ANSWERS, "from": FROM, "url": url, "record": "true"}
        sid = outdial.place_call(**wanted, statusCallback=told)
    assert outdial.wait_until_over(sid)["outcome"] == "completed"
    (last,) = web.wait_for("/told")
    link = last.params["RecordingURL"]
    assert link.startswith(outdial.url("/v1/recordings/")) and link.startswith("https://")
    assert outdial.get_bytes(link.removeprefix(outdial.url(""))).startswith(b"RIFF")


@pytest.mark.usefixtures("second")
def test_an_application_with_a_wrong_certificate_is_told_nothing(
    outdial: OutdialServer, web: WebServer, impostor: WebServer
) -> None:
    url = impostor.serve("/say.xml", "<Response><Say>Hello</Say></Response>")
    wanted = {"to": ANSWERS, "from": FROM, "url": url, "status_callback": impostor.url("/told")}
    sid = outdial.post("/v1/calls", wanted)["sid"]
    call = outdial.wait_until_over(sid)
    assert call["cause"] == "application-error"
    (failed,) = [
        event["data"]
        for event in outdial.get(f"/v1/calls/{sid}/events")["events"]
        if event["kind"] == "document.failed"
    ]
    assert failed["error"] == "tls"
    assert impostor.requests == []


@pytest.mark.usefixtures("second")
def test_the_commands_follow_a_call(
    outdial: OutdialServer, web: WebServer, certificates: Certificates
) -> None:
    url = web.serve("/say.xml", "<Response><Say>Hello</Say></Response>")
    placed = command(outdial, "call", ANSWERS, "--from", FROM, "--url", url, "--json")
    assert (placed.returncode, placed.stderr) == (0, ""), placed
    call = json.loads(placed.stdout.splitlines()[-1])
    assert call["outcome"] == "completed"
    elsewhere = {"OUTDIAL_URL": outdial.url(""), "OUTDIAL_KEY": outdial.key}
    trusting = {"OUTDIAL_CA": certificates.authority.path}
    told = command(outdial, "calls", "tail", call["sid"], "--json", **elsewhere, **trusting)
    assert told.returncode == 0, told
    kinds = [json.loads(line)["kind"] for line in told.stdout.splitlines()]
    assert kinds[0] == "state.queued" and "state.completed" in kinds
    refused = command(outdial, "calls", "tail", call["sid"], **elsewhere)
    assert refused.returncode == 1
    assert "nobody who is trusted vouches for the certificate" in refused.stderr
    assert call["sid"] not in refused.stdout


POST = json.dumps({"to": ANSWERS, "from": FROM, "url": "http://127.0.0.1:1/"})


@pytest.mark.usefixtures("second")
@pytest.mark.parametrize(
    "request_line", ["GET /healthz", "GET /metrics", "GET /v1/calls", "POST /v1/calls"]
)
def test_plain_http_gets_nothing(outdial: OutdialServer, request_line: str) -> None:
    before = outdial.get("/v1/calls")["calls"]
    body = POST if request_line.startswith("POST") else ""
    head = f"Host: x\r\nAuthorization: Bearer {outdial.key}\r\nContent-Length: {len(body)}"
    with socket.create_connection((HERE, outdial.http_port), timeout=10) as plain:
        plain.sendall(f"{request_line} HTTP/1.1\r\n{head}\r\n\r\n{body}".encode())
        said = b""
        try:
            while more := plain.recv(65536):
                said += more
        except ConnectionResetError:
            pass
    assert len(said) <= 7, "a TLS alert is all that it may be"
    assert b"HTTP" not in said
    assert outdial.get("/v1/calls")["calls"] == before


def test_a_renewed_certificate_is_shown_without_a_restart(
    outdial: OutdialServer, certificates: Certificates, second: int
) -> None:
    deadline = time.monotonic() + 60
    while shown(outdial, certificates) != second:
        assert time.monotonic() < deadline, outdial.tail()
        time.sleep(0.2)
    assert any(line["event"] == "certificate read again" for line in outdial.log())
    assert outdial.gauges()['outdial_certificate_days_left{section="http"}'] > 29
