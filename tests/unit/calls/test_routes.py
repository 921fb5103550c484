"""Which trunk takes a number."""

from __future__ import annotations

from typing import Any

from outdial.calls.rates import Rates
from outdial.calls.routes import Routes
from outdial.config import Route, Trunk


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


# ---------------------------------------------------------------- [[routes]]


def route(*prefixes: str, trunks: list[Any], **more: Any) -> Route:
    return Route.model_validate({"prefixes": list(prefixes), "trunks": trunks, **more})


TRUNKS = [trunk("a"), trunk("b"), trunk("world", "")]


def chosen(routes: Routes, number: str, name: str = "") -> tuple[list[str], str]:
    found = routes.chosen(number, name)
    return [one.name for one in found.trunks], found.why


def test_a_route_goes_before_the_prefixes_of_trunks() -> None:
    routes = Routes(TRUNKS, routes=[route("44", trunks=["b", "a"])])
    assert chosen(routes, "442079460000") == (["b", "a"], "the route of prefix 44, in its order")
    assert chosen(routes, "12125550100") == (["world"], "trunks.prefixes: (all)")
    assert names(routes, "442079460000") == ["b", "a"]
    assert routes.are_set
    assert not Routes(TRUNKS).are_set


def test_the_longest_prefix_of_all_routes_decides() -> None:
    routes = Routes(
        TRUNKS,
        routes=[
            route("", trunks=["world"]),
            route("44", "353", trunks=["a"]),
            route("447", trunks=["b"]),
        ],
    )
    assert names(routes, "447700900123") == ["b"]
    assert names(routes, "442079460000") == names(routes, "353123456789") == ["a"]
    assert names(routes, "4") == ["world"]


def test_the_cheapest_is_first() -> None:
    costs = [{"name": "a", "cost": 0.012}, {"name": "b", "cost": 0.009}]
    routes = Routes(TRUNKS, routes=[route("44", trunks=costs)])
    found = routes.chosen("442079460000")
    assert [one.name for one in found.trunks] == ["b", "a"]
    assert found.costs == (0.009, 0.012)
    assert found.why == "the route of prefix 44, the cheapest first"
    written = Routes(TRUNKS, routes=[route("44", trunks=costs, order="written")])
    assert names(written, "442079460000") == ["a", "b"]


def test_what_costs_the_same_stays_in_its_order() -> None:
    costs = [{"name": name, "cost": 0.01} for name in ("b", "world", "a")]
    assert names(Routes(TRUNKS, routes=[route("", trunks=costs)]), "1") == ["b", "world", "a"]


def test_price_lists_rank_trunks_by_the_longest_prefix_of_each() -> None:
    prices = {"a": Rates({"44": 0.01, "447": 0.03}), "b": Rates({"4": 0.02})}
    routes = Routes(
        TRUNKS,
        routes=[route("", trunks=["a", "b"], order="cost")],
        prices=prices,
    )
    assert names(routes, "442079460000") == ["a", "b"]
    assert names(routes, "447700900123") == ["b", "a"]
    assert names(routes, "4930123456") == ["b"], "a does not go there"
    assert names(routes, "12125550100") == []


def test_a_cost_in_the_route_goes_before_the_price_list() -> None:
    routes = Routes(
        TRUNKS,
        routes=[route("44", trunks=["a", {"name": "b", "cost": 0.005}])],
        prices={"a": Rates({"44": 0.01}), "b": Rates({"44": 0.5})},
    )
    assert routes.chosen("442079460000").costs == (0.005, 0.01)


def test_whoever_names_a_trunk_gets_it_whatever_the_routes() -> None:
    routes = Routes(TRUNKS, routes=[route("44", trunks=["b"])])
    assert names(routes, "442079460000", "a") == ["a"]
    assert chosen(routes, "442079460000", "a") == (["a"], "the request names its trunk")


def test_trunks_that_are_down_come_last_on_routes_too() -> None:
    costs = [{"name": "a", "cost": 0.012}, {"name": "b", "cost": 0.009}]
    routes = Routes(TRUNKS, lambda name: name == "b", [route("44", trunks=costs)])
    assert names(routes, "442079460000") == ["a", "b"]


def test_trunks_that_are_not_there_are_passed_over() -> None:
    """As where the simulated phones are the only trunk."""
    routes = Routes(TRUNKS, routes=[route("44", trunks=["gone", "a"])])
    assert names(routes, "442079460000") == ["a"]
