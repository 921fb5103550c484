"""The demo, run as a person runs it: it must succeed, in time, and leave audible recordings."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from outdial.testing import audio


@pytest.mark.system
@pytest.mark.long
def test_the_demo_shows_both_calls_and_leaves_what_the_phones_heard(tmp_path: Path) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "outdial", "demo"],
        cwd=tmp_path,
        capture_output=True,
        timeout=90,
    )
    took_s = time.monotonic() - began
    shown = done.stdout.decode()
    assert done.returncode == 0, shown + done.stderr.decode()
    assert took_s < 60

    for expected in (
        "POST /didforsaleapi/index.php/api/V2/CallTermination/",
        "leg A ──▶ INVITE sip:15005550001@",
        "leg A ◀── 200 OK",
        "<Say>",
        "/apidemo/15005550001-authenticate.xml: the document is served",
        "callback initiated of leg A",
        "callback completed of leg B",
        "legs A and B are bridged",
        "All is well",
    ):
        assert expected in shown
    assert "\x1b" not in shown, "no colours into a pipe"
    assert "FAIL" not in shown

    recordings = {path.name: audio.read_mono(path) for path in tmp_path.rglob("*-heard-by-*.wav")}
    assert sorted(recordings) == [
        "click-to-call-leg-a-heard-by-15005550014.wav",
        "click-to-call-leg-b-heard-by-18005797676.wav",
        "pin-call-heard-by-15005550001.wav",
    ]
    for name, sound in recordings.items():
        assert audio.level_dbfs(sound) > -35, name
    assert audio.active_s(recordings["pin-call-heard-by-15005550001.wav"]) > 1.2
