"""Every row of the table of `outdial trunks check`, found where it should be."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from doubles.certificates import Authority
from doubles.names import BookOfNames
from outdial.cli.trunk_check import chosen, shown
from outdial.clock import SystemClock
from outdial.config import Settings, Sip, Trunk
from outdial.errors import ConfigError, Refused
from outdial.sip.core.locating import Srv
from outdial.sip.endpoint import SipEndpoint, parse_listener
from outdial.sip.leg import InboundLeg
from outdial.sip.names import Answer, NamesAway
from outdial.trunk_check import walk as walking
from outdial.trunk_check.call import Trial, allowed
from outdial.trunk_check.diagnoses import (
    DIAGNOSES,
    of_audio,
    of_connecting,
    of_options,
    of_registration,
    of_rejection,
    of_trouble,
)
from outdial.trunk_check.walk import Step, ask, find, may_call, settings_steps, walk

HERE = "127.0.0.1"
PAGE = Path(__file__).parents[3] / "docs/guides/trunk-check.md"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def made(trunk: dict[str, Any], **settings: Any) -> tuple[Settings, Trunk]:
    row = {"name": "t", "address": f"{HERE}:5060", **trunk}
    listen = [f"{row.get('transport', 'udp')}:{HERE}:0"]
    given = {"sip": {"listen": listen}, "limits": {"destinations": ["1"]}, **settings}
    whole = Settings.model_validate({**given, "trunks": [row]})
    return whole, whole.trunks[0]


async def walked(trunk: dict[str, Any], **settings: Any) -> list[Step]:
    return [step async for step in walk(*made(trunk, **settings))]


def rows(steps: list[Step]) -> list[str]:
    return [step.row for step in steps]


# ------------------------------------------------------------------ the page and the table


def test_the_page_has_each_row() -> None:
    lines = [one for one in PAGE.read_text().splitlines() if one.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    told = {cell[0].strip("`"): (cell[1], cell[2]) for cell in cells if len(cell) == 3}
    wanted = {row: (one.meaning, one.remedy or "–") for row, one in DIAGNOSES.items()}
    assert told == wanted


def test_what_is_wrong_has_a_remedy() -> None:
    for row, diagnosis in DIAGNOSES.items():
        assert diagnosis.ok or diagnosis.remedy, row
        assert re.fullmatch(r"[a-z-]+", row)


# ------------------------------------------------------------------ what statuses and packets mean


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("connect-refused", of_connecting(ConnectionRefusedError())),
        ("connect-silent", of_connecting(TimeoutError())),
        ("connect-failed", of_connecting(OSError(errno.ENETUNREACH, "unreachable"))),
        ("tls-expired", of_trouble("expired")),
        ("tls-not-yet-valid", of_trouble("not-yet-valid")),
        ("tls-protocol", of_trouble("protocol")),
        ("tls-client-certificate-refused", of_trouble("client-certificate-refused")),
        ("tls-failed", of_trouble("other")),
        ("options-well", of_options(200)),
        ("options-well", of_options(404)),
        ("options-well", of_options(405)),
        ("options-challenged", of_options(401)),
        ("options-challenged", of_options(407)),
        ("options-forbidden", of_options(403)),
        ("options-unavailable", of_options(503)),
        ("options-silent", of_options(None)),
        ("options-nobody", of_options(None, nobody=True)),
        ("registered", of_registration(200)),
        ("register-password", of_registration(401)),
        ("register-password", of_registration(407)),
        ("register-forbidden", of_registration(403)),
        ("register-unknown", of_registration(404)),
        ("register-silent", of_registration(None)),
        ("register-failed", of_registration(500)),
        ("call-password", of_rejection(401)),
        ("call-password", of_rejection(407)),
        ("call-forbidden", of_rejection(403)),
        ("call-no-such-number", of_rejection(404)),
        ("call-no-such-number", of_rejection(484)),
        ("call-rang-out", of_rejection(480)),
        ("call-rang-out", of_rejection(487, local=True)),
        ("call-busy", of_rejection(486)),
        ("call-declined", of_rejection(603)),
        ("call-codec", of_rejection(488)),
        ("call-moved", of_rejection(302)),
        ("call-unavailable", of_rejection(503)),
        ("call-refused", of_rejection(420)),
        ("call-silent", of_rejection(408, local=True)),
        ("call-unreachable", of_rejection(503, local=True)),
        ("audio-well", of_audio(sent=150, received=150, lost=2, refused=0)),
        ("audio-none", of_audio(sent=150, received=0, lost=0, refused=0)),
        ("audio-refused", of_audio(sent=150, received=0, lost=0, refused=150)),
        ("audio-unsent", of_audio(sent=0, received=0, lost=0, refused=0)),
        ("audio-lossy", of_audio(sent=150, received=130, lost=20, refused=0)),
    ],
)
def test_what_is_seen_leads_to_the_row(row: str, found: str) -> None:
    assert found == row
    assert row in DIAGNOSES


# ------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("trunk", "settings", "row"),
    [
        ({}, {}, "settings-well"),
        ({"address": "192.0.2.1"}, {}, "listener-loopback"),
        ({"address": "192.0.2.1"}, {"sip": {"listen": ["udp:10.0.0.1:0"]}}, "media-loopback"),
        ({"username": "u"}, {}, "password-missing"),
        ({"transport": "tls", "tls_verify": False}, {}, "unchecked"),
    ],
)
def test_settings(trunk: dict[str, Any], settings: dict[str, Any], row: str) -> None:
    steps = list(settings_steps(*made(trunk, **settings)))
    assert row in rows(steps)
    assert ("settings-well" in rows(steps)) is all(step.ok for step in steps)


async def test_a_trunk_that_cannot_be_reached_from_here_is_not_tried() -> None:
    steps = await walked({"address": "192.0.2.1"})
    assert [step.name for step in steps] == ["settings"]


async def test_a_file_that_cannot_be_used() -> None:
    steps = await walked({"transport": "tls", "tls_ca": "none.pem"})
    assert rows(steps)[-1] == "files-wrong"
    assert "trunks.t.tls_ca: none.pem cannot be read" in steps[-1].detail


# ------------------------------------------------------------------ names


class Names:
    """A name server that knows one service."""

    def __init__(self, *, away: bool = False) -> None:
        self.away = away

    async def naptr(self, name: str) -> Answer[Any]:
        return self._said(())

    async def srv(self, name: str) -> Answer[Any]:
        known = name == "_sip._udp.carrier.example"
        return self._said((Srv(10, 5, 5070, "a.carrier.example"),) if known else ())

    async def addresses(self, name: str) -> Answer[str]:
        return self._said((HERE,) if name == "a.carrier.example" else ())

    def _said(self, records: tuple[Any, ...]) -> Answer[Any]:
        if self.away:
            raise NamesAway("the name server does not answer")
        return Answer(records, 60.0)


@pytest.mark.parametrize(
    ("address", "names", "row", "words"),
    [
        (HERE, Names(), "dns-literal", f"udp:{HERE}:5060"),
        ("carrier.example", Names(), "dns-found", "SRV _sip._udp.carrier.example: 10 5 5070 a.car"),
        ("carrier.example", Names(), "dns-found", f"udp:{HERE}:5070"),
        ("other.example", Names(), "dns-none", "A other.example: none"),
        ("carrier.example", Names(away=True), "dns-away", "the name server does not answer"),
    ],
)
async def test_names(address: str, names: Names, row: str, words: str) -> None:
    settings, trunk = made({"address": address})
    steps, targets = await find(settings.sip, trunk, names)
    assert rows(steps) == [row]
    assert words in steps[0].detail
    assert bool(targets) is steps[0].ok


async def test_a_transport_that_nothing_listens_with() -> None:
    settings, trunk = made({"transport": "tcp"})
    steps, targets = await find(
        settings.sip.model_copy(update={"listen": ["udp:127.0.0.1:0"]}), trunk
    )
    assert (rows(steps)[-1], targets) == ("no-listener", [])


# ------------------------------------------------------------------ connections


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind((HERE, 0))
        return int(sock.getsockname()[1])


async def test_nobody_listens_on_tcp() -> None:
    steps = await walked({"address": f"{HERE}:{closed_port()}", "transport": "tcp"})
    assert rows(steps) == ["settings-well", "dns-literal", "connect-refused"]


Act = Callable[[InboundLeg], None]


@asynccontextmanager
async def far(
    listen: str = "udp", act: Act = lambda leg: None, **settings: Any
) -> AsyncIterator[int]:
    """A carrier; its port."""

    def on_invite(leg: InboundLeg) -> None:
        leg.listen(lambda event: None)
        act(leg)

    endpoint = await SipEndpoint.start(
        Sip(listen=[f"{listen}:{HERE}:0"], t1_ms=20, **settings),
        on_invite=on_invite,
        accept_source=lambda host: True,
    )
    try:
        yield parse_listener(endpoint.listeners[0])[2]
    finally:
        await endpoint.close()


def files(authority: Authority, *names: str, **more: Any) -> dict[str, Any]:
    shown = authority.make(names=names or (HERE,), **more)
    return {"tls_certificate": str(shown.path), "tls_key": str(shown.key_path)}


@pytest.mark.parametrize(
    ("certificate", "trunk", "row"),
    [
        ({}, {}, "secure"),
        ({"days": (-9, -1)}, {}, "tls-expired"),
        ({"self_signed": True}, {}, "tls-self-signed"),
        ({}, {"tls_ca": ""}, "tls-unknown-ca"),
        ({}, {"tls_name": "other.example"}, "tls-wrong-name"),
    ],
)
async def test_certificates(
    authority: Authority, certificate: dict[str, Any], trunk: dict[str, Any], row: str
) -> None:
    async with far("tls", **files(authority, **certificate)) as port:
        given = {"tls_ca": authority.path, "transport": "tls", "address": f"{HERE}:{port}", **trunk}
        steps = await walked(given)
    tls = next(step for step in steps if step.name == "tls")
    assert tls.row == row
    assert "CN=sip.example.com" in tls.detail, "the certificate is shown, good or not"
    assert f"for {HERE}" in tls.detail
    assert "issued by CN=" in tls.detail
    assert re.search(r"it is good until 20\S+, 30 days|it expired on 20", tls.detail)
    assert (steps[-1].row == "options-well") is (row == "secure")


async def test_a_certificate_of_ours_is_wanted(authority: Authority) -> None:
    async with far("tls", **files(authority), tls_client_ca=authority.path) as port:
        given = {"tls_ca": authority.path, "transport": "tls", "address": f"{HERE}:{port}"}
        assert rows(await walked(given))[-1] == "tls-client-certificate-wanted"
        good = await walked({**given, **files(authority)})
        assert rows(good)[-2:] == ["secure", "options-well"]


async def test_tls_where_there_is_none(authority: Authority) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SIP/2.0 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, HERE, 0)
    port = server.sockets[0].getsockname()[1]
    steps = await walked({"address": f"{HERE}:{port}", "transport": "tls"})
    assert rows(steps)[-2:] == ["connected", "tls-no-tls"]
    server.close()


# ------------------------------------------------------------------ what it answers


async def test_a_trunk_that_is_well() -> None:
    async with far() as port:
        steps = await walked({"address": f"{HERE}:{port}"})
    assert rows(steps) == ["settings-well", "dns-literal", "options-well"]
    assert "200 OK" in steps[-1].detail


async def test_nobody_listens_on_udp() -> None:
    steps = await walked({"address": f"{HERE}:{closed_port()}"})
    assert rows(steps)[-1] == "options-nobody"


async def test_a_trunk_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "ANSWER_S", 0.2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((HERE, 0))
        steps = await walked({"address": f"{HERE}:{silent.getsockname()[1]}"})
    assert rows(steps)[-1] == "options-silent"


async def test_a_registrar_that_wants_nobody() -> None:
    async with far() as port:  # 405: it is no registrar
        given = {"address": f"{HERE}:{port}", "register": True, "username": "u", "password": "p"}
        steps = await walked(given)
    assert rows(steps)[-2:] == ["options-well", "register-failed"]


# ------------------------------------------------------------------ the call


async def called(act: Act, number: str = "12025550123", **settings: Any) -> list[Step]:
    async with far(act=act) as port:
        whole, trunk = made({"address": f"{HERE}:{port}"}, **settings)
        return [step async for step in Trial(whole, trunk, number, "12025550100").steps()]


def refusing(status: int) -> Act:
    return lambda leg: leg.reject(status)


async def test_a_number_that_may_not_be_called() -> None:
    (step,) = await called(refusing(486), "442079460123")
    assert step.row == "not-allowed"
    assert "limits.destinations" in step.detail


async def test_a_busy_number() -> None:
    (step,) = await called(refusing(486))
    assert (step.row, step.detail) == ("call-busy", "486 Busy Here")


async def test_an_answer_without_audio() -> None:
    (step,) = await called(lambda leg: leg.accept(b"v=0\r\n"))
    assert step.row == "call-answer-useless"


async def test_one_way_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outdial.trunk_check.call.TALK_S", 0.3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((HERE, 0))
        port = silent.getsockname()[1]
        description = (
            f"v=0\r\no=- 1 1 IN IP4 {HERE}\r\ns=-\r\nc=IN IP4 {HERE}\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        )

        def answer(leg: InboundLeg) -> None:
            leg.ring()
            leg.accept(description.encode())

        call, audio = await called(answer)
    assert (call.row, audio.row) == ("call-answered", "audio-none")
    assert call.detail.startswith("180, rang for ")
    assert call.detail.endswith("200, PCMU")
    assert f"packets sent to {HERE}:{port}, 0 received" in audio.detail


# ------------------------------------------------------------------ the command


def test_an_unknown_trunk_names_those_that_there_are() -> None:
    settings, _ = made({})
    with pytest.raises(ConfigError, match=r"there is no trunk named x \(there are: t\)"):
        chosen(settings, "x", lambda: "")


def test_the_simulated_phones_of_a_server_are_a_trunk() -> None:
    trunk, settings = chosen(Settings(), "sim", lambda: f"{HERE}:5099")
    assert (trunk.address, trunk.username) == (f"{HERE}:5099", "sim")
    assert settings.sim.enabled


def test_steps_are_lines_or_json() -> None:
    step = Step("call", "call-busy", "486 Busy\x1b[2J; more", 12.3)
    first, *below, remedy = shown(step, as_json=False)
    assert first == "ok      call           12 ms  the trunk works, and the number is busy"
    assert "\x1b" not in "".join(below)
    assert remedy.strip() == "-> try another number"
    (line,) = shown(step, as_json=True)
    assert '"diagnosis": "call-busy"' in line and '"took_ms": 12.3' in line


# ------------------------------------------------------------------ several servers


def two_servers(first: int, second: int) -> BookOfNames:
    return BookOfNames(
        {"a.carrier.example": [HERE], "b.carrier.example": ["127.0.0.2"]},
        {
            "_sip._udp.carrier.example": [
                (1, 1, "a.carrier.example", first),
                (2, 1, "b.carrier.example", second),
            ]
        },
    )


async def test_each_server_is_asked_and_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one is away: calls work, and who looks learns of it."""
    monkeypatch.setattr(walking, "ANSWER_S", 1.0)
    async with far() as port:
        settings, trunk = made({"address": "carrier.example"})
        _, targets = await find(settings.sip, trunk, two_servers(port, closed_port()))
        steps = [step async for step in ask(settings.sip, trunk, targets)]
    assert rows(steps) == ["options-well", "options-nobody"]
    assert steps[0].detail.startswith(f"udp:{HERE}:{port} 200")
    assert steps[1].detail.startswith("udp:127.0.0.2:")
    assert may_call(steps)


