"""The plugin as strangers meet it: in a pytest of their own, in a folder of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.pages import ROOT, blocks

GUIDE = ROOT / "docs/guides/testing-your-application.md"
OTHERS = ("-p", "no:asyncio")
"""A plugin of our own tests that warns when it has no settings."""
FAILING = """
import pytest
from outdial.testing.rehearsal.rehearsal import ScriptFailed

DOCUMENT = "<Response><Say>Press 1.</Say></Response>"


def test_the_script_fails(outdial):
    phone = outdial.phone(name="Ann").answers().hears("press 2")
    outdial.call(phone, outdial.web().serve("/answer", DOCUMENT))


def test_an_assertion_fails(outdial):
    call = outdial.call(outdial.phone(), outdial.web().serve("/answer", DOCUMENT))
    assert call.said == ["Press 2."]


def test_a_failure_that_nobody_waited_for(outdial):
    phone = outdial.phone(name="Bob").answers().hears("press 3", within_s=2)
    url = outdial.web().serve("/answer", DOCUMENT)
    outdial.call(phone, url, wait=False)
    with pytest.raises(ScriptFailed):
        outdial.advance(10)
    outdial.phone("12025550177", name="Eve").answers().hears("press 4", within_s=2)
    outdial.call("12025550177", url, wait=False)
    outdial._backstage.run(__import__("asyncio").sleep(10), passing=True)


@pytest.mark.outdial(mode="slow")
def test_a_mode_that_is_none(outdial):
    pass


@pytest.mark.outdial(didml={"no_such": 1})
def test_a_setting_that_is_none(outdial):
    pass
"""
BYSTANDER = """
import sys


def test_nothing_of_outdial_is_loaded():
    loaded = {name for name in sys.modules if name.split(".")[0] == "outdial"}
    assert loaded == {"outdial", "outdial.testing", "outdial.testing.plugin"}
    assert not {"fastapi", "sqlalchemy", "numpy", "structlog"} & set(sys.modules)
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest in that folder, with no settings but its own."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("PYTEST", "OUTDIAL"))}
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", "."]
    return subprocess.run(
        [*command, *OTHERS, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_the_guide_does_what_it_says(tmp_path: Path) -> None:
    programs = [block.text for block in blocks("python") if block.page == GUIDE]
    named = dict.fromkeys(re.findall(r"`(\w+\.py)`", GUIDE.read_text()))
    assert list(named) == ["shop.py", "test_shop.py"]
    (tmp_path / "shop.py").write_text(programs[0])
    for number, text in enumerate(programs[1:]):
        (tmp_path / f"test_{number}.py").write_text(text)
    ran = run(tmp_path, "-W", "error")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "8 passed" in ran.stdout


def test_failures_tell_what_happened(tmp_path: Path) -> None:
    (tmp_path / "test_failing.py").write_text(FAILING)
    ran = run(tmp_path)
    text = ran.stdout
    assert ran.returncode == 1
    assert "ScriptFailed: the call was over before Ann hears 'press 2'" in text
    script, assertion, nobody, mode, setting = _of(text)
    assert "phone Ann  hears “Press 1.” for" in script
    assert "What happened on the calls" not in script
    assert "At index 0 diff: 'Press 1.' != 'Press 2.'" in assertion
    assert "What happened on the calls" in assertion
    assert "verb.started  Say Press 1." in assertion
    assert "before Eve hears 'press 4'; it heard “Press 1.”" in nobody
    assert 'the mode of outdial is "virtual" or "real", not \'slow\'' in mode
    assert "no_such" in setting


def _of(text: str) -> list[str]:
    """The parts of pytest's report by the names of the tests."""
    names = [
        "test_the_script_fails",
        "test_an_assertion_fails",
        "test_a_failure_that_nobody_waited_for",
        "test_a_mode_that_is_none",
        "test_a_setting_that_is_none",
    ]
    parts = []
    for name in names:
        heading = rf"^_+ (?:ERROR at \w+ of )?{name} _+$"
        found = re.search(rf"{heading}(.*?)(?=^_{{5}}|^={{5}})", text, re.M | re.S)
        assert found, f"{name} is not in\n{text}"
        parts.append(found[1])
    return parts


def test_who_does_not_use_it_does_not_pay_for_it(tmp_path: Path) -> None:
    (tmp_path / "test_bystander.py").write_text(BYSTANDER)
    ran = run(tmp_path)
    assert ran.returncode == 0, ran.stdout


def test_it_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "test_none.py").write_text("def test_none(outdial):\n    pass\n")
    ran = run(tmp_path, "-p", "no:outdial")
    assert "fixture 'outdial' not found" in ran.stdout


@pytest.mark.parametrize("option", ["--fixtures", "--markers"])
def test_it_is_listed(tmp_path: Path, option: str) -> None:
    ran = run(tmp_path, option)
    assert "outdial" in ran.stdout
