"""The OpenAPI document is true: schemathesis, made to look for lies in it, finds none.

Against a server of one's own, with all of its default checks and phases:

    outdial serve --config outdial.toml --sim
    schemathesis run http://127.0.0.1:8080/openapi.json -H 'Authorization: Bearer KEY'

The run below is that command, with a seed and fewer examples, against the API alone.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from contract.conftest import KEY, V2, Door


async def test_the_document_has_every_path(door: Door) -> None:
    status, document = await door.get("/openapi.json")
    assert status == 200
    assert set(document["paths"]) == {
        V2,
        "/v1/calls",
        "/v1/calls/{sid}",
        "/v1/calls/{sid}/events",
        "/v1/calls/{sid}/ladder",
        "/v1/calls/{sid}/sip.txt",
        "/v1/calls/{sid}/sip.pcap",
        "/v1/recordings",
        "/v1/recordings/{sid}",
        "/v1/recordings/{sid}.wav",
        "/v1/recordings/{sid}.mp3",
        "/v1/faxes/{sid}.pdf",
        "/v1/keys",
        "/v1/keys/{name_or_id}",
        "/v1/keys/{name_or_id}/rotate",
        "/v1/numbers",
        "/v1/numbers/{number}",
        "/v1/deliveries",
        "/v1/deliveries/replay",
        "/v1/deliveries/{id}",
        "/v1/deliveries/{id}/replay",
        "/v1/events",
        "/v1/usage",
        "/v1/trunks",
        "/v1/trunks/{name}",
        "/v1/trunks/{name}/sip",
        "/v1/bans",
        "/v1/bans/{address}",
        "/v1/conferences",
        "/v1/conferences/{name_or_sid}",
        "/v1/conferences/{name_or_sid}/members/{call_sid}",
        "/v1/queues",
        "/v1/queues/{name_or_sid}",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    bodies = document["paths"][V2]["post"]["requestBody"]["content"]
    assert set(bodies) == {
        "application/x-www-form-urlencoded",
        "application/json",
        "multipart/form-data",
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert ("401" in operation["responses"]) == (path == V2 or path.startswith("/v1/"))


async def test_schemathesis_finds_nothing(door: Door, tmp_path: Path) -> None:
    command = [
        *(
            sys.executable,
            "-c",
            "import sys; from schemathesis.cli import schemathesis as st; st()",
        ),
        *("run", f"{door.base}/openapi.json"),
        *("-H", f"Authorization: Bearer {KEY}", "--max-examples", "20", "--seed", "1"),
        *("--generation-database", "none", "--no-color"),
    ]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, output.decode()
    _, document = await door.get("/openapi.json")
    count = sum(map(len, document["paths"].values()))
    assert f"{count}/{count}" in output.decode(), output.decode()
    assert door.record.placed
