"""Names to addresses: what is asked, in which order, and for how long the answer counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from doubles.names import BookOfNames, silence
from outdial.sip import resolver as module
from outdial.sip.core.locating import MAX_TARGETS, Naptr, Target
from outdial.sip.resolver import STALE_S, ResolutionFailed, Resolver

Later = Callable[[float], None]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Lets so many seconds pass, for whoever asks the loop what time it is."""
    passed = [0.0]

    def pass_by(seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if not passed[0]:
            real = loop.time
            monkeypatch.setattr(loop, "time", lambda: real() + passed[0])
        passed[0] += seconds

    return pass_by


def places(targets: list[Target] | None) -> list[str] | None:
    return (
        None
        if targets is None
        else [f"{target.transport}:{target.host}:{target.port}" for target in targets]
    )


@pytest.mark.parametrize(
    ("host", "port", "transport", "target"),
    [
        ("192.0.2.1", None, "udp", Target("udp", "192.0.2.1", 5060)),
        ("192.0.2.1", 5070, "tcp", Target("tcp", "192.0.2.1", 5070)),
        ("192.0.2.1", None, "tls", Target("tls", "192.0.2.1", 5061)),
        ("192.0.2.1", None, "", Target("udp", "192.0.2.1", 5060)),
        ("[2001:db8::1]", None, "udp", Target("udp", "2001:db8::1", 5060)),
        ("2001:db8::1", 5061, "udp", Target("udp", "2001:db8::1", 5061)),
    ],
)
async def test_literals_are_not_asked_for(
    host: str, port: int | None, transport: str, target: Target
) -> None:
    names = BookOfNames()
    resolver = Resolver(names)
    assert resolver.known(host, port, transport) == [target]
    assert await resolver.resolve(host, port, transport) == [target]
    resolver.keep(host, port, transport)
    await asyncio.sleep(0)
    assert names.asked == []
    resolver.close()


async def test_a_port_means_that_srv_is_not_asked() -> None:
    names = BookOfNames({"carrier.example": ["192.0.2.1", "2001:db8::2"]})
    found = await Resolver(names).resolve("carrier.example", 5070, "")
    assert places(found) == ["udp:192.0.2.1:5070", "udp:2001:db8::2:5070"]
    assert names.asked == ["carrier.example"]
    assert {target.name for target in found} == {"carrier.example"}


TCP, UDP, TLS = (f"{name}.carrier.example" for name in ("_sip._tcp", "_sip._udp", "_sips._tcp"))
HOSTS = {"a.example": ["192.0.2.1"], "b.example": ["192.0.2.2"], "c.example": ["192.0.2.3"]}


async def test_without_a_port_srv_comes_first() -> None:
    rows = [
        (20, 0, "c.example", 5063),
        (10, 10, "a.example", 5061),
        (10, 90, "b.example", 5062),
        (30, 0, "192.0.2.4", 5064),
    ]
    names = BookOfNames(HOSTS, {TCP: rows})
    found = await Resolver(names, draw=lambda: 0.5).resolve("carrier.example", None, "tcp")
    assert names.asked[0] == TCP
    assert places(found) == [
        "tcp:192.0.2.2:5062", "tcp:192.0.2.1:5061", "tcp:192.0.2.3:5063", "tcp:192.0.2.4:5064",
    ]  # fmt: skip


async def test_each_call_draws_its_own_order() -> None:
    names = BookOfNames(HOSTS, {UDP: [(1, 50, "a.example", 1), (1, 50, "b.example", 2)]})
    draws = [0.0, 0.99]
    resolver = Resolver(names, draw=lambda: draws.pop(0))
    one = await resolver.resolve("carrier.example", None, "udp")
    other = await resolver.resolve("carrier.example", None, "udp")
    assert one == list(reversed(other))
    assert names.asked.count(UDP) == 1


async def test_without_srv_the_host_is_asked_with_the_default_port() -> None:
    names = BookOfNames({"carrier.example": ["192.0.2.1"]})
    found = await Resolver(names).resolve("carrier.example", None, "udp")
    assert places(found) == ["udp:192.0.2.1:5060"]
    assert names.asked == [UDP, "carrier.example"]
    found = await Resolver(names).resolve("carrier.example", None, "tls")
    assert places(found) == ["tls:192.0.2.1:5061"]


async def test_an_address_that_two_records_share_is_tried_once() -> None:
    names = BookOfNames(
        {"a.example": ["192.0.2.1"], "b.example": ["192.0.2.1"]},
        {UDP: [(1, 0, "a.example", 5060), (2, 0, "b.example", 5060)]},
    )
    found = await Resolver(names).resolve("carrier.example", None, "udp")
    assert places(found) == ["udp:192.0.2.1:5060"]


# ---------------------------------------------------------------- which transport

POINTERS = [
    Naptr(10, 1, "s", "SIPS+D2T", "_sips._tcp.tls.example"),
    Naptr(20, 1, "s", "SIP+D2T", "_sip._tcp.tcp.example"),
    Naptr(30, 1, "s", "SIP+D2U", "_sip._udp.udp.example"),
]
BEHIND = {
    "_sips._tcp.tls.example": [(1, 1, "a.example", 5061)],
    "_sip._tcp.tcp.example": [(1, 1, "b.example", 5062)],
    "_sip._udp.udp.example": [(1, 1, "c.example", 5063)],
}


@pytest.mark.parametrize(
    ("spoken", "target"),
    [
        (["udp", "tcp", "tls"], "tls:192.0.2.1:5061"),
        (["udp", "tcp"], "tcp:192.0.2.2:5062"),
        (["udp"], "udp:192.0.2.3:5063"),
    ],
)
async def test_the_domain_says_which_transport_it_likes(spoken: list[str], target: str) -> None:
    names = BookOfNames(HOSTS, BEHIND, {"carrier.example": POINTERS})
    found = await Resolver(names, spoken).resolve("carrier.example", None, "")
    assert places(found) == [target]


async def test_a_transport_that_is_set_is_not_asked_about() -> None:
    names = BookOfNames(HOSTS, {UDP: [(1, 1, "c.example", 5)]}, {"carrier.example": POINTERS})
    found = await Resolver(names, ["udp", "tcp"]).resolve("carrier.example", None, "udp")
    assert places(found) == ["udp:192.0.2.3:5"]
    assert "NAPTR carrier.example" not in names.asked


async def test_a_pointer_to_nothing_is_passed_over() -> None:
    behind = {**BEHIND, "_sip._tcp.tcp.example": [(1, 1, "gone.example", 5062)]}
    names = BookOfNames(HOSTS, behind, {"carrier.example": POINTERS})
    found = await Resolver(names, ["udp", "tcp"]).resolve("carrier.example", None, "")
    assert places(found) == ["udp:192.0.2.3:5063"]


async def test_without_pointers_the_first_transport_that_has_servers_is_taken() -> None:
    rows = [(1, 1, "a.example", 5080)]
    names = BookOfNames(HOSTS, {TCP: rows, TLS: rows})
    found = await Resolver(names, ["udp", "tcp", "tls"]).resolve("carrier.example", None, "")
    assert places(found) == ["tcp:192.0.2.1:5080"]


async def test_a_name_server_that_knows_no_pointers_does_no_harm() -> None:
    names = BookOfNames(HOSTS, {UDP: [(1, 1, "a.example", 5080)]})

    async def naptr_is_away() -> None:
        names.away = {"carrier.example"} if len(names.asked) == 1 else set()

    names.before = naptr_is_away
    found = await Resolver(names, ["udp"]).resolve("carrier.example", None, "")
    assert places(found) == ["udp:192.0.2.1:5080"]


# ---------------------------------------------------------------- nothing there


async def test_a_domain_may_say_that_it_takes_no_sip() -> None:
    names = BookOfNames({"carrier.example": ["192.0.2.1"]}, {UDP: [(0, 0, ".", 0)]})
    with pytest.raises(ResolutionFailed, match=r"says by SRV that it takes no SIP over udp"):
        await Resolver(names).resolve("carrier.example", None, "udp")
    assert "carrier.example" not in names.asked, "its own address is not the way round that"


async def test_records_that_lead_nowhere_are_told_of() -> None:
    names = BookOfNames({}, {UDP: [(1, 1, "gone.example", 5060)]})
    with pytest.raises(ResolutionFailed, match=r"SRV records lead to gone\.example"):
        await Resolver(names).resolve("carrier.example", None, "udp")


async def test_one_record_that_leads_nowhere_leaves_the_others() -> None:
    rows = [(1, 1, "gone.example", 5060), (2, 1, "a.example", 5060)]
    found = await Resolver(BookOfNames(HOSTS, {UDP: rows})).resolve("carrier.example", None, "udp")
    assert places(found) == ["udp:192.0.2.1:5060"]


async def test_a_name_without_address_is_an_error_for_a_little_while(later: Later) -> None:
    names = BookOfNames()
    resolver = Resolver(names)
    with pytest.raises(ResolutionFailed, match=r"carrier\.example has no address"):
        await resolver.resolve("carrier.example", None, "udp")
    asked = len(names.asked)
    names.hosts = {"carrier.example": ["192.0.2.1"]}
    with pytest.raises(ResolutionFailed, match="has no address"):
        await resolver.resolve("carrier.example", None, "udp")
    assert len(names.asked) == asked, "nobody who posts can make us ask without end"
    later(31)
    assert places(await resolver.resolve("carrier.example", None, "udp")) == ["udp:192.0.2.1:5060"]


# ---------------------------------------------------------------- for how long


async def test_answers_count_as_long_as_their_records_say(later: Later) -> None:
    names = BookOfNames({"carrier.example": ["192.0.2.1"]}, ttl_s=120)
    resolver = Resolver(names)
    assert resolver.known("carrier.example", 5060, "udp") is None
    await resolver.resolve("carrier.example", 5060, "udp")
    names.hosts = {"carrier.example": ["192.0.2.9"]}
    later(119)
    assert places(resolver.known("carrier.example", 5060, "udp")) == ["udp:192.0.2.1:5060"]
    assert places(await resolver.resolve("carrier.example", 5060, "udp")) == ["udp:192.0.2.1:5060"]
    later(2)
    assert resolver.known("carrier.example", 5060, "udp") is None
    assert places(await resolver.resolve("carrier.example", 5060, "udp")) == ["udp:192.0.2.9:5060"]


@pytest.mark.parametrize(("ttl_s", "counts_s"), [(0, module.MIN_TTL_S), (1e6, module.MAX_TTL_S)])
async def test_times_have_bounds(later: Later, ttl_s: float, counts_s: float) -> None:
    names = BookOfNames({"carrier.example": ["192.0.2.1"]}, ttl_s=ttl_s)
    resolver = Resolver(names)
    await resolver.resolve("carrier.example", 5060, "udp")
    later(counts_s - 1)
    assert resolver.known("carrier.example", 5060, "udp")
    later(2)
    assert resolver.known("carrier.example", 5060, "udp") is None


async def test_old_answers_count_while_the_name_servers_are_away(later: Later) -> None:
    names = BookOfNames({"carrier.example": ["192.0.2.1"]})
    resolver = Resolver(names)
    await resolver.resolve("carrier.example", 5060, "udp")
    names.away = {""}
    later(61)
    assert places(await resolver.resolve("carrier.example", 5060, "udp")) == ["udp:192.0.2.1:5060"]
    asked = len(names.asked)
    assert resolver.known("carrier.example", 5060, "udp"), "the next call need not wait for that"
    await resolver.resolve("carrier.example", 5060, "udp")
    assert len(names.asked) == asked
    later(11)
    assert resolver.known("carrier.example", 5060, "udp") is None, "time to ask again"
    later(STALE_S)
    with pytest.raises(ResolutionFailed, match="does not answer"):
        await resolver.resolve("carrier.example", 5060, "udp")


@pytest.mark.parametrize("hosts", [{}, {"carrier.example": ["192.0.2.80"]}])
async def test_the_domains_own_address_does_not_take_the_place_of_srv_records_that_are_away(
    later: Later, hosts: dict[str, list[str]]
) -> None:
    """It may be that of its web site."""
    names = BookOfNames({**HOSTS, **hosts}, {UDP: [(1, 1, "a.example", 5060)]})
    resolver = Resolver(names)
    await resolver.resolve("carrier.example", None, "udp")
    names.away = {UDP}
    later(61)
    assert places(await resolver.resolve("carrier.example", None, "udp")) == ["udp:192.0.2.1:5060"]


async def test_where_srv_records_were_never_known_the_domains_own_address_is_tried() -> None:
    names = BookOfNames({"carrier.example": ["192.0.2.80"]})
    names.away = {UDP}
    found = await Resolver(names).resolve("carrier.example", None, "udp")
    assert places(found) == ["udp:192.0.2.80:5060"]
    names.hosts = {}
    with pytest.raises(ResolutionFailed, match="no name server says whether it has SRV records"):
        await Resolver(names).resolve("carrier.example", None, "udp")


async def test_that_there_is_no_such_name_ends_old_answers(later: Later) -> None:
    names = BookOfNames({"carrier.example": ["192.0.2.1"]})
    resolver = Resolver(names)
    await resolver.resolve("carrier.example", 5060, "udp")
    names.hosts = {}
    later(61)
    with pytest.raises(ResolutionFailed, match="has no address"):
        await resolver.resolve("carrier.example", 5060, "udp")


async def test_part_of_an_answer_counts_for_a_short_time(later: Later) -> None:
    rows = [(1, 1, "a.example", 5060), (2, 1, "b.example", 5060)]
    names = BookOfNames(HOSTS, {UDP: rows}, ttl_s=600)
    names.away = {"a.example"}
    resolver = Resolver(names)
    assert places(await resolver.resolve("carrier.example", None, "udp")) == ["udp:192.0.2.2:5060"]
    names.away = set()
    later(module.MIN_TTL_S + 1)
    assert len(await resolver.resolve("carrier.example", None, "udp")) == 2


async def test_a_silent_name_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUT_S", 0.01)
    names = BookOfNames()
    names.before = silence
    with pytest.raises(ResolutionFailed, match="does not answer"):
        await Resolver(names).resolve("carrier.example", None, "udp")


async def test_a_call_does_not_wait_for_what_was_away_ahead_of_it() -> None:
    names = BookOfNames()
    names.away = {""}
    resolver = Resolver(names)
    resolver.keep("carrier.example", 5060, "udp")
    with pytest.raises(ResolutionFailed, match="does not answer"):
        await resolver.resolve("carrier.example", 5060, "udp")
    names.before = silence
    with pytest.raises(ResolutionFailed, match="does not answer"):
        await resolver.resolve("carrier.example", 5060, "udp")
    assert names.asked == ["carrier.example"]
    resolver.close()


async def test_with_an_old_answer_nobody_waits_long(
    monkeypatch: pytest.MonkeyPatch, later: Later
) -> None:
    monkeypatch.setattr(module, "_STALE_AFTER_S", 0.01)
    names = BookOfNames({"carrier.example": ["192.0.2.1"]})
    resolver = Resolver(names)
    await resolver.resolve("carrier.example", 5060, "udp")
    later(61)
    names.before = silence
    found = await resolver.resolve("carrier.example", 5060, "udp")
    assert places(found) == ["udp:192.0.2.1:5060"]
    resolver.close()


# ---------------------------------------------------------------- bounds


async def test_answers_are_kept_by_port_and_transport() -> None:
    names = BookOfNames({"carrier.example": ["192.0.2.1"]})
    resolver = Resolver(names)
    await resolver.resolve("carrier.example", 5060, "udp")
    assert resolver.known("carrier.example", 5061, "udp") is None
    assert resolver.known("carrier.example", 5060, "tcp") is None


async def test_the_cache_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_KEPT", 3)
    names = BookOfNames({f"h{number}": ["192.0.2.1"] for number in range(5)})
    resolver = Resolver(names)
    for number in range(5):
        await resolver.resolve(f"h{number}", 5060, "udp")
    kept = [number for number in range(5) if resolver.known(f"h{number}", 5060, "udp")]
    assert kept == [2, 3, 4]


async def test_a_domain_with_a_thousand_addresses_has_so_many_servers() -> None:
    """Each of a trunk's servers is sent OPTIONS, and called in its turn."""
    many = [f"192.0.2.{number}" for number in range(200)]
    names = BookOfNames(
        {"carrier.example": many, **{f"h{number}.example": many for number in range(20)}},
        {"_sip._udp.wide.example": [(1, 1, f"h{number}.example", number) for number in range(20)]},
    )
    resolver = Resolver(names)
    assert len(await resolver.resolve("carrier.example", 5060, "udp")) == MAX_TARGETS
    found = await resolver.resolve("wide.example", None, "udp")
    assert len(found) == len(set(found)) == 2 * MAX_TARGETS
    kept = resolver._kept["wide.example", None, "udp"].found
    assert sum(len(choice.targets) for choice in kept.choices) <= MAX_TARGETS**2


async def test_a_hundred_callers_ask_once() -> None:
    names = BookOfNames({"carrier.example": ["192.0.2.1"]})
    names.before = lambda: asyncio.sleep(0.01)
    resolver = Resolver(names)
    asking = (resolver.resolve("carrier.example", 5060, "udp") for _ in range(100))
    found = await asyncio.gather(*asking)
    assert len({tuple(one) for one in found}) == 1
    assert names.asked == ["carrier.example"]


async def test_look_ups_at_once_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_FLIGHTS", 2)
    names = BookOfNames()
    names.before = silence
    resolver = Resolver(names)
    waiting = [
        asyncio.ensure_future(resolver.resolve(f"h{number}.example", 5060, "udp"))
        for number in range(2)
    ]
    await asyncio.sleep(0.01)
    with pytest.raises(ResolutionFailed, match="too many names"):
        await resolver.resolve("h3.example", 5060, "udp")
    resolver.close()
    for one in waiting:
        with pytest.raises(ResolutionFailed):
            await one


# ---------------------------------------------------------------- ahead of calls


async def test_what_is_kept_fresh_is_known_when_a_call_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MIN_TTL_S", 0.05)
    monkeypatch.setattr(module, "_SOONEST_S", 0.01)
    names = BookOfNames({"carrier.example": ["192.0.2.1"]}, ttl_s=0.05)
    asked_often = asyncio.Event()

    async def note() -> None:
        if len(names.asked) >= 4:
            asked_often.set()

    names.before = note
    resolver = Resolver(names)
    resolver.keep("carrier.example", 5060, "udp")
    resolver.keep("carrier.example", 5060, "udp")
    async with asyncio.timeout(5):
        await asked_often.wait()
    assert resolver.known("carrier.example", 5060, "udp")
    resolver.close()
    asked = len(names.asked)
    await asyncio.sleep(0.2)
    assert len(names.asked) == asked
