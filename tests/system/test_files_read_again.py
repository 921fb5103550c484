"""Files of the settings that change while a server runs: price lists and the keys of recordings."""

from __future__ import annotations

import re
import time
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import pytest

from outdial.recording_keys import rotate
from outdial.testing.server import OutdialServer, free_port

pytestmark = pytest.mark.system

TO, FROM = "442079460000", "18005550100"


def wait_until_read(outdial: OutdialServer, *files: Path) -> None:
    """Until the log says that all of them were read again."""
    deadline = time.monotonic() + 20
    wanted = {str(file) for file in files}
    while not wanted <= {
        line["file"] for line in outdial.log() if line["event"] == "file read again"
    }:
        assert time.monotonic() < deadline, outdial.tail()
        time.sleep(0.05)


def place(outdial: OutdialServer) -> dict[str, Any]:
    """What the timeline says of the choice of trunks for a call, whatever becomes of it."""
    sid = outdial.place_call(
        to=TO, url="http://127.0.0.1:9/", secretKey="of the call", **{"from": FROM}
    )
    outdial.wait_until_over(sid)
    events = outdial.get(f"/v1/calls/{sid}/events")["events"]
    data: dict[str, Any] = next(one["data"] for one in events if one["kind"] == "state.dialling")
    return data


def sealed_with(folder: Path) -> set[str]:
    """The ids of the keys that secrets in the database are encrypted with."""
    found = set[str]()
    for file in folder.glob("outdial.db*"):
        for hidden in re.findall(rb"sealed:([A-Za-z0-9_-]{16,})", file.read_bytes()):
            found.add(urlsafe_b64decode(hidden[:16])[:8].hex())
    return found


def test_prices_and_keys_are_those_of_the_files_as_they_are_now(tmp_path: Path) -> None:
    keys, cheap, dear = (tmp_path / name for name in ("keys", "cheap.csv", "dear.csv"))
    (first,) = rotate(keys)
    cheap.write_text("44,0.01\n")
    dear.write_text("1,0.01\n")
    settings = {
        "storage": {"encryption_key_file": str(keys)},
        "limits": {"destinations": ["44"]},
        "routes": [{"prefixes": [""], "trunks": ["cheap", "dear"], "order": "cost"}],
        "trunks": [
            {"name": file.stem, "address": f"127.0.0.1:{free_port()}", "rates": str(file)}
            for file in (cheap, dear)
        ],
    }
    with OutdialServer(settings, tmp_path) as outdial:
        assert place(outdial)["costs"] == {"cheap": 0.01}
        assert sealed_with(tmp_path) == {first}

        dear.write_text("44,0.03\n")
        cheap.write_text("33,0.01\n")
        second, _ = rotate(keys)
        wait_until_read(outdial, keys, cheap, dear)
        assert place(outdial)["costs"] == {"dear": 0.03}
        assert sealed_with(tmp_path) == {first, second}
