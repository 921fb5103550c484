"""Telephone numbers: from what people write to E.164 digits, and whether they may be dialled.

Numbers are checked for being possible (length for their country), not for being assigned: number
plans change faster than software. `phonenumbers` is imported on first use; it loads its tables
country by country and takes about 1 MiB.
"""

from __future__ import annotations

import re
from functools import lru_cache

from outdial.calls import codes
from outdial.config import Limits
from outdial.errors import Refused
from outdial.frozen import frozen

_SEPARATORS = str.maketrans("", "", " -.()\u00a0")
_DIGITS = re.compile(r"[0-9]+")
_MAX_WRITTEN = 40
_EXAMPLE = "write it with its country code, e.g. 19499300360"

_COSTLY = (
    # ITU-T E.164 assigned codes without a country
    ("870", "satellite"),
    ("878", "universal personal"),
    ("881", "satellite"),
    ("882", "international network"),
    ("883", "international network"),
    ("888", "reserved"),
    ("979", "international premium-rate"),
    ("808", "international shared-cost"),
    # national, beyond what phonenumbers calls premium
    ("1900", "premium-rate"),
    ("4470", "personal, charged as premium-rate"),
    ("4487", "revenue-sharing"),
    ("61145", "satellite"),
    ("61147", "satellite"),
)
_FAR = ("satellite", "international network", "reserved")
"""Kinds that `limits.satellite` is the switch of; `limits.premium_rate` is that of the others."""
_COSTLY_TYPES = {
    "PREMIUM_RATE": "premium-rate",
    "SHARED_COST": "shared-cost",
    "PERSONAL_NUMBER": "personal",
}
"""Those of phonenumbers. Universal access numbers (UAN) are none of them: what they cost is the
ordinary tariff in most countries, and ministries and banks have such numbers."""
_NANP_976 = re.compile(r"1[2-9][0-9]{2}976[0-9]{4}")


def normalise(text: str, field: str) -> str:
    """The number as E.164 digits without ``+``.

    Spaces, ``-``, ``.``, parentheses and one leading ``+`` are taken off; ten digits are a North
    American number without its 1 (unless ``+`` says that they are international and a country has
    such numbers). Raises Refused, 400 for a wrong character and 422 for an impossible number.
    """
    if len(text) > _MAX_WRITTEN:
        raise Refused(
            422,
            codes.IMPOSSIBLE_NUMBER,
            f"{field} is longer than any telephone number; {_EXAMPLE}",
            field=field,
        )
    bare = text.translate(_SEPARATORS)
    international = bare.startswith("+")
    digits = bare[1:] if international else bare
    if _DIGITS.fullmatch(digits) is None:
        raise Refused(
            400,
            codes.BAD_VALUE,
            f"{field} must be a telephone number of digits only; {_EXAMPLE}",
            field=field,
        )
    if len(digits) == 10 and not (international and _significant(digits)):
        digits = "1" + digits
    elif not 10 <= len(digits) <= 15:
        size = "short" if len(digits) < 10 else "long"
        raise Refused(
            422,
            codes.IMPOSSIBLE_NUMBER,
            f"{field} is too {size}: a number has 11 to 15 digits, or 10 in North America; "
            f"{_EXAMPLE}",
            field=field,
        )
    dialled = _significant(digits)
    if not dialled:
        raise Refused(
            422,
            codes.IMPOSSIBLE_NUMBER,
            f"{field} is not a possible number: no country has numbers of this length or code; "
            f"{_EXAMPLE}",
            field=field,
        )
    return dialled


@lru_cache(maxsize=1)
def pattern() -> str:
    """A regular expression for the numbers that `normalise` takes when nothing needs taking off.

    Made of the lengths that each country code has, so it is as exact as they are; the first call
    takes 30 ms. A national prefix behind the country code, which `normalise` drops, does not fit.
    """
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

    codes_by_lengths: dict[tuple[int, ...], list[str]] = {}
    for country, regions in COUNTRY_CODE_TO_REGION_CODE.items():
        plan = PhoneMetadata.metadata_for_region_or_calling_code(country, regions[0])
        lengths = plan.general_desc.possible_length if plan and plan.general_desc else ()
        fit = tuple(n for n in lengths if 10 <= len(str(country)) + n <= 15)
        if fit:
            codes_by_lengths.setdefault(fit, []).append(str(country))
    plans = (
        f"(?:{'|'.join(countries)})(?:{'|'.join(f'[0-9]{{{n}}}' for n in lengths)})"
        for lengths, countries in sorted(codes_by_lengths.items())
    )
    return rf"^(?:[0-9]{{10}}|\+?(?:{'|'.join(plans)}))$"


def check_destination(number: str, limits: Limits, field: str, *, sim: bool = False) -> None:
    """Raises Refused (403) unless E.164 digits may be dialled.

    Premium-rate, shared-cost and personal numbers need ``limits.premium_rate``, those of satellites
    and of networks without a country ``limits.satellite``, simulated or not; the list of
    ``limits.destinations`` is consulted only when real trunks are used.
    """
    if not (limits.allows_premium_rate and limits.allows_satellite):
        kind = costly(number)
        far = kind in _FAR
        if kind and not (limits.allows_satellite if far else limits.allows_premium_rate):
            switch = "limits.satellite" if far else "limits.premium_rate"
            raise Refused(
                403,
                codes.PREMIUM,
                f"{field} is {_article(kind)} {kind} number; the setting {switch} allows those",
                field=field,
            )
    if sim or (limits.destinations and number.startswith(tuple(limits.destinations))):
        return
    if limits.destinations:
        allowed = ", ".join(limits.destinations)
        problem = f"is not among the destinations that may be dialled ({allowed})"
    else:
        problem = "may not be dialled: no destinations are allowed yet"
    raise Refused(
        403,
        codes.DESTINATION,
        f"{field} {problem}; the setting limits.destinations lists the allowed prefixes, "
        f'e.g. destinations = ["{number[: 1 if number[0] == "1" else 2]}"]',
        field=field,
    )


