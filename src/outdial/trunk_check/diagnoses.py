"""What may be found, what it means, and what to change: one row each.

docs/guides/trunk-check.md has the same table; tests hold the two together. Pure.
"""

from __future__ import annotations

from outdial.frozen import frozen

_ASK = "ask the carrier which address, port and transport it wants, and from which of yours"
_FIREWALL = "let your firewall pass SIP to and from there"
_MEDIA = (
    "the firewall for media.ports (UDP), media.public_address behind NAT, and nat = true of the "
    "trunk where its audio comes from another address than it says"
)


@frozen
class Diagnosis:
    """One thing that may be found. `remedy` "" where nothing is to be changed."""

    ok: bool
    meaning: str
    remedy: str = ""


DIAGNOSES: dict[str, Diagnosis] = {
    "settings-well": Diagnosis(True, "the settings fit together"),
    "listener-loopback": Diagnosis(
        False,
        "sip.listen is this machine only: the trunk, which is another, cannot be reached from it",
        "in sip.listen, name an address of this machine that leads outside",
    ),
    "media-loopback": Diagnosis(
        False,
        "media.address is this machine only: the trunk cannot send audio there",
        "set media.address to an address of this machine that leads outside",
    ),
    "codec-missing": Diagnosis(
        False,
        "a codec that is offered to it cannot be run here",
        "install what is named, or leave the codec out of codecs",
    ),
    "password-missing": Diagnosis(
        False, "the trunk has a username and no password", "set its password"
    ),
    "unchecked": Diagnosis(
        True,
        "its certificate is not checked: anybody on the way may be the trunk",
        "take out tls_verify = false",
    ),
    "files-wrong": Diagnosis(
        False, "a file that the trunk's settings name cannot be used", "name the right one"
    ),
    "dns-literal": Diagnosis(True, "it is an address: there is nothing to look up"),
    "dns-found": Diagnosis(True, "its servers were found"),
    "dns-none": Diagnosis(
        False, "its name leads nowhere", "compare trunks.address with what the carrier gave you"
    ),
    "dns-away": Diagnosis(
        False,
        "no name server answers",
        "the network of this machine, /etc/resolv.conf, or sip.nameservers",
    ),
    "no-listener": Diagnosis(
        False,
        "nothing in sip.listen has the transport and kind of address (IPv4 or IPv6) that its "
        "servers want",
        "add such a listener, or set the trunk's transport",
    ),
    "connected": Diagnosis(True, "a connection was opened"),
    "connect-refused": Diagnosis(
        False,
        "there is a machine, and nothing listens on that port",
        "the port in trunks.address (TLS is on 5061, TCP on 5060), or the transport",
    ),
    "connect-silent": Diagnosis(
        False, "nobody answers on that port: a firewall throws it away", f"{_FIREWALL}; {_ASK}"
    ),
    "connect-failed": Diagnosis(
        False, "the network leads nowhere near it", "the route of this machine to that address"
    ),
    "secure": Diagnosis(True, "the certificate is good, and the trunk's"),
    "tls-expired": Diagnosis(
        False,
        "its certificate has expired",
        "tell the carrier, or renew it on your PBX; look at the clock of this machine",
    ),
    "tls-not-yet-valid": Diagnosis(
        False, "its certificate is not valid yet", "the clock of this machine is wrong"
    ),
    "tls-self-signed": Diagnosis(
        False,
        "its certificate is self-signed",
        "get it from the carrier by another way, and name its PEM file in tls_ca",
    ),
    "tls-unknown-ca": Diagnosis(
        False,
        "nobody who is trusted vouches for its certificate",
        "name the PEM file of its authority in tls_ca",
    ),
    "tls-wrong-name": Diagnosis(
        False,
        "its certificate is for another name",
        "write one of those names in address, or in tls_name",
    ),
    "tls-client-certificate-wanted": Diagnosis(
        False, "it wants a certificate of yours", "set tls_certificate and tls_key of the trunk"
    ),
    "tls-client-certificate-refused": Diagnosis(
        False,
        "it refuses your certificate",
        "renew it, or give the carrier the authority that vouches for it",
    ),
    "tls-no-tls": Diagnosis(
        False,
        "what answers there is not TLS",
        "the port of TLS is mostly 5061; or set the trunk's transport to tcp",
    ),
    "tls-protocol": Diagnosis(
        False,
        "it speaks no version of TLS, or no cipher, that is safe",
        "TLS 1.2 is the least: the far end must be brought up to date",
    ),
    "tls-failed": Diagnosis(False, "the handshake failed", _ASK),
    "options-well": Diagnosis(True, "it answers"),
    "options-challenged": Diagnosis(
        True, "it answers, and asks for a password even for that; a call will tell about yours"
    ),
    "options-forbidden": Diagnosis(
        True,
        "it answers 403: it does not know your address, or takes no OPTIONS",
        "if calls get 403 too, tell the carrier the address that you call from (IP "
        "authentication), or set username and password",
    ),
    "options-unavailable": Diagnosis(
        False, "it is there, and says that it cannot serve now", "wait, or ask the carrier"
    ),
    "options-silent": Diagnosis(
        False,
        "it does not answer",
        f"{_FIREWALL}; many carriers say nothing to addresses they do not know: {_ASK}",
    ),
    "options-nobody": Diagnosis(
        False,
        "nothing listens there (ICMP port unreachable)",
        "the port in trunks.address, or the transport: it may take TCP or TLS only",
    ),
    "registered": Diagnosis(True, "we are registered"),
    "register-password": Diagnosis(
        False,
        "the registrar does not take the user name and password",
        "they are the account's SIP credentials, often not those of its web page; realm and user "
        "name are case-sensitive",
    ),
    "register-forbidden": Diagnosis(
        False,
        "the registrar forbids it (403): the account is unknown, closed, or not for this address",
        "username and register_user, or ask the carrier",
    ),
    "register-unknown": Diagnosis(
        False,
        "the registrar does not know the user or the domain (404)",
        "register_user, and the domain in address or registrar",
    ),
    "register-silent": Diagnosis(False, "the registrar does not answer", f"{_FIREWALL}; {_ASK}"),
    "register-failed": Diagnosis(
        False, "the registrar refuses, in words of its own", "ask the carrier what they mean"
    ),
    "not-allowed": Diagnosis(
        False,
        "the settings do not let this number be called now",
        "the rule that is named, of limits or policy, or another number",
    ),
    "call-answered": Diagnosis(True, "the call was answered"),
    "call-insisted": Diagnosis(
        True,
        "it refuses keys in RTP/AVP, and is asked once more with RTP/SAVP, as by every call",
        'srtp = "mandatory" spares each call the first INVITE; "off", where the second is refused '
        "too, takes plain audio",
    ),
    "call-busy": Diagnosis(True, "the trunk works, and the number is busy", "try another number"),
    "call-declined": Diagnosis(
        True, "the trunk works, and whoever was called declined", "try another number"
    ),
    "call-rang-out": Diagnosis(
        True, "the trunk works, and nobody took the call", "try a number that answers"
    ),
    "call-password": Diagnosis(
        False,
        "it does not take the user name and password, or wants some and there are none",
        "username and password of the trunk: the account's SIP credentials",
    ),
    "call-forbidden": Diagnosis(
        False,
        "it forbids the call (403): it does not know your address, or does not allow this caller "
        "ID or destination",
        "call with --from a number of yours; tell the carrier the address that you call from; look "
        "at the account",
    ),
    "call-no-such-number": Diagnosis(
        False,
        "nobody has that number, as it was written",
        "number_format of the trunk: e164, +e164 or national",
    ),
    "call-codec": Diagnosis(
        False,
        "the two sides have no codec in common, or it wants encrypted audio",
        "codecs and srtp of the trunk",
    ),
    "call-moved": Diagnosis(
        False, "it redirects calls, which is not followed", "ask the carrier for the right address"
    ),
    "call-unavailable": Diagnosis(
        False, "it cannot place the call now", "wait, try another number, or ask the carrier"
    ),
    "call-silent": Diagnosis(
        False, "it does not answer calls", f"{_FIREWALL}; {_ASK}; try another transport"
    ),
    "call-unreachable": Diagnosis(False, "the call could not leave", "see the steps above"),
    "call-refused": Diagnosis(
        False, "it refuses the call, in words of its own", "ask the carrier what they mean"
    ),
    "call-answer-useless": Diagnosis(
        False, "the answer describes no audio that can be used", "codecs and srtp of the trunk"
    ),
    "audio-well": Diagnosis(True, "audio came and went"),
    "audio-none": Diagnosis(
        False,
        "one-way audio: packets left, and none came back",
        f"{_MEDIA}; the carrier may also wait for yours, which does not reach it",
    ),
    "audio-refused": Diagnosis(
        False,
        "audio came, but from an address that was not agreed on, and was not taken",
        "nat = true of the trunk, if that address is the carrier's",
    ),
    "audio-unsent": Diagnosis(
        False, "no packet could be sent", "media.address, and the route to the carrier's audio"
    ),
    "audio-lossy": Diagnosis(
        False,
        "many packets were lost",
        "the line of this machine: other traffic, Wi-Fi, a provider; loss above 5 % is heard",
    ),
}


