"""`outdial doctor`: what stands between these settings and a call, and what to do about it.

Nothing is left behind: no database or folder is made, every socket is closed again.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from ipaddress import ip_address
from pathlib import Path

from outdial.cli.doctor_tls import certificates
from outdial.cli.files import database_is_missing
from outdial.cli.finding import Finding as Finding
from outdial.clock import SystemClock
from outdial.config import Http, Settings, Trunk
from outdial.config.checks import host_and_port
from outdial.errors import ConfigError, OutdialError
from outdial.legs import Codec
from outdial.media.plane import parse_ports
from outdial.trunk_state import TrunkState

_PING_S = 3.0


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """The findings, each as soon as it is there."""
    for finding in _configuration(settings):
        yield finding
    for finding in certificates(settings, SystemClock().now()):
        yield finding
    running = await asyncio.to_thread(_is_outdial, settings.http)
    yield _http_port(settings, running)
    for listener in settings.sip.listen:
        yield _sip_port(listener, running)
    trunks = [] if settings.sim.enabled else settings.trunks
    far = {trunk.name: await asyncio.to_thread(_far_address, trunk) for trunk in trunks}
    yield _media_address(settings, far)
    if _bindable("", "", socket.SOCK_DGRAM, settings.media.address, 0).ok:
        yield await asyncio.to_thread(_media_ports, settings, running)
    for trunk in trunks:
        yield _out_of_reach(settings, trunk, far[trunk.name]) or await _trunk(settings, trunk)
    yield await _speech(settings)
    yield await _recognition()
    async for finding in examine_store(settings):
        yield finding
    yield _folder("recordings", "storage.recordings", Path(settings.storage.recordings))
    yield _encryption(settings)
    yield await asyncio.to_thread(_fax)
    yield await asyncio.to_thread(_codecs, settings)
    yield _signatures(settings)


def _encryption(settings: Settings) -> Finding:
    from outdial import recording_keys

    try:
        keys = recording_keys.of_settings(settings.storage)
    except ConfigError as problem:
        return Finding("encryption", False, f"{problem.key}: {problem.problem}", problem.remedy)
    if not keys.seals:
        return Finding("encryption", True, "recordings are not encrypted: no keys are set")
    older = f", {len(keys.ids) - 1} older ones decrypt" if len(keys.ids) > 1 else ""
    return Finding(
        "encryption", True, f"recordings are encrypted with the key {keys.ids[0]}{older}"
    )


def _fax() -> Finding:
    from outdial.fax import receiver

    problem = receiver.missing()
    if not problem:
        return Finding("fax", True, "libspandsp is there: faxes can be received")
    remedy = f"apt install {receiver.PACKAGE}, where Fax is used"
    return Finding("fax", True, f"no fax can be received: {problem}", remedy)


def _codecs(settings: Settings) -> Finding:
    from outdial.media.coders import available

    try:
        available.check(settings)
    except ConfigError as error:
        return Finding("codecs", False, f"{error.key}: {error.problem}", error.remedy)
    more = [
        codec.encoding for codec in Codec if not codec.is_g711 and not available.problem([codec])
    ]
    return Finding(
        "codecs", True, f"G.711{''.join(f', {name}' for name in more)} can be coded here"
    )


def _configuration(settings: Settings) -> list[Finding]:
    findings = [Finding("configuration", True, "readable, and every setting is known")]
    if not settings.keys:
        findings.append(
            Finding("keys", True, "none in the configuration", "outdial keys add NAME makes one")
        )
    if settings.sim.enabled:
        findings.append(Finding("trunks", True, "simulated phones answer every number"))
    elif not settings.trunks:
        findings.append(
            Finding(
                "trunks",
                False,
                "there is no trunk: no number can be dialled",
                "add a [[trunks]] entry, or try outdial serve --sim",
            )
        )
    elif not settings.limits.destinations:
        findings.append(
            Finding(
                "destinations",
                False,
                "limits.destinations is not set: every number is refused",
                'allow the prefixes you call, e.g. destinations = ["1"]',
            )
        )
    return findings


def _is_outdial(settings: Http) -> bool:
    from outdial.cli.client import reachable

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is told to it
    url = (
        f"{'https' if settings.tls_certificate else 'http'}://{reachable(settings.listen)}/healthz"
    )
    try:
        with urllib.request.urlopen(url, timeout=2, context=context) as answer:  # noqa: S310 - ours
            return bool(answer.headers.get("Server") == "Outdial")
    except (OSError, ValueError):
        return False


def _http_port(settings: Settings, running: bool) -> Finding:
    listen = settings.http.listen
    if running:
        return Finding("http", True, f"{listen} is held by a running Outdial")
    host, _, port = listen.rpartition(":")
    return _bindable("http", "http.listen", socket.SOCK_STREAM, host.strip("[]"), int(port))


def _sip_port(listener: str, running: bool) -> Finding:
    from outdial.sip.endpoint import parse_listener

    try:
        transport, host, port = parse_listener(listener)
    except ConfigError as error:
        return Finding("sip", False, error.problem, error.remedy)
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    finding = _bindable("sip", "sip.listen", kind, host, port)
    if running and not finding.ok:
        return Finding("sip", True, f"{listener} is held, and Outdial is running")
    return finding


def _media_address(settings: Settings, far: Mapping[str, str]) -> Finding:
    address = settings.media.address
    finding = _bindable("media", "media.address", socket.SOCK_DGRAM, address, 0)
    if not finding.ok:
        return finding
    for name, host in far.items():
        if host and ip_address(address).is_loopback:
            return Finding(
                "media",
                False,
                f"trunk {name} cannot send audio to {address}, which is this machine only",
                f"set media.address to {_own_address(host)}",
            )
    shown = settings.media.public_address
    return Finding("media", True, f"{address}, shown as {shown}" if shown else f"{address} is ours")


def _media_ports(settings: Settings, running: bool) -> Finding:
    """Whether the pairs of ports that are free are enough for the calls allowed."""
    first, last = parse_ports(settings.media.ports)
    free = sum(
        all(
            _bindable("", "", socket.SOCK_DGRAM, settings.media.address, one).ok
            for one in (port, port + 1)
        )
        for port in range(first + first % 2, last, 2)
    )
    detail = f"{free} free pairs in {settings.media.ports}"
    if running:
        return Finding("media ports", True, f"{detail}, besides those the running Outdial holds")
    calls = settings.limits.concurrent_calls
    if free < calls:
        return Finding(
            "media ports",
            False,
            f"{detail}: a call takes one or two, and limits.concurrent_calls is {calls}",
            "widen media.ports, or lower limits.concurrent_calls",
        )
    return Finding("media ports", True, detail)


def _far_address(trunk: Trunk) -> str:
    """The host of a trunk on another machine, as an address if it has one; "" on this machine."""
    host, _ = host_and_port(trunk.address)
    try:
        found = [str(each[4][0]) for each in socket.getaddrinfo(host, None)]
    except OSError:
        return host  # an SRV record may still lead there
    return "" if all(ip_address(each.partition("%")[0]).is_loopback for each in found) else found[0]


def _own_address(far: str) -> str:
    """The address of this machine that packets to there have; nothing is sent to find it out."""
    family = socket.AF_INET6 if ":" in far else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            own = str(probe.getsockname()[0])
        if not ip_address(own).is_loopback:
            return own
    except OSError:
        pass
    return "an address of this machine that the trunk can reach"


def _out_of_reach(settings: Settings, trunk: Trunk, far: str) -> Finding | None:
    """What keeps the trunk out of reach before anything is sent."""
    from outdial.sip.endpoint import parse_listener

    listeners = [parse_listener(listener) for listener in settings.sip.listen]
    hosts = [host for transport, host, _ in listeners if transport == trunk.transport]
    if not far or not all(ip_address(host).is_loopback for host in hosts):
        return None
    return Finding(
        f"trunk {trunk.name}",
        False,
        f"{far} cannot be reached from {', '.join(hosts)}, which is this machine only",
        f"in sip.listen, set the host of {trunk.transport} to {_own_address(far)}",
    )


def _bindable(check: str, key: str, kind: int, host: str, port: int) -> Finding:
    where = f"{host}:{port}" if port else host
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=kind)[0]
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        reason = error.strerror or str(error)
        return Finding(check, False, f"{where} cannot be used: {reason}", _remedy(error, key))
    return Finding(check, True, f"{where} is free")


def _remedy(error: OSError, key: str) -> str:
    """What to do about an address that cannot be bound."""
    if error.errno == errno.EADDRNOTAVAIL:
        return f"in {key}, name an address of this machine (`ip addr` lists them)"
    if error.errno == errno.EACCES:
        return f"in {key}, name a port above 1023, or allow this user the lower ones"
    return f"stop what uses it, or change {key}"


async def _trunk(settings: Settings, trunk: Trunk) -> Finding:
    from outdial.sip.endpoint import SipEndpoint, parse_listener
    from outdial.sip.plane import SipPlane

    name = f"trunk {trunk.name}"
    remedy = f"check its address ({trunk.address}), the network, and whether it knows this address"
    try:
        listeners = [parse_listener(listener) for listener in settings.sip.listen]
        host = next(host for transport, host, _ in listeners if transport == trunk.transport)
        if not _bindable("", "", socket.SOCK_DGRAM, host, 0).ok:
            return Finding(name, False, f"nothing can be sent from {host}", "see sip above")
        listen = [f"{trunk.transport}:{host if ':' not in host else f'[{host}]'}:0"]
        own = settings.sip.model_copy(update={"listen": listen})
        clock = SystemClock()
        endpoint = await SipEndpoint.start(own, clock=clock)
        try:
            plane = SipPlane(own, [trunk], endpoint, clock)
            if trunk.register_:
                return _registrar(trunk, await plane.ask_registrar(trunk.name, _PING_S))
            state = await plane.ping(trunk.name, _PING_S)
            plane.close()
        finally:
            await endpoint.close()
    except OutdialError as error:
        return Finding(name, False, str(error), remedy)
    if state.is_well:
        return Finding(name, True, f"answers OPTIONS with {state.last_code}, {state.rtt_ms:.0f} ms")
    return Finding(name, False, f"does not answer: {state.detail}", remedy)


def _registrar(trunk: Trunk, state: TrunkState) -> Finding:
    name = f"trunk {trunk.name}"
    if state.status == "registered":
        said = f"the registrar knows us, {state.rtt_ms:.0f} ms"
        return Finding(name, True, said, "outdial trunks ls says whether the server is registered")
    if state.status == "rejected":
        remedy = "check username, password, register_user, registrar and from_domain"
        return Finding(name, False, f"the registrar does not know us: {state.detail}", remedy)
    where = trunk.outbound_proxy or trunk.registrar or trunk.address
    why = state.detail or f"no answer within {_PING_S:g} s"
    remedy = f"check its address ({where}), the network, and whether it knows this address"
    return Finding(name, False, f"cannot register: {why}", remedy)


async def _speech(settings: Settings) -> Finding:
    from outdial.speech.cache import ClipCache
    from outdial.speech.pool import HelperPool
    from outdial.speech.speech import Speech
    from outdial.speech.voices import voice_name

    pool = HelperPool(1)
    with tempfile.TemporaryDirectory(prefix="outdial-doctor-") as folder:
        speech = Speech(settings.speech, ClipCache(folder, 1 << 24), pool)
        try:
            engine = await speech.check()
            voice, language = settings.speech.default_voice, settings.speech.default_language
            try:
                voice_name(voice, language, engine.languages)
            except OutdialError as error:
                return Finding("speech", False, str(error), "correct speech.default_language")
        except OutdialError as error:
            return Finding("speech", False, str(error), "apt install espeak-ng")
        finally:
            await speech.stop()
            await pool.stop()
    return Finding(
        "speech", True, f"{engine.name} {engine.version}, {len(engine.languages)} languages"
    )


async def _recognition() -> Finding:
    """A Gather with input="speech" needs an optional package; without it keys are taken."""
    from outdial.speech.recognizer import PACKAGE, REMEDY, Recognizer, is_installed

    if not is_installed():
        detail = f"{PACKAGE} is not installed: a Gather takes keys alone"
        return Finding("recognition", True, detail, f'{REMEDY}, for input="speech"')
    recognizer = Recognizer()
    try:
        version = await recognizer.version()
    except OutdialError as error:
        return Finding("recognition", False, str(error), f"{REMEDY}, again")
    finally:
        await recognizer.stop()
    return Finding("recognition", True, f"{PACKAGE} {version}, English")


async def examine_store(settings: Settings) -> AsyncIterator[Finding]:
    """The record, and who else is on it."""
    store = await _store(settings)
    yield store
    if store.ok and settings.store.url.startswith("postgres"):
        yield await _nodes(settings)


async def _store(settings: Settings) -> Finding:
    from outdial.store.store import Store

    url = settings.store.url
    path = url.removeprefix("sqlite:///")
    if database_is_missing(settings):
        return _folder("store", "store.url", Path(path).parent, f"{path} will be made")
    try:
        store = await Store.open(url, SystemClock())
        try:
            await store.check()
        finally:
            await store.close()
    except OutdialError as error:
        return Finding("store", False, str(error), "check that it is there, its rights, and space")
    # a password may stand in the URL
    return Finding("store", True, f"{'PostgreSQL' if '://' in path else path} can be written")


async def _nodes(settings: Settings) -> Finding:
    """The servers on the database, this one's place among them."""
    from outdial.nodes.name import node_name
    from outdial.store.nodes import listed

    name = node_name(settings)
    nodes = await listed(settings.store.url)
    said = [
        f"{node.name}: {'holds its lease' if node.lease_left_s > 0 else 'lease has run out'}"
        for node in nodes
    ]
    if name not in {node.name for node in nodes}:
        said.append(f"{name}, which is this one, is not running")
    return Finding("nodes", True, "; ".join(said))


