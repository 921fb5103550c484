"""Files of certificates: what is wrong with them in words, and what happens when they change."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from structlog.testing import capture_logs

from doubles.certificates import Authority
from outdial.errors import ConfigError
from outdial.tls.contexts import ClientSecurity, Secured, ServerSecurity
from outdial.tls.watch import CertificateWatch


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_key_and_certificate_may_be_in_one_file(authority: Authority, tmp_path: Path) -> None:
    made = authority.make()
    both = tmp_path / "both.pem"
    both.write_bytes(made.path.read_bytes() + made.key_path.read_bytes())
    security = ServerSecurity("http", str(both))
    assert security.own is not None and security.own.common_name == "sip.example.com"
    assert security.paths == (both,)


def test_what_is_wrong_is_told_with_the_setting(authority: Authority, tmp_path: Path) -> None:
    made, other = authority.make(), authority.make()
    certificate, key = str(made.path), str(made.key_path)
    locked, text, missing = tmp_path / "locked.key", tmp_path / "text.pem", str(tmp_path / "none")
    locked.write_bytes(
        made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    )
    text.write_text("no PEM at all")

    def problem(*files: str) -> str:
        with pytest.raises(ConfigError) as error:
            ServerSecurity("sip", *files)
        return str(error.value)

    assert "sip.tls_certificate: " in problem(missing) and "No such file" in problem(missing)
    assert "there is no certificate in it" in problem(str(text), key)
    assert problem(certificate, str(other.key_path)).startswith(
        f"sip.tls_key: the key in {other.key_path} is not that of {certificate}"
    )
    assert "sip.tls_key: " in problem(certificate, missing)
    assert "is encrypted" in problem(certificate, str(locked))
    assert "has no private key" in problem(certificate, str(text))
    assert "name it in sip.tls_key" in problem(certificate)
    assert "sip.tls_client_ca: " in problem(certificate, key, str(text))
    assert "cannot be read: Is a directory" in problem(str(tmp_path), key)


def test_what_is_wrong_with_a_trunks_files_names_the_trunk(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^trunks\.a\.tls_ca: .*none.*cannot be read"):
        ClientSecurity("trunks.a", "x", ca=str(tmp_path / "none"))


def test_a_changed_file_is_read_again(authority: Authority) -> None:
    made = authority.make(under="server")
    security = ServerSecurity("sip", str(made.path), str(made.key_path))
    before = security.context
    assert security.refresh() is False
    assert security.context is before
    authority.make("new.example", under="server")
    assert security.refresh() is True
    assert security.context is not before
    assert security.own is not None and security.own.common_name == "new.example"
    assert security.refresh() is False


def test_a_file_that_became_wrong_is_told_once_and_not_used(authority: Authority) -> None:
    made = authority.make(under="server")
    security = ServerSecurity("sip", str(made.path), str(made.key_path))
    before = security.context
    made.path.write_text("half a file")
    with pytest.raises(ConfigError, match="there is no certificate"):
        security.refresh()
    assert security.refresh() is False
    assert security.context is before
    made.path.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        security.refresh()
    authority.make("new.example", under="server")
    assert security.refresh() is True


async def test_the_watch_tells_of_changes(authority: Authority) -> None:
    made = authority.make(under="server")
    security = ServerSecurity("sip", str(made.path), str(made.key_path))
    watch, changes = CertificateWatch(), list[str]()
    watch.add(security, lambda: changes.append("changed"))
    with capture_logs() as told:
        watch.look()
        assert changes == []
        authority.make("new.example", under="server")
        watch.look()
        assert changes == ["changed"]
        made.path.write_text("")
        watch.look()
        watch.look()
        assert changes == ["changed"]
    assert [one["event"] for one in told] == [
        "certificate read again",
        "certificate not read again",
    ]


async def test_the_watch_looks_by_itself(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    from outdial.tls import watch as module

    monkeypatch.setattr(module, "EVERY_S", 0.01)
    made = authority.make(under="server")
    changed = asyncio.Event()
    watch = CertificateWatch()
    watch.add(ServerSecurity("sip", str(made.path), str(made.key_path)), changed.set)
    watch.start()
    authority.make("new.example", under="server")
    async with asyncio.timeout(5):
        await changed.wait()
    watch.stop()


def test_a_watch_without_files_does_nothing() -> None:
    watch = CertificateWatch()
    watch.add(ClientSecurity("sip", "host.example"))
    watch.start()
    watch.stop()


def test_nothing_of_a_key_is_shown(authority: Authority) -> None:
    made = authority.make()
    shown: Secured = ClientSecurity("t", "n", certificate=str(made.path), key=str(made.key_path))
    assert repr(shown) == "ClientSecurity('t', 'n')"
