"""The table of a SIP trunk."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from outdial.config import checks
from outdial.config.encryption import TrunkEncryption
from outdial.config.peering import TrunkIdentity, TrunkPath, TrunkTransfers
from outdial.config.registration import TrunkRegistration
from outdial.config.section import Codecs, Section
from outdial.config.tls import TrunkSecrecy


class Trunk(
    TrunkIdentity,
    TrunkPath,
    TrunkTransfers,
    TrunkRegistration,
    TrunkEncryption,
    TrunkSecrecy,
    Section,
):
    """A SIP trunk."""

    name: Annotated[str, Field(min_length=1)]
    """What the trunk is called in requests, logs and listings."""
    address: Annotated[str, AfterValidator(checks.host_maybe_port)]
    """host[:port]; without a port SRV records say where its servers are."""
    transport: Literal["udp", "tcp", "tls"] = "udp"
    """How SIP goes to the trunk. Where neither it nor a port is set, the NAPTR records of `address`
    say so, if there are any, and else its SRV records."""
    username: Annotated[str, AfterValidator(checks.plain)] = ""
    """For digest authentication, when the trunk asks for it."""
    password: SecretStr = SecretStr("")
    """For digest authentication."""
    inbound_username: str = ""
    """User name that its calls to us must show by digest; empty: its address is enough."""
    inbound_password: SecretStr = SecretStr("")
    """The password for that."""
    inbound_algorithms: Annotated[list[Literal["SHA-256", "MD5"]], Field(min_length=1)] = [
        "SHA-256",
        "MD5",
    ]
    """Offered for that, the preferred first; ["MD5"] for a peer that stumbles over SHA-256."""
    inbound_addresses: list[Annotated[str, AfterValidator(checks.network)]] = []
    """Address ranges that its calls to us come from, besides the addresses of `address`."""
    prefixes: list[Annotated[str, AfterValidator(checks.prefix)]] = [""]
    """Longest matching prefix wins; several trunks of one length: in order, next on failure."""
    rates: str = ""
    """File of what a minute costs on the trunk: a prefix and a price in each line, with a comma
    between. For `[[routes]]` that go by cost; read again when it changes. Empty: none."""
    number_format: Literal["e164", "+e164", "national"] = "e164"
    """How numbers are written to the trunk."""
    codecs: Codecs = []
    """Offered to it and taken from it, best first; empty: `media.codecs`."""
    nat: bool = False
    """Whether its far ends are behind NAT: requests inside a call go to where theirs come from, and
    the far RTP address is learnt once, within 500 ms of the answer."""
    target_timeout_s: float = Field(4.0, ge=0.5, le=32)
    """Seconds after which a server that says nothing to an INVITE is given up, where there is
    another one, or another trunk, to try. The last one gets 64 times `sip.t1_ms`."""
    options_interval_s: float = Field(30.0, ge=0)
    """Seconds between OPTIONS pings; 0: none."""
    calls_per_second: float = Field(0, ge=0)
    """Calls dialled on it a second; more go to the next trunk or wait as `queued`. 0: no limit."""
    concurrent_calls: int = Field(0, ge=0)
    """Calls on it at once, second legs included; more go to the next trunk or wait as `queued`.
    0: no limit."""
    minutes_per_day: float = Field(0, ge=0)
    """As `limits.minutes_per_day`, for the legs on it; others go to the next trunk. 0: no limit."""

    @property
    def finds_transport(self) -> bool:
        """Whether the records of its domain say over what SIP goes to it."""
        if "transport" in self.model_fields_set:
            return False
        host, port = checks.host_and_port(self.outbound_proxy or self.address)
        return port is None and not checks.is_address(host)

    @model_validator(mode="after")
    def _digest_is_whole(self) -> Trunk:
        if bool(self.inbound_username) != bool(self.inbound_password.get_secret_value()):
            raise ValueError(
                "inbound_username and inbound_password must be set both, or neither of them"
            )
        return self

    @model_validator(mode="after")
    def _knows_what_to_register(self) -> Trunk:
        if self.register_ and not (self.register_user or self.username):
            raise ValueError("register needs a username, or else a register_user: who registers")
        return self
