"""The parts of the server's test harness that need no server; system tests use the rest."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from doubles.certificates import Authority
from outdial.testing.server import API_KEY, OutdialServer, family, free_port, toml


def test_settings_are_written_as_toml_reads_them() -> None:
    settings = {
        "http": {"listen": "127.0.0.1:1", "max_body_bytes": 4096},
        "limits": {"destinations": ["1", "44"], "premium": False, "calls_per_second": 0.5},
        "keys": [{"name": 'a"b', "key": "ü\n"}, {"name": "c", "key": "d"}],
        "routes": [{"prefixes": [""], "trunks": ["a", {"name": "b", "cost": 0.5}]}],
        "trunks": [],
    }
    read = tomllib.loads(toml(settings))
    assert read == {name: value for name, value in settings.items() if value != []}


def test_what_is_not_given_is_filled_in_and_sections_are_merged(tmp_path: Path) -> None:
    server = OutdialServer({"http": {"public_url": "http://x"}, "keys": []}, tmp_path)
    assert server.settings["http"] == {
        "listen": f"127.0.0.1:{server.http_port}",
        "public_url": "http://x",
    }
    assert server.settings["keys"] == []
    assert server.settings["webhooks"] == {"allow_private": ["127.0.0.0/8"]}
    assert server.url("/a") == f"http://127.0.0.1:{server.http_port}/a"


def test_with_a_certificate_it_is_asked_over_https(tmp_path: Path) -> None:
    made = Authority(tmp_path).make("api.example", ["api.example"])
    server = OutdialServer({"http": {"tls_certificate": made.path.name}}, tmp_path)
    assert server.url("/a") == f"https://127.0.0.1:{server.http_port}/a"
    trust = server._trust()
    assert trust is not None
    assert trust.verify_mode is ssl.CERT_REQUIRED, "though not under the name that it is asked by"
    assert not trust.check_hostname
    assert trust.cert_store_stats()["x509"] == 1


def test_an_authority_vouches_for_the_address_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    made = authority.make("api.example", ["api.example"])
    settings = {"http": {"tls_certificate": str(made.path)}}
    trust = OutdialServer(settings, tmp_path, ca=authority.path)._trust()
    assert trust is not None
    assert trust.check_hostname
    with pytest.raises(OSError):
        OutdialServer(settings, tmp_path, ca="nowhere.pem")._trust()


def test_the_first_key_of_the_settings_is_used(tmp_path: Path) -> None:
    keys = [{"name": "a", "key": "first"}, {"name": "b", "key": "second"}]
    assert OutdialServer({"keys": keys}, tmp_path).key == "first"
    assert OutdialServer({}, tmp_path).key == API_KEY
    assert OutdialServer({"keys": []}, tmp_path).key == ""


def test_a_free_port_can_be_bound() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", free_port(socket.SOCK_DGRAM)))


def test_a_family_is_the_process_and_all_that_descend_from_it() -> None:
    child = "print(flush=True); input()"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    parent.stdout.readline()  # the child is there
    found = family(parent.pid)
    parent.communicate(b"\n")
    assert found[0] == parent.pid
    assert len(found) == 2
