"""The file of secrets: made once, for its owner only, and read when it changes."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from outdial import config
from outdial.errors import ConfigError
from outdial.testing.clock import FakeClock
from outdial.webhooks import secret_file
from outdial.webhooks.secret_file import Signing, read, rotate
from outdial.webhooks.sign import Signer, new_secret

GIVEN = new_secret(bytes(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outdial-webhooks.secret"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(path: Path) -> list[str]:
    return [file.name for file in path.parent.iterdir()]


def put(path: Path, content: str) -> None:
    path.write_bytes(content.encode("latin-1"))


def opened(path: Path) -> Signing:
    return Signing.open(config.Webhooks(secret_file=str(path)), FakeClock())


async def test_it_is_made_at_the_first_start_and_kept_after(path: Path) -> None:
    old_mask = os.umask(0)
    try:
        first = opened(path)
    finally:
        os.umask(old_mask)
    assert mode(path) == 0o600
    (secret,) = read(path)
    timestamp, signature = first.sign("EV1", b"payload")
    assert timestamp == 1_700_000_000
    assert signature == Signer([secret]).sign("EV1", timestamp, b"payload")
    assert opened(path).sign("EV1", b"payload") == (timestamp, signature)
    assert names(path) == [path.name]


async def test_secrets_of_the_settings_leave_the_file_alone(path: Path) -> None:
    settings = config.Webhooks.model_validate({"secrets": [GIVEN], "secret_file": str(path)})
    _, signature = Signing.open(settings, FakeClock()).sign("EV1", b"")
    assert signature == Signer([GIVEN]).sign("EV1", 1_700_000_000, b"")
    assert names(path) == []
    assert GIVEN not in repr(settings) and GIVEN not in settings.model_dump_json()


async def test_a_rotation_is_taken_without_a_restart(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret_file, "_EVERY_S", 0.01)
    signing = opened(path)
    (before,) = read(path)
    newest, kept = rotate(path)
    assert kept == before != newest
    assert mode(path) == 0o600
    right = Signer([newest, before]).sign("EV1", 1_700_000_000, b"")
    async with asyncio.timeout(5):
        while signing.sign("EV1", b"")[1] != right:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    third, second = rotate(path)
    assert second == newest and third not in (newest, before)


def test_a_rotation_mends_a_file_without_secrets(path: Path) -> None:
    put(path, "whsec_nonsense\n")
    (only,) = rotate(path)
    assert read(path) == [only]
    with pytest.raises(ConfigError, match="cannot be written"):
        rotate(path / "below")


async def test_what_cannot_be_read_later_leaves_those_known_in_force(path: Path) -> None:
    signing = opened(path)
    known = signing.sign("EV1", b"")
    for content in ("", "whsec_nonsense\n", "x" * 5000):
        put(path, content)
        signing.reload()
        assert signing.sign("EV1", b"") == known
    os.unlink(path)
    signing.reload()
    assert signing.sign("EV1", b"") == known
    put(path, f"# the only one\n\n{GIVEN}\n")
    signing.reload()
    assert signing.sign("EV1", b"")[1] == Signer([GIVEN]).sign("EV1", 1_700_000_000, b"")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "must hold 1 to 8 secrets"),
        ("# nothing\n", "must hold 1 to 8 secrets"),
        (f"{GIVEN}\n" * 9, "must hold 1 to 8 secrets"),
        (f"{GIVEN}\nwhsec_tooshort\n", "number 2 is not a secret"),
        ("\xff\xfe", "number 1 is not a secret"),
    ],
)
async def test_a_bad_file_stops_the_start_and_is_not_repeated(
    path: Path, content: str, problem: str
) -> None:
    put(path, content)
    with pytest.raises(ConfigError, match=problem) as caught:
        opened(path)
    assert caught.value.key == "webhooks.secret_file"
    assert "tooshort" not in str(caught.value) and GIVEN not in str(caught.value)


async def test_a_place_that_cannot_be_written_or_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written: No such file"):
        opened(tmp_path / "missing" / "secret")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        opened(tmp_path)


async def test_two_that_start_at_once_agree(path: Path) -> None:
    secret_file.make(path)
    (first,) = read(path)
    secret_file.make(path)  # the one that was slower
    assert read(path) == [first]
    assert names(path) == [path.name]


@pytest.mark.parametrize("secrets", [["whsec_wrong"], ["x" * 50], "whsec_wrong", [3]])
def test_wrong_secrets_of_the_settings_are_not_repeated(secrets: object, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(None, {"webhooks.secrets": secrets}, {})
    assert caught.value.key.startswith("webhooks.secrets")
    assert "wrong" not in str(caught.value) and "xxx" not in str(caught.value)