def step(name: str, row: str) -> Step:
    return Step(name, row)


@pytest.mark.parametrize(
    ("steps", "may"),
    [
        ([step("options", "options-well")], True),
        ([step("options", "options-silent"), step("options", "options-well")], True),
        ([step("connect", "connect-refused"), step("options", "options-well")], True),
        ([step("options", "options-silent")], False),
        ([step("options", "options-well"), step("register", "register-password")], False),
        ([step("settings", "password-missing"), step("options", "options-well")], False),
        ([], False),
    ],
)
def test_one_server_that_answers_is_enough_for_a_call(steps: list[Step], may: bool) -> None:
    assert may_call(steps) is may


# ------------------------------------------------------------------ the gate of the call

TEN = 1_780_308_000.0
"""A Monday in June, 10:00 UTC: 06:00 in New York, 11:00 in London."""


class Then(SystemClock):
    def now(self) -> float:
        return TEN


@pytest.mark.parametrize(
    ("number", "settings", "rule"),
    [
        ("442079460123", {}, "limits.destinations"),
        ("19005550123", {}, "limits.premium_rate"),
        ("8816 5555 0123", {"limits": {"destinations": ["881"]}}, "limits.satellite"),
        ("12125550123", {"policy": {"calling_hours": "09:00-20:00"}}, "policy.calling_hours"),
        ("12125550123", {"policy": {"do_not_call": "LIST"}}, "policy.do_not_call"),
        ("12", {}, "too short"),
    ],
)
def test_a_call_passes_the_gate_of_every_call(
    tmp_path: Path, number: str, settings: dict[str, Any], rule: str
) -> None:
    """And the refusal names the rule."""
    listed = tmp_path / "never.txt"
    listed.write_text("12125550123\n")
    if "do_not_call" in settings.get("policy", {}):
        settings = {"policy": {"do_not_call": str(listed)}}
    whole, _ = made({}, **settings)
    with pytest.raises(Refused, match=rule.replace(".", r"\.")):
        allowed(whole, number, Then())


