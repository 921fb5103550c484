"""The tests of the examples and our own are found in one run, as `make test` has them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_examples_and_tests_are_one_run() -> None:
    found = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "examples",
            "tests/unit/test_ids.py",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "examples/pin_call/test_pin_call.py::" in found.stdout
    assert "tests/unit/test_ids.py::" in found.stdout
