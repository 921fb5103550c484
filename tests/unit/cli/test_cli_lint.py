"""`outdial lint`: places as compilers write them, JSON, exit statuses, files and URLs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from outdial.testing.web import Answer, WebServer

BAD = "<Response>\n  <Hangup/>\n  <Say>never</Say>\n</Response>\n"
GOOD = "<Response><Say>hello</Say></Response>"


def lint(folder: Path, *arguments: str, stdin: str = "") -> tuple[int, list[str], str]:
    clean = {name: v for name, v in os.environ.items() if not name.startswith("OUTDIAL_")}
    done = subprocess.run(
        [sys.executable, "-m", "outdial", "lint", *arguments],
        cwd=folder,
        env=clean,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_a_file_that_is_well(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(GOOD)
    assert lint(tmp_path, "a.xml") == (0, ["a.xml: well, 1 verb"], "")


def test_warnings_have_their_place_and_fail_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(BAD)
    line = "a.xml:3:3: warning: Say and what follows is never run: Hangup in line 2 ends the call"
    assert lint(tmp_path, "a.xml") == (0, [line], "")
    assert lint(tmp_path, "a.xml", "--strict") == (1, [line], "")


def test_an_error_fails(tmp_path: Path) -> None:
    status, lines, _ = lint(tmp_path, "-", stdin="<html></html>")
    assert status == 1
    assert lines == ["standard input:1:1: error: the root element is <html>, not <Response>"]


def test_json(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(BAD)
    status, lines, _ = lint(tmp_path, "a.xml", "--json")
    finding, total = map(json.loads, lines)
    assert status == 0
    assert (finding["line"], finding["column"], finding["severity"]) == (3, 3, "warning")
    assert total == {"source": "a.xml", "verbs": 2, "errors": 0, "warnings": 1}


def test_what_is_not_there(tmp_path: Path) -> None:
    status, lines, said = lint(tmp_path, "no.xml")
    assert (status, lines) == (1, [])
    assert said == "outdial: no.xml cannot be read: No such file or directory\n"


def test_a_file_without_an_end_is_too_long(tmp_path: Path) -> None:
    status, (line,), _ = lint(tmp_path, "/dev/zero")
    assert status == 1
    assert line.startswith("/dev/zero: error: the document has 16000000 bytes, more than 65536")


def test_a_folder_is_no_document(tmp_path: Path) -> None:
    status, lines, said = lint(tmp_path, ".")
    assert (status, lines) == (1, [])
    assert said == "outdial: . cannot be read: Is a directory\n"


def test_a_method_that_is_none(tmp_path: Path) -> None:
    assert lint(tmp_path, "a.xml", "--method", "PUT")[0] == 64


def test_the_settings_say_which_addresses_may_be_reached(tmp_path: Path) -> None:
    document = '<Response><Say action="http://127.0.0.1:9000/done">a</Say></Response>'
    (tmp_path / "a.xml").write_text(document)
    _, lines, _ = lint(tmp_path, "a.xml")
    assert len(lines) == 1 and "webhooks.allow_private" in lines[0]
    (tmp_path / "outdial.toml").write_text('[webhooks]\nallow_private = ["127.0.0.0/8"]\n')
    assert lint(tmp_path, "a.xml") == (0, ["a.xml: well, 1 verb"], "")


def test_a_base_for_relative_urls(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<Response><Play>b.wav</Play></Response>")
    _, lines, _ = lint(tmp_path, "a.xml", "--base", "http://10.1.2.3/app/")
    assert "10.1.2.3 is a private address" in lines[0]


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_url_is_fetched_as_the_server_would(tmp_path: Path, method: str) -> None:
    with WebServer() as web:
        web.script("/app", Answer(body=b"\n<Response><Say>a</Say>", content_type="text/xml"))
        status, lines, _ = lint(tmp_path, web.url("/app"), "--method", method)
        (request,) = web.received("/app")
    assert status == 0
    assert lines[0].startswith(f"{web.url('/app')}:")
    assert (request.method, request.params["CallStatus"]) == (method, "answered")


def test_a_url_that_does_not_give_the_document(tmp_path: Path) -> None:
    with WebServer() as web:
        web.script("/app", Answer(status=404))
        status, _, said = lint(tmp_path, web.url("/app"))
    assert status == 1
    assert "answers 404 to POST" in said