def _signatures(settings: Settings) -> Finding:
    """Whether there is something to sign requests with, that nobody else can read."""
    from outdial.webhooks.secret_file import read

    given = len(settings.webhooks.secrets)
    if given:
        return Finding("signatures", True, f"made with {given} of webhooks.secrets")
    path = Path(settings.webhooks.secret_file).absolute()
    if not path.exists():
        return _folder("signatures", "webhooks.secret_file", path.parent, f"{path} will be made")
    try:
        found = len(read(path))
    except OutdialError as error:
        return Finding("signatures", False, str(error), "outdial deliveries secret rotate")
    if path.stat().st_mode & 0o077:
        return Finding("signatures", False, f"others may read {path}", f"chmod 600 {path}")
    together = settings.store.url.startswith("postgres")
    return Finding(
        "signatures",
        True,
        f"made with {found} of {path}",
        "several nodes need the same: set webhooks.secrets on each" if together else "",
    )


def _folder(check: str, key: str, folder: Path, well: str = "") -> Finding:
    """Whether the folder can be written, or could be made where it is not there."""
    nearest = folder.absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    try:
        # a file without a name: gone when it is closed, whatever happens
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError:
        remedy = f"let this user write there, or change {key}"
        return Finding(check, False, f"{nearest} cannot be written", remedy)
    if not well:
        well = (
            f"{folder} can be written" if nearest == folder.absolute() else f"{folder} will be made"
        )
    return Finding(check, True, well)


async def report(settings: Settings, tell: Callable[[Finding], None]) -> bool:
    """Tells each finding; whether all is well."""
    well = True
    async for finding in examine(settings):
        tell(finding)
        well = well and finding.ok
    return well
