"""What the rules of an API key refuse, in words that name the rule. Pure."""

from __future__ import annotations

from outdial.calls import codes
from outdial.errors import Refused
from outdial.key_rules import KeyRules


def check_destination_of(rules: KeyRules, number: str, field: str) -> None:
    """Whether the key may dial the number. Raises Refused (403)."""
    if rules.may_dial(number):
        return
    what = "is not" if number else "is a SIP address without a number, which is not"
    raise Refused(
        403,
        codes.KEY_DESTINATION,
        f"{field} {what} among the destinations of the API key {rules.name} "
        f"({_listed(rules.destinations)}); {_rule(rules, 'destinations')}",
        field=field,
    )


def check_caller_of(rules: KeyRules, caller_id: str, field: str) -> None:
    """Whether the key's calls may show it. Raises Refused (403)."""
    if rules.may_show(caller_id):
        return
    raise Refused(
        403,
        codes.KEY_CALLER,
        f"{field} is not one of the caller IDs of the API key {rules.name} "
        f"({_listed(rules.callers)}); {_rule(rules, 'from')}",
        field=field,
    )


def check_change(rules: KeyRules, placed_by: str, sid: str) -> None:
    """Whether the key may change a call that this key has placed. One that may not call everybody
    must not borrow the calls of one that may. Raises Refused (403)."""
    if rules.is_narrow and placed_by != rules.name:
        raise Refused(
            403,
            codes.OTHERS_CALL,
            f"{sid} was not placed with the API key {rules.name}, which has caller IDs or "
            "destinations of its own and may only change its own calls",
            field="sid",
        )


def _listed(words: tuple[str, ...] | None) -> str:
    return ", ".join(words or ()) or "none"


def _rule(rules: KeyRules, name: str) -> str:
    if rules.is_given:
        return f"the setting keys.{name} lists them"
    return f"they were given by outdial keys add --{name.removesuffix('s')}"
