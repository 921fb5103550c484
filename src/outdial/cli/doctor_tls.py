"""The part of `outdial doctor` about certificates: ours, and whether trunks' are checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from outdial.cli.finding import Finding
from outdial.config import Settings, Trunk
from outdial.errors import ConfigError
from outdial.tls.certificate import Certificate
from outdial.tls.contexts import ClientSecurity, ServerSecurity
from outdial.tls.trouble import life

SOON_DAYS = 14


def certificates(settings: Settings, now: float) -> Iterator[Finding]:
    """The findings; none where there is no TLS. `now` is in seconds since 1970."""
    for section, files in (
        ("http", (settings.http.tls_certificate, settings.http.tls_key)),
        ("sip", (settings.sip.tls_certificate, settings.sip.tls_key, settings.sip.tls_client_ca)),
    ):
        if files[0]:
            yield _own(section, files, now)
    if settings.sim.enabled:
        return
    for trunk in settings.trunks:
        if trunk.transport == "tls":
            yield from _of_trunk(trunk, now)


def _own(section: str, files: tuple[str, ...], now: float) -> Finding:
    try:
        own = ServerSecurity(section, *files).own
    except ConfigError as error:
        return Finding(f"certificate {section}", False, str(error))
    return judged(f"certificate {section}", own, files[0], files[1] or files[0], now)


def _of_trunk(trunk: Trunk, now: float) -> Iterator[Finding]:
    check = f"certificate {trunk.name}"
    try:
        security = ClientSecurity(
            f"trunks.{trunk.name}",
            trunk.address,
            ca=trunk.tls_ca,
            certificate=trunk.tls_certificate,
            key=trunk.tls_key,
            verify=trunk.tls_verify,
        )
    except ConfigError as error:
        yield Finding(check, False, str(error))
        return
    if security.own is not None:
        yield judged(check, security.own, trunk.tls_certificate, trunk.tls_key, now)
    if not trunk.tls_verify:
        yield Finding(
            check,
            True,
            "the trunk's is not checked: anybody on the way may be the trunk, and listen",
            "take out tls_verify = false; `outdial trunks check` says what is wrong with it",
        )


def judged(check: str, own: Certificate | None, path: str, key: str, now: float) -> Finding:
    """How long a certificate of ours lasts, and whether others can read its key."""
    if own is None:
        return Finding(check, False, f"{path} has none")
    shown = f"{own.subject}: {life(own, now)}"
    if own.valid_until < now or own.valid_from > now:
        return Finding(check, False, shown, f"renew {path}; it is read again by itself")
    if key and Path(key).stat().st_mode & 0o007:
        return Finding(check, False, f"others may read the key in {key}", f"chmod 600 {key}")
    soon = own.days_left(now) < SOON_DAYS
    return Finding(check, True, shown, f"renew {path} soon" if soon else "")
