"""The proxy of `kamailio`, reached over TLS: Debian has its module in kamailio-tls-modules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from doubles.certificates import Made
from system.peers.baresip import free_port_pair
from system.peers.kamailio import MODULES, Kamailio

_MORE = """\
listen=tls:127.0.0.1:{port}
enable_tls=yes
"""
_MODULE = """\
loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{certificate}")
modparam("tls", "private_key", "{key}")
loadmodule "pv.so"
"""


class KamailioTls(Kamailio):
    """One proxy. It shows the certificate to whoever connects at `tls_port`."""

    def __init__(self, places: Mapping[str, str], made: Made) -> None:
        super().__init__(places)
        self.tls_port = free_port_pair()
        self._made = made

    def config(self, modules: Path) -> str:
        """See Kamailio."""
        listening = f"listen=tcp:127.0.0.1:{self.port}\n"
        module = _MODULE.format(certificate=self._made.path, key=self._made.key_path)
        whole = (
            super().config(modules).replace(listening, listening + _MORE.format(port=self.tls_port))
        )
        return whole.replace('loadmodule "pv.so"\n', module)


def is_installed() -> bool:
    """Whether its module is there."""
    return any((path / "tls.so").exists() for path in MODULES)
