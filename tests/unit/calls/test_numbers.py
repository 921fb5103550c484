"""Telephone numbers: what is written, what may be dialled, and how trunks want them."""

from __future__ import annotations

import random

import phonenumbers
import pytest

from outdial.calls import codes, numbers
from outdial.calls.numbers import check_destination, costly, for_trunk, normalise
from outdial.config import Limits
from outdial.errors import Refused


@pytest.mark.parametrize(
    ("written", "digits"),
    [
        ("19499300360", "19499300360"),
        ("9499300360", "19499300360"),
        ("+1 (949) 930-0360", "19499300360"),
        ("949.930.0360", "19499300360"),
        ("1\u00a0949\u00a09300360", "19499300360"),
        ("+9499300360", "19499300360"),
        ("15005550001", "15005550001"),
        ("+44 20 7946 0000", "442079460000"),
        ("+44 (0)20 7946 0000", "442079460000"),  # the 0 is for callers inside the country
        ("330142685300", "33142685300"),
        ("390612345678", "390612345678"),  # Italy's 0 belongs to the number
        ("33142685300", "33142685300"),
        ("+4512345678", "4512345678"),  # ten digits, and Denmark has such numbers
        ("4512345678", "14512345678"),  # without the + they are North American
    ],
)
def test_normalise(written: str, digits: str) -> None:
    assert normalise(written, "to") == digits


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("", codes.BAD_VALUE),
        ("+", codes.BAD_VALUE),
        ("1800FLOWERS", codes.BAD_VALUE),
        ("1+9499300360", codes.BAD_VALUE),
        ("１９４９９３００３６０", codes.BAD_VALUE),
        ("1949930036\n0", codes.BAD_VALUE),
        ("sip:x@y", codes.BAD_VALUE),
        ("911", codes.IMPOSSIBLE_NUMBER),
        ("949930036", codes.IMPOSSIBLE_NUMBER),
        ("1234567890123456", codes.IMPOSSIBLE_NUMBER),
        ("194993003601", codes.IMPOSSIBLE_NUMBER),
        ("99912345678", codes.IMPOSSIBLE_NUMBER),
        ("00000000000", codes.IMPOSSIBLE_NUMBER),
        ("1" * 41, codes.IMPOSSIBLE_NUMBER),
    ],
)
def test_what_is_no_number(written: str, code: int) -> None:
    with pytest.raises(Refused) as caught:
        normalise(written, "callerid")
    assert (caught.value.code, caught.value.field) == (code, "callerid")
    assert caught.value.message.startswith("callerid ")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("19005550100", "premium-rate"),
        ("12129765555", "premium-rate"),
        ("449061234567", "premium-rate"),
        ("499001234567", "premium-rate"),
        ("447012345678", "personal, charged as premium-rate"),
        ("448712345678", "revenue-sharing"),
        ("491801234567", "shared-cost"),
        ("870773123456", "satellite"),
        ("881631234567", "satellite"),
        ("97912345678", "international premium-rate"),
        ("80812345678", "international shared-cost"),
        ("878101234567890", "universal personal"),
        ("882134123456", "international network"),
        ("883510012345678", "international network"),
        ("61147123456", "satellite"),
        ("4970012345678", "personal"),
        ("41581234567", ""),  # a universal access number: an ordinary tariff
        ("19499300360", ""),
        ("18005797676", ""),
        ("15005550001", ""),
        ("442079460000", ""),
        ("33142685300", ""),
    ],
)
def test_costly(number: str, kind: str) -> None:
    assert costly(number) == kind


def refusal(number: str, limits: Limits, *, sim: bool = False) -> int:
    try:
        check_destination(number, limits, "to", sim=sim)
    except Refused as refused:
        return refused.code if (refused.status, refused.field) == (403, "to") else -1
    return 0


def test_destinations_are_denied_until_allowed() -> None:
    assert refusal("19499300360", Limits()) == codes.DESTINATION
    assert refusal("19499300360", Limits(destinations=[])) == codes.DESTINATION
    assert refusal("19499300360", Limits(destinations=["1"])) == 0
    assert refusal("442079460000", Limits(destinations=["1", "4420"])) == 0
    assert refusal("443079460000", Limits(destinations=["1", "4420"])) == codes.DESTINATION


def test_the_refusal_says_which_setting_allows_it() -> None:
    with pytest.raises(Refused) as caught:
        check_destination("442079460000", Limits(), "from")
    assert "limits.destinations" in caught.value.message
    assert 'destinations = ["44"]' in caught.value.message


def test_costly_numbers_need_their_own_switch_also_in_simulation() -> None:
    wide = ["1", "44", "8"]
    assert refusal("19005550100", Limits(destinations=wide)) == codes.PREMIUM
    assert refusal("19005550100", Limits(), sim=True) == codes.PREMIUM
    assert refusal("19005550100", Limits(destinations=wide, premium=True)) == 0
    assert refusal("19005550100", Limits(premium=True)) == codes.DESTINATION
    assert refusal("19499300360", Limits(), sim=True) == 0