def _article(kind: str) -> str:
    return "an" if kind[0] in "aeio" else "a"


@lru_cache(maxsize=1024)
def costly(number: str) -> str:
    """What makes E.164 digits expensive to call (``premium-rate``, ``satellite``...); "" if not."""
    for prefix, kind in _COSTLY:
        if number.startswith(prefix):
            return kind
    if _NANP_976.fullmatch(number):
        return "premium-rate"
    plan = _plan_of(number)
    if plan is not None and plan.takes_as_it_is(number) and not plan.may_be_costly(number):
        return ""
    import phonenumbers

    try:
        kind_number = phonenumbers.number_type(phonenumbers.parse("+" + number))
    except phonenumbers.NumberParseException:
        return ""
    kind = _COSTLY_TYPES.get(phonenumbers.PhoneNumberType.to_string(kind_number), "")
    # North America's personal numbers (1 5XX) cost what others do; the simulated phones have some
    return "" if kind == "personal" and number.startswith("1") else kind


def for_trunk(number: str, number_format: str) -> str:
    """E.164 digits as a trunk wants them: ``e164``, ``+e164`` or ``national``. What is no number,
    such as a caller's "anonymous", stays as it is.

    National is the significant number without country code, with the country's trunk prefix where
    it has one that is dialled (0 in most of Europe, none in North America).
    """
    if not number.isdecimal():
        return number
    if number_format == "+e164":
        return "+" + number
    if number_format == "national":
        return _national(number)
    return number


@lru_cache(maxsize=1024)
def _national(number: str) -> str:
    import phonenumbers

    try:
        parsed = phonenumbers.parse("+" + number)
    except phonenumbers.NumberParseException:
        return number
    significant = phonenumbers.national_significant_number(parsed)
    region = phonenumbers.region_code_for_number(parsed)
    if parsed.country_code == 1 or region is None:
        return significant
    return (phonenumbers.ndd_prefix_for_region(region, True) or "") + significant


@lru_cache(maxsize=1024)
def _significant(digits: str) -> str:
    """The digits without a national prefix behind the country code; "" when impossible.

    Many people write +44 (0)20 7946 0000: that 0 must not be dialled from abroad.
    """
    plan = _plan_of(digits)
    if plan is not None and plan.takes_as_it_is(digits):
        return digits
    import phonenumbers

    try:
        parsed = phonenumbers.parse("+" + digits)
    except phonenumbers.NumberParseException:
        return ""
    # not is_possible_number: that also takes numbers that only work inside one town
    how = phonenumbers.is_possible_number_with_reason(parsed)
    if how != phonenumbers.ValidationResult.IS_POSSIBLE:
        return ""
    return f"{parsed.country_code}{phonenumbers.national_significant_number(parsed)}"


@frozen
class _Plan:
    """A country code's numbers: what `phonenumbers` looks at, for the cases that need no more."""

    code: str
    lengths: frozenset[int]
    """Of the digits behind the code."""
    prefix: re.Pattern[str] | None
    """What might be a national prefix there, to be dropped."""
    costly: tuple[re.Pattern[str], ...]
    """Premium-rate, shared-cost and personal numbers, of every region that shares the code."""

    def takes_as_it_is(self, digits: str) -> bool:
        """Whether the number is possible and certainly has no national prefix."""
        national = digits[len(self.code) :]
        if len(national) not in self.lengths:
            return False
        return self.prefix is None or self.prefix.match(national) is None

    def may_be_costly(self, digits: str) -> bool:
        """Whether the number looks like one of the expensive kinds."""
        national = digits[len(self.code) :]
        return any(pattern.fullmatch(national) for pattern in self.costly)


def _plan_of(digits: str) -> _Plan | None:
    """The plan that E.164 digits belong to."""
    return _plan(digits[:1]) or _plan(digits[:2]) or _plan(digits[:3])


@lru_cache(maxsize=1024)
def _plan(code: str) -> _Plan | None:
    """The plan of the country code, None when it is none."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

    regions = COUNTRY_CODE_TO_REGION_CODE.get(int(code or "0"))
    if regions is None or code.startswith("0"):
        return None
    plan = PhoneMetadata.metadata_for_region_or_calling_code(int(code), regions[0])
    if plan is None or plan.general_desc is None:
        return None
    prefix = plan.national_prefix_for_parsing
    every = (PhoneMetadata.metadata_for_region_or_calling_code(int(code), r) for r in regions)
    kinds = (
        kind
        for one in every
        if one
        for kind in (one.premium_rate, one.shared_cost, one.personal_number)
    )
    costly = {kind.national_number_pattern or "" for kind in kinds if kind}
    return _Plan(
        code,
        frozenset(plan.general_desc.possible_length),
        re.compile(prefix) if prefix else None,
        tuple(re.compile(pattern) for pattern in sorted(costly - {""})),
    )
