"""Connection overrides in a URL's fragment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outdial.net.overrides import NONE, BadOverrides, Overrides, parse, split, split_leniently


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("", NONE),
        ("top", NONE),
        ("rc=2", Overrides(retries=2)),
        ("rc=0", Overrides(retries=0)),
        ("ct=100&rt=15000&tt=15000", Overrides(connect_s=0.1, read_s=15.0, total_s=15.0)),
        ("rp=5xx", Overrides(policy=frozenset(["5xx"]))),
        ("rp=4XX,ct%2Crt", Overrides(policy=frozenset(["4xx", "ct", "rt"]))),
        ("rp=all&rc=5", Overrides(retries=5, policy=frozenset(["all"]))),
        ("ct=2000&sni=y&e=ashburn", Overrides(connect_s=2.0)),
        ("&rc=1&", Overrides(retries=1)),
    ],
)
def test_what_a_fragment_says(fragment: str, expected: Overrides) -> None:
    assert parse(fragment) == expected


@pytest.mark.parametrize(
    ("fragment", "problem"),
    [
        ("rc=6", 'rc must be 0 to 5, not "6"'),
        ("rc=-1", "rc must be 0 to 5"),
        ("rc=", "rc must be 0 to 5"),
        ("rc=²", "rc must be 0 to 5"),
        ("ct=99", "ct must be 100 to 10000 milliseconds"),
        ("ct=10001", "ct must be 100 to 10000 milliseconds"),
        ("rt=15001", "rt must be 100 to 15000 milliseconds"),
        ("tt=1e3", "tt must be 100 to 15000 milliseconds"),
        ("tt=" + "9" * 5000, "tt must be 100 to 15000 milliseconds"),
        ("rp=3xx", "rp must be of 4xx, 5xx, ct, rt, all"),
        ("rp=", "rp must be of 4xx, 5xx, ct, rt, all"),
        ("rp=5xx,", "rp must be of 4xx, 5xx, ct, rt, all"),
        ("rcc=3", '"rcc" is none of ct, rt, tt, rc, rp'),
        ("rc=1&rc=2", "rc is there twice"),
        ("rp=ct&rp=ct", "rp is there twice"),
        ("rc=1&top", '"top" is none of'),
        ("\x1b[2J=1", r'"\?\[2J" is none of'),
    ],
)
def test_what_is_wrong_is_named(fragment: str, problem: str) -> None:
    with pytest.raises(BadOverrides, match=problem):
        parse(fragment)


def test_the_fragment_is_taken_off_the_url() -> None:
    assert split("http://h/p?q=1#rc=2") == ("http://h/p?q=1", Overrides(retries=2))
    assert split("http://h/p?q=1#part") == ("http://h/p?q=1", NONE)
    assert split("http://h/p") == ("http://h/p", NONE)
    warned: list[str] = []
    assert split_leniently("http://h/p#rc=9", warned.append) == ("http://h/p", NONE)
    assert warned == ['rc must be 0 to 5, not "9"']
    assert split_leniently("http://h/p#rc=9") == ("http://h/p", NONE)


@given(st.text(max_size=60))
def test_any_fragment_is_understood_or_refused(fragment: str) -> None:
    refused: list[str] = []
    split_leniently("http://h/#" + fragment, refused.append)
    assert all(problem.isprintable() for problem in refused)


@pytest.mark.parametrize(
    ("policy", "again"),
    [
        ("4xx", ["answer 404", "answer 429"]),
        ("5xx", ["answer 500", "answer 503"]),
        ("ct", ["connect", "tls", "resolve"]),
        ("rt", ["timeout", "protocol"]),
        ("4xx,rt", ["answer 404", "answer 429", "timeout", "protocol"]),
        (
            "all",
            [
                *("answer 302", "answer 404", "answer 429", "answer 500", "answer 503"),
                *("connect", "tls", "resolve", "timeout", "protocol"),
            ],
        ),
    ],
)
def test_which_failures_are_tried_again(policy: str, again: list[str]) -> None:
    wanted = parse(f"rp={policy}")
    answers = (302, 404, 429, 500, 503)
    kinds = ("connect", "tls", "resolve", "timeout", "protocol", "refused-address", "too-large")
    found = [f"answer {status}" for status in answers if wanted.retried("", status, ())]
    found += [kind for kind in kinds if wanted.retried(kind, None, ())]
    assert found == again


def test_without_a_policy_the_default_counts() -> None:
    assert parse("rc=2").retried("connect", None, ("ct",))
    assert not parse("rc=2").retried("", 500, ("ct",))
    assert parse("rc=2").retried("", 500, ("all",))
