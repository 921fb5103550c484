"""Settings of a trunk that say whether its audio is encrypted."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, model_validator

Encryption = Literal["off", "optional", "mandatory"]


class TrunkEncryption(BaseModel):
    """SRTP with keys in the session descriptions."""

    srtp: Literal["auto", "off", "optional", "mandatory"] = "auto"
    """Whether its audio is encrypted (SRTP, with keys in the SDP): never, where the far end takes
    it, or always. auto: optional over TLS, be it that the trunk's records say so, else off."""
    srtp_keys_in_clear: bool = False
    """Allows `srtp` to be mandatory where SIP itself is not encrypted and shows the keys: in a VPN.
    """

    @model_validator(mode="after")
    def _keys_stay_secret(self) -> TrunkEncryption:
        if self.demands_secrecy and self._transport != "tls":
            raise ValueError(
                f'srtp = "mandatory" needs transport = "tls": over {self._transport} everybody on '
                "the way reads the keys; where the way is safe, in a VPN, add "
                "srtp_keys_in_clear = true"
            )
        return self

    @property
    def encryption(self) -> Encryption:
        """What `srtp` comes to by the settings alone."""
        return self.encryption_over(tls=False)

    def encryption_over(self, *, tls: bool) -> Encryption:
        """What `srtp` comes to for a call whose SIP goes over TLS, or does not."""
        if self.srtp == "auto":
            return "optional" if tls or self._transport == "tls" else "off"
        return self.srtp

    @property
    def demands_secrecy(self) -> bool:
        """Whether a call whose keys others may read is no call."""
        return self.srtp == "mandatory" and not self.srtp_keys_in_clear

    @property
    def _transport(self) -> str:
        """Which the trunk has among its other settings."""
        return str(getattr(self, "transport", "udp"))