def test_what_every_call_may_the_check_may(tmp_path: Path) -> None:
    listed = tmp_path / "never.txt"
    listed.write_text("12125550199\n")
    whole, _ = made({}, policy={"calling_hours": "05:00-20:00", "do_not_call": str(listed)})
    assert allowed(whole, "+1 (212) 555-0123", Then()) == "12125550123"


async def test_a_number_on_the_list_gets_no_invite(tmp_path: Path) -> None:
    listed = tmp_path / "never.txt"
    listed.write_text("12025550123\n")
    invited: list[InboundLeg] = []
    (step,) = await called(invited.append, policy={"do_not_call": str(listed)})
    assert (step.row, invited) == ("not-allowed", [])
    assert "policy.do_not_call" in step.detail


async def test_a_list_that_cannot_be_read_lets_nobody_be_called(tmp_path: Path) -> None:
    invited: list[InboundLeg] = []
    (step,) = await called(invited.append, policy={"do_not_call": str(tmp_path / "none")})
    assert (step.row, invited) == ("files-wrong", [])
    assert "policy.do_not_call" in step.detail


# ------------------------------------------------------------------ encryption


async def test_both_offers_are_made_where_encryption_is_optional(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A carrier that takes RTP/SAVP alone: told, and called as every call would."""
    monkeypatch.setattr("outdial.trunk_check.call.TALK_S", 0.05)
    offers: list[bytes] = []

    def insist(leg: InboundLeg) -> None:
        offers.append(leg.offer or b"")
        leg.reject(488) if len(offers) == 1 else leg.reject(486)

    async with far(act=insist) as port:
        whole, trunk = made({"address": f"{HERE}:{port}", "srtp": "optional"})
        steps = [one async for one in Trial(whole, trunk, "12025550123", "12025550100").steps()]
    assert rows(steps) == ["call-insisted", "call-busy"]
    assert steps[0].ok and "488" in steps[0].detail
    assert [b"RTP/SAVP" in offer for offer in offers] == [False, True]
    assert all(b"a=crypto:" in offer for offer in offers)


@pytest.mark.parametrize(
    ("srtp", "profile", "row"),
    [("mandatory", b"RTP/SAVP", "call-codec"), ("off", b"RTP/AVP", "call-codec")],
)
async def test_one_offer_where_there_is_no_choice(srtp: str, profile: bytes, row: str) -> None:
    offers: list[bytes] = []

    def refuse(leg: InboundLeg) -> None:
        offers.append(leg.offer or b"")
        leg.reject(488)

    async with far(act=refuse) as port:
        given = {"address": f"{HERE}:{port}", "srtp": srtp, "srtp_keys_in_clear": True}
        whole, trunk = made(given)
        steps = [one async for one in Trial(whole, trunk, "12025550123", "12025550100").steps()]
    assert rows(steps) == [row]
    (offer,) = offers
    assert profile in offer and (b"a=crypto:" in offer) is (srtp == "mandatory")


async def test_a_plain_answer_to_keys_is_called_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outdial.trunk_check.call.TALK_S", 0.05)
    description = (
        f"v=0\r\no=- 1 1 IN IP4 {HERE}\r\ns=-\r\nc=IN IP4 {HERE}\r\nt=0 0\r\n"
        f"m=audio {closed_port()} RTP/AVP 0\r\n"
    )
    async with far(act=lambda leg: leg.accept(description.encode())) as port:
        whole, trunk = made({"address": f"{HERE}:{port}", "srtp": "optional"})
        steps = [one async for one in Trial(whole, trunk, "12025550123", "12025550100").steps()]
    assert steps[0].detail.endswith("200, PCMU, plain")


async def test_a_codec_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outdial.media.coders.available.problem", lambda codecs: "opus needs it")
    steps = list(settings_steps(*made({"codecs": ["opus"]})))
    assert rows(steps) == ["codec-missing"]
    assert steps[0].detail == "opus needs it"