def of_connecting(error: OSError) -> str:
    """The row of a connection that could not be opened."""
    if isinstance(error, ConnectionRefusedError):
        return "connect-refused"
    return "connect-silent" if isinstance(error, TimeoutError) else "connect-failed"


def of_trouble(kind: str) -> str:
    """The row of a handshake that failed, by the kind of its trouble."""
    row = f"tls-{kind}"
    return row if row in DIAGNOSES else "tls-failed"


def of_options(status: int | None, *, nobody: bool = False) -> str:
    """The row of what OPTIONS got; None: no answer."""
    if status is None:
        return "options-nobody" if nobody else "options-silent"
    if status in (401, 407):
        return "options-challenged"
    if status == 403:
        return "options-forbidden"
    return "options-unavailable" if status in (408, 503) else "options-well"


def of_registration(status: int | None) -> str:
    """The row of what REGISTER got; None: no answer."""
    if status is None:
        return "register-silent"
    if 200 <= status < 300:
        return "registered"
    by_status = {
        401: "register-password",
        407: "register-password",
        403: "register-forbidden",
        404: "register-unknown",
    }
    return by_status.get(status, "register-failed")


def of_rejection(status: int, *, local: bool = False) -> str:
    """The row of a call that was not answered; `local`: no peer said so."""
    if local:
        return {408: "call-silent", 487: "call-rang-out"}.get(status, "call-unreachable")
    by_status = {
        401: "call-password",
        407: "call-password",
        403: "call-forbidden",
        404: "call-no-such-number",
        410: "call-no-such-number",
        484: "call-no-such-number",
        485: "call-no-such-number",
        604: "call-no-such-number",
        408: "call-rang-out",
        480: "call-rang-out",
        487: "call-rang-out",
        486: "call-busy",
        600: "call-busy",
        603: "call-declined",
        607: "call-declined",
        608: "call-declined",
        415: "call-codec",
        488: "call-codec",
        606: "call-codec",
    }
    if status in by_status:
        return by_status[status]
    if 300 <= status < 400:
        return "call-moved"
    return "call-unavailable" if 500 <= status < 600 else "call-refused"


def of_audio(*, sent: int, received: int, lost: int, refused: int) -> str:
    """The row of the packets of a call that was answered."""
    if not sent:
        return "audio-unsent"
    if not received:
        return "audio-refused" if refused else "audio-none"
    return "audio-lossy" if lost > 0.05 * (received + lost) else "audio-well"