@pytest.mark.parametrize(
    ("limits", "rate", "far"),
    [
        ({}, codes.PREMIUM, codes.PREMIUM),
        ({"premium": True}, 0, 0),
        ({"premium_rate": True}, 0, codes.PREMIUM),
        ({"satellite": True}, codes.PREMIUM, 0),
        ({"premium": True, "satellite": False}, 0, codes.PREMIUM),
        ({"premium": True, "premium_rate": False}, codes.PREMIUM, 0),
    ],
)
def test_premium_rates_and_satellites_have_a_switch_each(
    limits: dict[str, bool], rate: int, far: int
) -> None:
    given = Limits.model_validate({"destinations": ["1", "4", "8", "9"], **limits})
    for number in ("19005550100", "449061234567", "491801234567", "97912345678", "4970012345678"):
        assert refusal(number, given) == rate, number
    for number in ("870773123456", "881631234567", "882134123456", "883510012345678"):
        assert refusal(number, given) == far, number


def test_the_refusal_names_the_switch_that_allows_it() -> None:
    for number, switch in (("19005550100", "premium_rate"), ("881631234567", "satellite")):
        with pytest.raises(Refused) as caught:
            check_destination(number, Limits(destinations=[""]), "to")
        assert f"the setting limits.{switch} allows those" in caught.value.message


_COSTLY_TYPES = (
    phonenumbers.PhoneNumberType.PREMIUM_RATE,
    phonenumbers.PhoneNumberType.SHARED_COST,
    phonenumbers.PhoneNumberType.PERSONAL_NUMBER,
)


def test_the_costly_example_numbers_of_every_country_are_refused() -> None:
    refused, tried = [], []
    everywhere = Limits(destinations=[""])
    for region in phonenumbers.SUPPORTED_REGIONS:
        for kind in _COSTLY_TYPES:
            example = phonenumbers.example_number_for_type(region, kind)
            # those whose kind nobody can tell without the region are not judged by it
            if example is None or phonenumbers.number_type(example) is not kind:
                continue
            number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)[1:]
            if number.startswith("1") and kind is phonenumbers.PhoneNumberType.PERSONAL_NUMBER:
                continue
            tried.append(number)
            if refusal(number, everywhere) == codes.PREMIUM:
                refused.append(number)
    assert len(tried) > 200
    assert refused == tried


def test_the_ordinary_example_numbers_of_every_country_are_not() -> None:
    everywhere = Limits(destinations=[""])
    for region in phonenumbers.SUPPORTED_REGIONS:
        for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE):
            example = phonenumbers.example_number_for_type(region, kind)
            if example is not None:
                number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
                assert refusal(number[1:], everywhere) == 0, number


def test_everything_beyond_countries_is_refused_but_free_phone() -> None:
    everywhere = Limits(destinations=[""])
    for code in phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS:
        example = phonenumbers.example_number_for_non_geo_entity(code)
        assert example is not None
        number = f"{code}{example.national_number}"
        assert refusal(number, everywhere) == (0 if code == 800 else codes.PREMIUM), number


@pytest.mark.parametrize(
    ("number", "number_format", "dialled"),
    [
        ("19499300360", "e164", "19499300360"),
        ("19499300360", "+e164", "+19499300360"),
        ("19499300360", "national", "9499300360"),
        ("442079460000", "national", "02079460000"),
        ("493012345678", "national", "03012345678"),
        ("390612345678", "national", "0612345678"),  # Italy's 0 belongs to the number
        ("34911234567", "national", "911234567"),
    ],
)
def test_for_trunk(number: str, number_format: str, dialled: str) -> None:
    assert for_trunk(number, number_format) == dialled


@pytest.mark.parametrize("number_format", ["e164", "+e164", "national"])
def test_what_is_no_number_is_shown_as_it_is(number_format: str) -> None:
    assert for_trunk("anonymous", number_format) == "anonymous"


def some_numbers() -> list[str]:
    """Numbers of every country: its examples of each kind, and others of about their length."""
    draw = random.Random(7)
    found = []
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        for region in regions:
            for kind in phonenumbers.PhoneNumberType.values():
                example = phonenumbers.example_number_for_type(region, kind)
                if example is not None:
                    found.append(phonenumbers.format_number(example, 0)[1:])
        for _ in range(150):
            length = draw.randint(6, 12)
            found.append(f"{code}{draw.randrange(10**length):0{length}d}")
    return found


def test_the_short_ways_agree_with_the_long_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    every = some_numbers()

    def judged() -> list[tuple[str, str]]:
        numbers._significant.cache_clear()
        numbers.costly.cache_clear()
        return [(numbers._significant(one), costly(one)) for one in every]

    short = judged()
    monkeypatch.setattr(numbers, "_plan_of", lambda digits: None)
    long = judged()
    numbers._significant.cache_clear()
    numbers.costly.cache_clear()
    assert len(every) > 30_000
    assert [one for one, a, b in zip(every, short, long, strict=True) if a != b] == []
    assert {kind for _, kind in long} >= {"premium-rate", "shared-cost", "satellite", ""}
