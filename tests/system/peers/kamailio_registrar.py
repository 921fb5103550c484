"""A carrier that wants one to register: one Kamailio process with digest and a table of contacts.

REGISTER and INVITE are challenged, and a nonce count may not come twice. A call of an account goes
to whoever is registered as CARRIED, so that an Outdial that registers calls itself.
"""

from __future__ import annotations

from pathlib import Path

from system.peers.kamailio import Kamailio

USER, PASSWORD, REALM = "acme", "s3cret", "carrier.example"

_CONFIG = """\
#!KAMAILIO
debug=2
log_stderror=yes
children=2
tcp_children=2
auto_aliases=no
dns=no
rev_dns=no
alias="{realm}"
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
mpath="{modules}/"
loadmodule "pv.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "xlog.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("usrloc", "db_mode", 0)
modparam("auth", "nonce_count", 1)
modparam("auth", "qop", "auth")
modparam("auth", "nonce_expire", 60)
modparam("registrar", "max_expires", 120)

request_route {{
    if (is_method("CANCEL")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    if (has_totag()) {{
        if (loose_route()) {{
            t_relay();
        }} else if (is_method("ACK")) {{
            if (t_check_trans()) t_relay();
        }}
        exit;
    }}
    if (is_method("OPTIONS")) {{
        sl_send_reply("200", "Alive");
        exit;
    }}
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("{realm}", "{password}", "0") || $au != "{user}") {{
            xlog("L_NOTICE", "saw: register challenged\\n");
            www_challenge("{realm}", "1");
            exit;
        }}
        save("location");
        xlog("L_NOTICE", "saw: register saved expires=$hdr(Expires) $ct\\n");
        exit;
    }}
    if (is_method("INVITE")) {{
        if (!pv_proxy_authenticate("{realm}", "{password}", "0") || $au != "{user}") {{
            xlog("L_NOTICE", "saw: invite challenged\\n");
            proxy_challenge("{realm}", "1");
            exit;
        }}
        consume_credentials();
        xlog("L_NOTICE", "saw: invite to $rU from $fd contact $ct\\n");
        record_route();
        $ru = "sip:{user}@{realm}";
        if (!lookup("location")) {{
            sl_send_reply("480", "Nobody Registered");
            exit;
        }}
        t_relay();
        exit;
    }}
    sl_send_reply("405", "Only calls here");
}}
"""


class KamailioRegistrar(Kamailio):
    """The carrier. Use it as a context manager."""

    def __init__(self) -> None:
        super().__init__({})

    def config(self, modules: Path) -> str:
        """See Kamailio."""
        return _CONFIG.format(
            port=self.port, modules=modules, user=USER, password=PASSWORD, realm=REALM
        )

    def notes(self) -> list[str]:
        """What it wrote down, in order."""
        lines = [line.partition("saw: ")[2].strip() for line in self.log().splitlines()]
        return [line for line in lines if line]
