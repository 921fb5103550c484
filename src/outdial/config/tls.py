"""Settings of TLS: certificates that are shown, and those that are expected."""

from __future__ import annotations

from pydantic import BaseModel, model_validator


class Shown(BaseModel):
    """Of a section with a certificate of ours."""

    tls_certificate: str = ""
    """PEM file of the certificate that is shown, and those between it and its authority; read again
    when it changes. Empty: none."""
    tls_key: str = ""
    """PEM file of its private key; empty: it is in `tls_certificate`."""

    @model_validator(mode="after")
    def _has_a_certificate(self) -> Shown:
        for name in ("tls_key", "tls_client_ca"):
            if getattr(self, name, "") and not self.tls_certificate:
                raise ValueError(f"{name} is set and tls_certificate is not; name its PEM file too")
        return self


class ListenerSecrecy(Shown):
    """Of the SIP user agent, towards those who connect."""

    tls_client_ca: str = ""
    """PEM file of the authorities one of which must vouch for the certificate of whoever connects
    over TLS. Empty: nobody is asked for one."""


class TrunkSecrecy(Shown):
    """Of a trunk: whom we expect at its end."""

    tls_ca: str = ""
    """PEM file of the authorities one of which must vouch for the trunk's certificate, or of that
    itself; read again when it changes. Empty: those that the system trusts."""
    tls_name: str = ""
    """The name that its certificate must be for; empty: the host of `address`, or of
    `outbound_proxy`."""
    tls_verify: bool = True
    """Whether its certificate is checked; false: anybody between may be the trunk, and listen."""

    @model_validator(mode="after")
    def _goes_over_tls(self) -> TrunkSecrecy:
        transport = getattr(self, "transport", "tls")
        if transport == "tls" or "transport" not in self.model_fields_set:
            return self
        for name in ("tls_ca", "tls_name", "tls_certificate"):
            if getattr(self, name):
                raise ValueError(
                    f'{name} is set, and transport is "{transport}"; write transport = "tls"'
                )
        return self
