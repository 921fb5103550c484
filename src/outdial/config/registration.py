"""Settings of a trunk that say where it is registered, and by which way."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from outdial.config import checks


class TrunkRegistration(BaseModel):
    """How a trunk finds us, and we its registrar."""

    register_: Annotated[bool, Field(alias="register")] = False
    """Whether to register there, so that its calls find this server; ours wait for that. The domain
    is `from_domain`, else the host of `registrar`, else that of `address`."""
    register_user: Annotated[str, AfterValidator(checks.plain)] = ""
    """User of the address that is registered, where the carrier knows it by another name than
    `username`, such as a number."""
    registrar: Annotated[str, AfterValidator(checks.optional_host)] = ""
    """host[:port] that REGISTER goes to; empty: `address`."""
    contact_user: Annotated[str, AfterValidator(checks.plain)] = ""
    """User that the carrier's calls are addressed to, in the Contact of REGISTER and of calls.
    Empty: where we register `register_user` or `username`, elsewhere none."""
    expires_s: int = Field(3600, ge=60, le=86_400)
    """How long to register for; the registrar may say otherwise."""
    outbound_proxy: Annotated[str, AfterValidator(checks.optional_host)] = ""
    """host[:port] that everything to the trunk is sent to, with a Route to it; empty: straight to
    `address`, and REGISTER to `registrar`."""
