"""Settings: where they come from, and what is said when they are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from outdial import config
from outdial.errors import ConfigError
from outdial.media.core import tones


def load(tmp_path: Path, text: str, **environment: str) -> config.Settings:
    path = tmp_path / "outdial.toml"
    path.write_text(text)
    return config.load(path, environment=environment)


def refusal(tmp_path: Path, text: str, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, **environment)
    return str(caught.value)


EXAMPLE = """
[http]
listen = "127.0.0.1:8080"
public_url = "http://127.0.0.1:8080"
[sip]
listen = ["udp:127.0.0.1:5060"]
[media]
address = "127.0.0.1"
ports = "20000-29999"
workers = 0
[store]
url = "sqlite:///outdial.db"
[storage]
recordings = "recordings"
[webhooks]
allow_private = ["127.0.0.0/8"]
[limits]
calls_per_second = 10
concurrent_calls = 500
destinations = ["+1"]
[[keys]]
name = "dev"
key = "YOURSECRECTAPIKEY"
[[trunks]]
name = "carrier-a"
address = "127.0.0.1:5090"
transport = "udp"
username = ""
password = ""
register = false
prefixes = [""]
number_format = "e164"
nat = false
[[numbers]]
number = "+18005550100"
url = "http://127.0.0.1:9000/answer.xml"
method = "POST"
[sim]
enabled = false
"""


def test_the_documented_example_is_taken(tmp_path: Path) -> None:
    settings = load(tmp_path, EXAMPLE)
    assert settings.trunks[0].address == "127.0.0.1:5090"
    assert settings.numbers[0].number == "18005550100"
    assert settings.limits.destinations == ["1"]
    assert settings.keys[0].key.get_secret_value() == "YOURSECRECTAPIKEY"


def test_without_a_file_there_are_the_defaults() -> None:
    assert config.load(None, environment={}) == config.Settings()


def test_environment_goes_over_the_file_and_overrides_over_both(tmp_path: Path) -> None:
    path = tmp_path / "outdial.toml"
    path.write_text('[http]\nlisten = "127.0.0.1:1"\nmax_body_bytes = 2048\n[media]\nworkers = 3')
    settings = config.load(
        path,
        {"sim.enabled": True, "media.workers": 7},
        {"OUTDIAL_HTTP__LISTEN": "127.0.0.1:2", "OUTDIAL_MEDIA__WORKERS": "5", "OTHER__X": "1"},
    )
    assert settings.http.listen == "127.0.0.1:2"
    assert settings.http.max_body_bytes == 2048
    assert settings.media.workers == 7
    assert settings.sim.enabled


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("OUTDIAL_HTTP_LISTEN", "OUTDIAL_HTTP__LISTEN"),
        ("OUTDIAL_LIMITS_CALLS_PER_SECOND", "OUTDIAL_LIMITS__CALLS_PER_SECOND"),
        ("OUTDIAL_LOG_JSON", "OUTDIAL_LOG__JSON"),
        ("OUTDIAL_KEYS_KEY", "OUTDIAL_KEYS__0__KEY"),
        ("OUTDIAL_TRUNKS", "OUTDIAL_TRUNKS__0__NAME"),
        ("OUTDIAL_STORE", "OUTDIAL_STORE__URL"),
    ],
)
def test_a_variable_that_must_be_meant_as_a_setting_is_not_overlooked(
    variable: str, meant: str
) -> None:
    with pytest.raises(ConfigError, match=rf"{variable}: is no setting \(write {meant}"):
        config.load(None, environment={variable: "s3cret"})


def test_variables_that_are_no_settings_are_none_of_our_business() -> None:
    others = ("OUTDIAL_URL", "OUTDIAL_KEY", "OUTDIAL_HTTP_PORT", "OUTDIAL_SIP_SERVICE_HOST")
    assert config.load(None, environment=dict.fromkeys(others, "x")) == config.Settings()


def test_lists_and_members_of_lists_come_from_the_environment(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        EXAMPLE,
        OUTDIAL_SIP__LISTEN="udp:127.0.0.1:0, tcp:127.0.0.1:0",
        OUTDIAL_LIMITS__DESTINATIONS='["44", "1"]',
        OUTDIAL_WEBHOOKS__ALLOW_PORTS="80,8080",
        OUTDIAL_TRUNKS__0__PASSWORD="from the environment",
        OUTDIAL_KEYS__1__NAME="second",
        OUTDIAL_KEYS__1__KEY="k2",
    )
    assert settings.sip.listen == ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"]
    assert settings.limits.destinations == ["44", "1"]
    assert settings.webhooks.allow_ports == [80, 8080]
    assert settings.trunks[0].password.get_secret_value() == "from the environment"
    assert settings.trunks[0].name == "carrier-a"
    assert [key.name for key in settings.keys] == ["dev", "second"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[http]\nlisen = "x"', "http.lisen: there is no such setting (did you mean listen?)"),
        ("[trnks]", "trnks: there is no such setting (did you mean trunks?)"),
        ('[store]\nzzzzzz = "x"', "store.zzzzzz: there is no such setting (there are url)"),
        ('[http]\nlisten = "8080"', "http.listen: '8080' has no port"),
        ('[http]\nlisten = "h:99999"', "http.listen: '99999' is not a port"),
        ('[http]\nlisten = "::1:80"', "write an IPv6 address in brackets"),
        ('[http]\npublic_url = "me.example"', "must begin with http://"),
        ('[sip]\nlisten = ["127.0.0.1:5060"]', "sip.listen.0: '127.0.0.1:5060' must start with"),
        ('[sip]\nlisten = ["udp:localhost:5060"]', "'localhost' is not an IP address"),
        ('[sip]\nlisten = "udp:127.0.0.1:5060"', "sip.listen: input should be a valid list"),
        ("[sip]\nt1_ms = 1", "sip.t1_ms: input should be greater than or equal to 10, not 1"),
        ('[media]\naddress = "0.0.0.0"', "media.address: 0.0.0.0 cannot be sent to"),
        ('[media]\npublic_address = "me.example"', "media.public_address: 'me.example' is not"),
        ('[media]\npublic_address = "::1"', "media: public_address ::1 and address 127.0.0.1 must"),
        ('[media]\nports = "20000"', "media.ports: '20000' is not a range"),
        ('[media]\nports = "20001-20002"', "has no even port"),
        ('[media]\nports = "80-90"', "begins below 1024"),
        ('[media]\ncodecs = ["G729"]', "media.codecs.0: input should be 'PCMU', 'PCMA', 'G722'"),
        ('[limits]\ndestinations = ["1x"]', "limits.destinations.0: '1x' is not a prefix"),
        ("[limits]\ncalls_per_second = 0", "limits.calls_per_second: input should be greater"),
        ('[webhooks]\nallow_private = ["10.0.0.1/8"]', "10.0.0.0/8 would be right"),
        ('[webhooks]\nallow_private = ["lan"]', "'lan' is not an address range"),
        ("[webhooks]\nallow_ports = [0]", "webhooks.allow_ports.0: 0 is not a port"),
        ('[[trunks]]\nname = "a"', "trunks.0.address: is missing (add address = ...)"),
        ('[[trunks]]\nname = "a"\naddress = "sip:h"', "trunks.0.address: 'h' is not a port"),
        ('[[trunks]]\nname = "a"\naddress = ""', "trunks.0.address: '' is not a host name"),
        ('[[trunks]]\nname = "a"\naddress = "[::1"', "write an IPv6 address in brackets"),
        ('[[trunks]]\nname = "a"\naddress = "[x]:5060"', "'x' is not an IPv6 address"),
        (
            '[[trunks]]\nname = "a"\naddress = "h"\nsrtp = "mandatory"',
            'srtp = "mandatory" needs transport = "tls": over udp everybody on the way reads the',
        ),
        (
            '[[trunks]]\nname = "a"\naddress = "h"\nregister = true',
            "trunks.0: register needs a username, or else a register_user: who registers",
        ),
        (
            '[[trunks]]\nname = "a"\naddress = "h"\nusername = "a\\u0007b"',
            "trunks.0.username: 'a\\x07b' has characters that cannot be printed",
        ),
        (
            '[[trunks]]\nname = "a"\naddress = "h"\n[[trunks]]\nname = "a"\naddress = "g"',
            "'a' is there twice in trunks",
        ),
        (
            '[[trunks]]\nname = "a"\naddress = "h"\ninbound_username = "u"',
            "inbound_username and inbound_password must be set both",
        ),
        (
            "".join(
                f'[[trunks]]\nname = "{name}"\naddress = "h"\ninbound_username = "u"\n'
                'inbound_password = "p"\n'
                for name in "ab"
            ),
            "'u' is there twice in inbound_username",
        ),
        (
            '[[trunks]]\nname = "a"\naddress = "h"\ninbound_addresses = ["10.0.0.1/8"]',
            "10.0.0.0/8 would be right",
        ),
        (
            '[[trunks]]\nname = "a"\naddress = "h"\ninbound_algorithms = ["SHA1"]',
            "inbound_algorithms.0: input should be 'SHA-256' or 'MD5'",
        ),
        ('[sip]\nstrangers = "insult"', "sip.strangers: input should be 'ignore' or 'refuse'"),
        ('[[numbers]]\nnumber = "12"\nurl = "http://h/"', "numbers.0.number: '12' is not a number"),
        ('[[numbers]]\nnumber = "123"\nurl = "ftp://h/"', "numbers.0.url: 'ftp://h/' is not a URL"),
        ('[[keys]]\nname = "a"\nkey = ""', "keys.0.key"),
        ("[http\n", "is not valid TOML: Expected ']' at the end of a table declaration (at line 1"),
        ("http = 3", "http: must be a table (write [http] and its settings below)"),
        ("keys = [3]", "keys.0: must be a table (write [[keys]] and its settings below)"),
        ("trunks = 3", "trunks: must be a list of tables (write [[trunks]] for each)"),
        ('[trunks]\nname = "a"', "trunks: must be a list of tables"),
        ('[sip]\nnameservers = ["ns.example"]', "sip.nameservers.0: 'ns.example' is not an IP"),
        ('[sip]\nnameservers = ["127.0.0.1:0"]', "0 is not the port of a name server"),
        ('[sip]\nnameservers = ["127.0.0.1:x"]', "'x' is not a port"),
        ("[sip]\nlisten = []", "sip.listen: list should have at least 1 item"),
        ('[media]\ncountry = "atlantis"', "media.country: input should be 'us', 'uk'"),
        (
            '[[trunks]]\nname = "a"\naddress = "h"\ntransport = "tcp"',
            "the trunk 'a' speaks tcp, and sip.listen has no tcp listener",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in refusal(tmp_path, text)


def test_name_servers_are_addresses(tmp_path: Path) -> None:
    text = '[sip]\nnameservers = ["192.0.2.53", "127.0.0.1:5353", "::1", "[::1]:54"]\n'
    assert load(tmp_path, text).sip.nameservers == [
        "192.0.2.53", "127.0.0.1:5353", "[::1]", "[::1]:54",
    ]  # fmt: skip


def test_every_country_has_tones() -> None:
    assert get_args(config.Media.model_fields["country"].annotation) == tones.COUNTRIES


def test_a_wrong_variable_is_named_like_the_setting(tmp_path: Path) -> None:
    assert "media.workers: input should be a valid integer" in refusal(
        tmp_path, "", OUTDIAL_MEDIA__WORKERS="many"
    )
    assert "htpp: there is no such setting" in refusal(tmp_path, "", OUTDIAL_HTPP__LISTEN="x")
    assert "sip.listen: input should be a valid list" in refusal(
        tmp_path, "", OUTDIAL_SIP__LISTEN="[oops"
    )


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = refusal(tmp_path, '[http]\nlisen = 1\n[media]\nports = "x"\n')
    assert "2 settings are wrong" in text
    assert "http.lisen" in text and "media.ports" in text


@pytest.mark.parametrize(
    "text",
    [
        '[[keys]]\nname = "a"\nkey = ["hunter2"]',
        '[[keys]]\nname = "a"\nkey = {x = "hunter2"}',
        '[[trunks]]\nname = "a"\naddress = "h"\npassword = ["hunter2"]',
        '[[trunks]]\nname = "a"\naddress = "h"\npasswort = "hunter2"',
        '[[trunks]]\nname = "a"\npassword = "hunter2"',
        '[[keys]]\nkey = "hunter2"',
        'keys = "hunter2"',
    ],
)
def test_secrets_are_never_printed(tmp_path: Path, text: str) -> None:
    assert "hunter2" not in refusal(tmp_path, text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            config.load(path, environment={})
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        config.load(tmp_path / "bad.toml", environment={})


def test_settings_show_no_secrets(tmp_path: Path) -> None:
    text: Any = load(tmp_path, EXAMPLE)
    assert "YOURSECRECTAPIKEY" not in repr(text) + str(text)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"sip": {"tls_key": "k"}}, "tls_key is set and tls_certificate is not"),
        ({"sip": {"tls_client_ca": "k"}}, "tls_client_ca is set and tls_certificate is not"),
        ({"sip": {"listen": ["dtls:127.0.0.1:5061"]}}, "must start with udp:, tcp: or tls:"),
        ({"trunks": [{"name": "t", "address": "h", "transport": "tls"}]}, "tls:127.0.0.1:5061"),
        (
            {"trunks": [{"name": "t", "address": "h", "transport": "udp", "tls_ca": "f"}]},
            'tls_ca is set, and transport is "udp"; write transport = "tls"',
        ),
        (
            {"trunks": [{"name": "t", "address": "h", "transport": "tls", "tls_key": "f"}]},
            "tls_key is set and tls_certificate is not",
        ),
    ],
)
def test_settings_of_tls_say_what_is_missing(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        config.load(None, settings, {})
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("transport", "srtp", "encryption"),
    [
        ("udp", "auto", "off"),
        ("tcp", "auto", "off"),
        ("tls", "auto", "optional"),
        ("tls", "off", "off"),
        ("udp", "optional", "optional"),
        ("tls", "mandatory", "mandatory"),
    ],
)
def test_audio_is_encrypted_where_it_may_be_expected(
    transport: str, srtp: str, encryption: str
) -> None:
    settings = {"name": "a", "address": "h", "transport": transport, "srtp": srtp}
    assert config.Trunk.model_validate(settings).encryption == encryption


@pytest.mark.parametrize(
    ("more", "finds", "over_tls"),
    [
        ({}, True, "optional"),
        ({"srtp": "off"}, True, "off"),
        ({"transport": "udp"}, False, "optional"),
        ({"address": "carrier.example:5061"}, False, "optional"),
        ({"address": "192.0.2.1"}, False, "optional"),
        ({"address": "[2001:db8::1]"}, False, "optional"),
        ({"outbound_proxy": "192.0.2.9"}, False, "optional"),
    ],
)
def test_a_trunk_whose_records_say_how_sip_goes_there(
    more: dict[str, Any], finds: bool, over_tls: str
) -> None:
    trunk = config.Trunk.model_validate({"name": "a", "address": "carrier.example", **more})
    assert trunk.finds_transport is finds
    assert trunk.encryption == "off"
    assert trunk.encryption_over(tls=True) == over_tls
