"""What is asked of a real name server, over UDP and TCP, and what is made of its answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from outdial.sip import names as module
from outdial.sip.core.locating import Naptr, Srv
from outdial.sip.names import HostsFile, NamesAway, NameServers, is_local
from outdial.testing.name_server import NameServer


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    async with NameServer() as one:
        one.add("a.carrier.example. 120 IN A 192.0.2.1")
        one.add("a.carrier.example. 120 IN A 192.0.2.2")
        one.add("a.carrier.example. 90 IN AAAA 2001:db8::1")
        one.add("_sip._udp.carrier.example. 300 IN SRV 10 60 5060 a.carrier.example.")
        one.add("_sip._udp.carrier.example. 300 IN SRV 20 0 5080 b.carrier.example.")
        one.add('carrier.example. 600 IN NAPTR 10 5 "s" "SIP+D2U" "" _sip._udp.carrier.example.')
        one.add("www.carrier.example. 200 IN CNAME a.carrier.example.")
        one.add("round.carrier.example. 60 IN CNAME about.carrier.example.")
        one.add("about.carrier.example. 60 IN CNAME round.carrier.example.")
        yield one


@pytest.fixture
def names(server: NameServer) -> NameServers:
    return NameServers([server.address])


async def test_addresses_of_both_kinds(names: NameServers, server: NameServer) -> None:
    answer = await names.addresses("a.carrier.example")
    assert set(answer.records) == {"192.0.2.1", "192.0.2.2", "2001:db8::1"}
    assert answer.records[2] == "2001:db8::1"
    assert answer.ttl_s == 90
    assert {(name, how) for name, _, how in server.asked} == {("a.carrier.example", "udp")}


async def test_srv_and_naptr(names: NameServers) -> None:
    answer = await names.srv("_sip._udp.carrier.example")
    assert set(answer.records) == {
        Srv(10, 60, 5060, "a.carrier.example"),
        Srv(20, 0, 5080, "b.carrier.example"),
    }
    assert answer.ttl_s == 300
    assert (await names.naptr("carrier.example")).records == (
        Naptr(10, 5, "s", "SIP+D2U", "_sip._udp.carrier.example"),
    )


async def test_an_alias_counts_as_long_as_the_shorter_of_both(names: NameServers) -> None:
    answer = await names.addresses("www.carrier.example")
    assert "192.0.2.1" in answer.records
    assert answer.ttl_s == 90


@pytest.mark.parametrize("name", ["no.carrier.example", "carrier.example", "no..name", "a" * 300])
async def test_no_such_name_and_no_such_record_are_answers(names: NameServers, name: str) -> None:
    assert (await names.srv(name)).records == ()
    if name.count(".") < 3:
        assert (await names.naptr(f"x.{name}")).records == ()


async def test_no_search_list_makes_another_name_of_it(
    names: NameServers, server: NameServer
) -> None:
    assert (await names.addresses("no.carrier.example")).records == ()
    assert {name for name, _, _ in server.asked} == {"no.carrier.example"}


async def test_aliases_in_a_circle_are_no_answer(names: NameServers) -> None:
    with pytest.raises(NamesAway, match="no usable answer"):
        await names.addresses("round.carrier.example")


async def test_what_is_cut_off_is_asked_for_over_tcp(
    names: NameServers, server: NameServer
) -> None:
    server.truncates = True
    answer = await names.srv("_sip._udp.carrier.example")
    assert len(answer.records) == 2
    assert [how for _, _, how in server.asked] == ["udp", "tcp"]


async def test_an_answer_too_long_for_a_datagram(names: NameServers, server: NameServer) -> None:
    for place in range(60):
        server.add(f"_sip._tcp.carrier.example. 60 IN SRV 1 1 5060 h{place}.carrier.example.")
    assert len((await names.srv("_sip._tcp.carrier.example")).records) == 60
    assert server.asked[-1][2] == "tcp"


async def test_a_server_that_fails_is_away(names: NameServers, server: NameServer) -> None:
    server.fails = True
    for asking in (names.srv("x.example"), names.naptr("x.example"), names.addresses("x.example")):
        with pytest.raises(NamesAway, match="no usable answer"):
            await asking


async def test_a_silent_server_is_away(
    names: NameServers, server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ALL_SERVERS_S", 0.1)
    server.is_silent = True
    with pytest.raises(NamesAway, match="does not answer"):
        await names.srv("x.example")


async def test_a_slow_server_is_waited_for(names: NameServers, server: NameServer) -> None:
    server.delay_s = 0.1
    assert (await names.addresses("a.carrier.example")).records


async def test_the_next_server_is_asked_when_one_fails(server: NameServer) -> None:
    async with NameServer() as broken:
        broken.fails = True
        names = NameServers([broken.address, server.address])
        assert (await names.srv("_sip._udp.carrier.example")).records
        assert broken.asked


async def test_one_kind_of_address_is_enough(server: NameServer) -> None:
    server.add("only4.example. 60 IN A 192.0.2.4")
    server.add("only6.example. 60 IN AAAA 2001:db8::6")
    names = NameServers([server.address])
    assert (await names.addresses("only4.example")).records == ("192.0.2.4",)
    assert (await names.addresses("only6.example")).records == ("2001:db8::6",)


async def test_nobody_at_the_servers_address(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ALL_SERVERS_S", 0.1)
    await server.stop()
    names = NameServers([server.address])
    with pytest.raises(NamesAway):
        async with asyncio.timeout(10):
            await names.srv("x.example")


async def test_the_systems_own_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: NameServer
) -> None:
    file = tmp_path / "resolv.conf"
    monkeypatch.setattr(module, "_RESOLV_CONF", file)
    names = NameServers()
    with pytest.raises(NamesAway, match="no name server is set up"):
        await names.srv("x.example")
    file.write_text("search carrier.example\nnameserver 127.0.0.1\n")
    names._configure()
    names._resolver.port = server.port  # the file has no place for one
    assert (await names.srv("_sip._udp.carrier.example")).records
    assert (await names.addresses("a.carrier.example")).records


async def test_the_systems_own_names() -> None:
    names = NameServers(["127.0.0.1:9"])
    assert "127.0.0.1" in (await names.addresses("localhost")).records
    assert (await names.addresses("no host name at all")).records == ()
    assert is_local("asterisk")
    assert is_local("phone.local.")
    assert not is_local("sip.carrier.example")


def test_the_file_of_hosts(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    hosts = HostsFile(path)
    assert hosts.addresses("a.example") == ()
    path.write_text(
        "127.0.0.1 localhost\n\n192.0.2.1\tA.example a # ours\n2001:db8::1 a.example\n"
        "fe80::1%lo a.example\n# 192.0.2.2 b.example\nnothing\n"
    )
    assert hosts.addresses("a.Example.") == ("192.0.2.1", "2001:db8::1")
    assert hosts.addresses("a") == ("192.0.2.1",)
    assert hosts.addresses("b.example") == ()
    path.write_bytes(b"192.0.2.3 c.example \xff\n")
    assert hosts.addresses("c.example") == ("192.0.2.3",)
    path.unlink()
    assert hosts.addresses("c.example") == ()
