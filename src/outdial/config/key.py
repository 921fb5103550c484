"""Settings of an API key."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from outdial.config import checks


class Key(BaseModel):
    """An API key given in the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1)]
    """What the key is called in logs and listings."""
    key: Annotated[SecretStr, Field(min_length=1)]
    """The key itself."""
    previous_key: SecretStr = SecretStr("")
    """Valid besides `key`, while programs change over to that. Empty: none."""
    expires: Annotated[float | None, BeforeValidator(checks.optional_moment)] = None
    """From when on it is not valid, e.g. "2027-01-31" or "2027-01-31T12:00:00Z". Without: never."""
    scopes: Annotated[list[Literal["call", "read", "admin"]], Field(min_length=1)] = [
        "call",
        "read",
        "admin",
    ]
    """What it may: call (place calls, change live ones), read (see everything), admin (numbers,
    keys, bans, deleting recordings, sending callbacks again)."""
    from_: Annotated[
        list[Annotated[str, AfterValidator(checks.caller)]] | None, Field(alias="from")
    ] = None
    """Caller IDs that its calls may show: whole numbers, or beginnings such as "1800*". Without:
    any."""
    destinations: list[Annotated[str, AfterValidator(checks.prefix)]] | None = None
    """Prefixes that its calls may go to, of those that `limits.destinations` allows. Without: all
    of them."""
    calls_per_second: float = Field(0, ge=0)
    """Its calls dialled a second; more wait as `queued`. 0: no limit of its own."""
    concurrent_calls: int = Field(0, ge=0)
    """Its calls at once; more wait as `queued`. 0: no limit of its own."""
    minutes_per_day: float = Field(0, ge=0)
    """As `limits.minutes_per_day`, for its calls and their second legs. 0: no limit of its own."""
