"""Which trunk takes a number."""

from __future__ import annotations

from outdial.calls.routes import Routes
from outdial.config import Trunk


def trunk(name: str, *prefixes: str) -> Trunk:
    return Trunk(name=name, address="192.0.2.1", prefixes=list(prefixes))


def names(routes: Routes, number: str, name: str = "") -> list[str]:
    return [found.name for found in routes.to(number, name)]


def test_the_longest_prefix_wins() -> None:
    routes = Routes([trunk("world", ""), trunk("america", "1"), trunk("new york", "1212", "1646")])
    assert names(routes, "12125550100") == ["new york"]
    assert names(routes, "13035550100") == ["america"]
    assert names(routes, "442079460000") == ["world"]


def test_trunks_of_one_length_are_tried_in_the_order_of_the_settings() -> None:
    routes = Routes([trunk("b", "1"), trunk("a", "1"), trunk("world", "")])
    assert names(routes, "13035550100") == ["b", "a"]


def test_a_plus_in_a_prefix_is_nothing() -> None:
    assert names(Routes([trunk("uk", "+44")]), "442079460000") == ["uk"]


def test_no_trunk_no_route() -> None:
    assert names(Routes([trunk("uk", "44")]), "13035550100") == []
    assert names(Routes([]), "13035550100") == []


def test_a_named_trunk_is_used_whatever_its_prefixes() -> None:
    routes = Routes([trunk("uk", "44"), trunk("world", "")])
    assert names(routes, "13035550100", "uk") == ["uk"]
    assert names(routes, "13035550100", "none") == []
    assert routes.names() == ("uk", "world")


def test_trunks_that_are_down_come_last() -> None:
    down = {"b", "c"}
    trunks = [
        trunk("b", "1"),
        trunk("a", "1"),
        trunk("c", "1"),
        trunk("d", "1"),
        trunk("world", ""),
    ]
    routes = Routes(trunks, lambda name: name in down)
    assert names(routes, "13035550100") == ["a", "d", "b", "c"]
    assert names(routes, "13035550100", "b") == ["b"], "whoever names a trunk gets it"
    down.clear()
    assert names(routes, "13035550100") == ["b", "a", "c", "d"]


def test_the_only_trunk_is_tried_though_it_is_down() -> None:
    assert names(Routes([trunk("a", "1")], lambda name: True), "13035550100") == ["a"]
