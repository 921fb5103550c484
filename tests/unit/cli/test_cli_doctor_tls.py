"""What `outdial doctor` says of certificates."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from doubles.certificates import Authority
from outdial.cli.doctor_tls import certificates
from outdial.cli.finding import Finding
from outdial.config import Settings


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def found(**settings: Any) -> list[Finding]:
    return list(certificates(Settings.model_validate(settings), time.time()))


def files(authority: Authority, **more: Any) -> dict[str, str]:
    made = authority.make(**more)
    made.key_path.chmod(0o600)
    return {"tls_certificate": str(made.path), "tls_key": str(made.key_path)}


def trunk(**more: Any) -> dict[str, Any]:
    row = {"name": "a", "address": "sip.example.com", "transport": "tls", **more}
    return {"trunks": [row], "sip": {"listen": ["tls:127.0.0.1:5061"]}}


def test_without_tls_nothing_is_said() -> None:
    assert found() == []
    assert found(**trunk()) == []


def test_how_long_each_lasts(authority: Authority) -> None:
    http, sip = found(http=files(authority, days=(-1, 90)), sip=files(authority, days=(-1, 60)))
    assert (http.check, http.ok, http.remedy) == ("certificate http", True, "")
    assert http.detail.startswith("CN=sip.example.com, O=Outdial tests: it is good until 2")
    assert http.detail.endswith(", 90 days")
    assert (sip.check, sip.ok) == ("certificate sip", True)


@pytest.mark.parametrize(
    ("days", "ok", "words", "remedy"),
    [
        ((-9, -1), False, "it expired on ", "renew "),
        ((2, 9), False, "it is not valid before ", "renew "),
        ((-9, 5), True, "5 days", "renew "),
    ],
)
def test_what_is_over_or_soon(
    authority: Authority, days: tuple[float, float], ok: bool, words: str, remedy: str
) -> None:
    (one,) = found(http=files(authority, days=days))
    assert (one.ok, words in one.detail, one.remedy[:6]) == (ok, True, remedy)


def test_files_that_cannot_be_used(authority: Authority) -> None:
    given = {**files(authority), "tls_key": files(authority)["tls_key"]}
    (one,) = found(http=given)
    assert not one.ok
    assert "is not that of" in one.detail
    (one,) = found(**trunk(tls_ca="none.pem"))
    assert not one.ok
    assert one.detail.startswith("trunks.a.tls_ca: none.pem cannot be read")


def test_a_key_that_others_may_read(authority: Authority) -> None:
    given = files(authority)
    Path(given["tls_key"]).chmod(0o644)
    (one,) = found(sip=given)
    assert (one.ok, one.remedy) == (False, f"chmod 600 {given['tls_key']}")


def test_a_trunk_whose_certificate_is_not_checked(authority: Authority) -> None:
    (one,) = found(**trunk(tls_verify=False))
    assert one.ok
    assert "is not checked" in one.detail
    assert "tls_verify" in one.remedy
    (one,) = found(**trunk(**files(authority)))
    assert (one.check, one.ok) == ("certificate a", True)
