"""The tables of the settings, and how they are read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from outdial import template
from outdial.config import checks, file
from outdial.config.key import Key
from outdial.config.routes import Route
from outdial.config.routes import check as check_routes
from outdial.config.section import Codecs, Section
from outdial.config.tls import ListenerSecrecy, Shown
from outdial.config.trunk import Trunk


class Http(Shown, Section):
    """Where the API listens."""

    listen: Annotated[str, AfterValidator(checks.listen_address)] = "127.0.0.1:8080"
    """host:port of the HTTP API."""
    public_url: Annotated[str, AfterValidator(checks.optional_url)] = ""
    """How others reach the API, for links in callbacks; empty: made from `listen`."""
    max_body_bytes: int = Field(65536, ge=1024)
    """Largest request body taken; larger ones get 413."""


class Sip(ListenerSecrecy, Section):
    """The SIP user agent."""

    listen: Annotated[
        list[Annotated[str, AfterValidator(checks.sip_listen)]], Field(min_length=1)
    ] = ["udp:127.0.0.1:5060"]
    """transport:host:port, each of udp, tcp, tls; port 0 takes a free one."""
    public_address: Annotated[str, AfterValidator(checks.optional_host)] = ""
    """Host (and port) to show in Via and Contact behind NAT; empty: the listening one."""
    t1_ms: int = Field(500, ge=10)
    """Round-trip estimate of RFC 3261 17.1.1.1: every SIP timer follows from it."""
    nameservers: list[Annotated[str, AfterValidator(checks.name_server)]] = []
    """address[:port] of the name servers asked for trunks and hosts; empty: the system's."""
    user_agent: str = "Outdial"
    """User-Agent and Server header."""
    strangers: Literal["ignore", "refuse"] = "ignore"
    """What addresses that are no trunk's get: nothing (over TLS not even a handshake), or one short
    403."""
    ban_after: int = Field(20, ge=0, le=1_000_000)
    """Offences within a minute after which an address that is no trunk's is not listened to; 0:
    all are. Offences are requests of strangers, malformed messages, answers to nothing, wrong
    passwords."""
    ban_s: float = Field(3600.0, ge=1, le=31_536_000)
    """How many seconds a ban lasts."""
    session_expires_s: int = Field(1800, ge=90)
    """Session-Expires offered (RFC 4028)."""


class Media(Section):
    """RTP."""

    address: Annotated[str, AfterValidator(checks.address)] = "127.0.0.1"
    """Address bound for RTP."""
    public_address: Annotated[str, AfterValidator(checks.optional_address)] = ""
    """Address to show in the SDP, behind NAT or in a cloud; empty: `address`."""
    ports: Annotated[str, AfterValidator(checks.port_range)] = "20000-29999"
    """Even RTP ports are taken from this range, at random."""
    workers: int = Field(0, ge=0, le=64)
    """Worker processes; 0: one a core, less the control process's, at least one."""
    codecs: Annotated[Codecs, Field(min_length=1)] = ["PCMU", "PCMA"]
    """Offered, best first; trunks may have others."""
    country: Literal["us", "uk", "de", "fr", "es", "it", "in", "au", "jp", "mx", "br"] = "us"
    """Whose ringback and busy tones callers hear."""
    silence_timeout_s: float = Field(60.0, ge=0)
    """A call with no RTP and no RTCP report from the far end for so long is ended; 0: never."""

    @model_validator(mode="after")
    def _addresses_are_of_one_kind(self) -> Media:
        if self.public_address and (":" in self.public_address) != (":" in self.address):
            raise ValueError(
                f"public_address {self.public_address} and address {self.address} must both be "
                "IPv4 or both be IPv6"
            )
        return self


class Store(Section):
    """The record."""

    url: str = "sqlite:///outdial.db"
    """sqlite:///path, or postgresql://user@host/database, which several servers may share."""


class Node(Section):
    """This server among those that share a PostgreSQL database."""

    name: str = ""
    """What the server is called; no two may have one name. Empty: made of the machine's name and
    `http.listen`."""
    lease_s: float = Field(5.0, ge=2, le=60)
    """Others take over what a server has when nothing was heard of it for so long."""


class Storage(Section):
    """Files."""

    recordings: str = "recordings"
    """Folder of the recordings and the faxes; made if it is not there."""
    encryption_key_file: str = ""
    """File of the keys that recordings and faxes are encrypted with, one a line, newest first, made
    by `outdial recordings key rotate`; read again when it changes. Empty, and no `encryption_keys`:
    they are not encrypted."""
    encryption_keys: list[SecretStr] = []
    """The keys themselves, newest first, before those of the file."""
    cache: str = ""
    """Folder of ready-to-play prompts; empty: ``outdial`` in the user's cache folder."""
    cache_max_mb: int = Field(512, ge=16)
    """The oldest prompts go when the cache is larger."""


class Speech(Section):
    """Text to speech."""

    engine: Literal["auto", "espeak-ng", "espeakng-loader"] = "auto"
    """auto: the espeak-ng program if installed, else the espeakng-loader wheel."""
    default_voice: Literal["man", "woman"] = "woman"
    """The voice of Say without `voice`."""
    default_language: str = "en"
    """The language of Say without `Language`."""
    rate_wpm: int = Field(150, ge=80, le=400)
    """Words a minute."""


class Didml(Section):
    """The voice application."""

    fetch_timeout_s: float = Field(10.0, gt=0)
    """A document must be there within."""
    max_documents: int = Field(100, ge=1)
    """Documents one call may run, redirects included."""
    max_document_bytes: int = Field(65536, ge=1024)
    """Largest document taken."""
    max_sound_bytes: int = Field(10_000_000, ge=1024)
    """Largest audio file Play takes."""
    apology: str = "We are sorry, an application error has occurred. Goodbye."
    """Spoken when the application fails; empty: hang up without a word."""


class Webhooks(Section):
    """Requests to applications and callback URLs."""

    allow_private: list[Annotated[str, AfterValidator(checks.network)]] = []
    """Private address ranges that application and callback URLs may reach."""
    allow_ports: list[Annotated[int, AfterValidator(checks.port_number)]] = []
    """Ports besides 80 and 443 that URLs may name; empty: any port."""
    timeout_s: float = Field(10.0, gt=0)
    """A callback must be answered within."""
    attempts: int = Field(9, ge=1)
    """Tries of one callback before it is given up as dead."""
    secrets: list[Annotated[SecretStr, AfterValidator(checks.webhook_secret)]] = Field(
        [], max_length=8
    )
    """Every request is signed with each, newest first; empty: with those of `secret_file`."""
    secret_file: Annotated[str, Field(min_length=1)] = "outdial-webhooks.secret"  # noqa: S105 - its name
    """The secrets, one a line, newest first; made at the first start, and read when it changes."""


class Calls(Section):
    """How calls behave."""

    bridge_caller_id: Literal["to", "from"] = "to"
    """Caller ID of the second leg of a click-to-call: the called number, or the caller ID given."""
    apology_on_bridge_failure: bool = True
    """The answered callee hears a short reason when the second leg fails."""
    drain_s: float = Field(30.0, ge=0)
    """On SIGTERM live calls may go on for so long; a second SIGTERM ends them at once."""


class Retention(Section):
    """How long the record is kept, from a call's end on. Days may be fractions; 0: for ever."""

    calls_days: float = Field(0, ge=0)
    """Calls with all that belongs to them: events, callbacks, SIP messages, recordings, faxes."""
    recordings_days: float = Field(0, ge=0)
    """Recordings and faxes, when they go before their calls."""
    ladders_days: float = Field(0, ge=0)
    """SIP messages, when they go before their calls."""
    idempotency_hours: float = Field(24.0, gt=0)
    """The Idempotency-Key of a post."""


class Limits(Section):
    """What may be dialled, and how much."""

    calls_per_second: float = Field(10.0, gt=0)
    """Calls dialled a second; more wait as `queued`."""
    concurrent_calls: int = Field(500, ge=1)
    """Calls at once; more wait as `queued`."""
    queued_calls: int = Field(10_000, ge=1)
    """Calls that may wait; more are refused with 429."""
    queued_calls_per_key: int = Field(0, ge=0)
    """Calls of one API key that may wait; 0: four fifths of `queued_calls`."""
    queue_timeout_s: float = Field(3600.0, gt=0)
    """A call that has waited for so long is not dialled any more: it fails."""
    destinations: list[Annotated[str, AfterValidator(checks.prefix)]] | None = None
    """Prefixes that may be dialled on trunks; without this setting none are."""
    minutes_per_day: float = Field(0, ge=0)
    """Minutes talked in a day (UTC) on all calls that are dialled, each leg counted; then no more
    are dialled, and live ones are hung up. 0: no limit."""
    posts_per_second: float = Field(0, ge=0)
    """API posts a second per key; more get 429. 0: no limit."""
    premium: bool = False
    """What `premium_rate` and `satellite` are where they are not set."""
    premium_rate: bool | None = None
    """Whether premium-rate, shared-cost and personal numbers may be dialled; unset: as `premium`
    says."""
    satellite: bool | None = None
    """Whether numbers of satellites and of international networks may be dialled (+870, +881, +882,
    +883, +888); unset: as `premium` says."""
    sip_hosts: list[Annotated[str, AfterValidator(checks.host_maybe_port)]] = []
    """host[:port] that documents may dial with Sip, besides the hosts of trunks with any port;
    without a port all of the host's."""

    @property
    def allows_premium_rate(self) -> bool:
        """Whether `premium_rate` numbers may be dialled."""
        return self.premium if self.premium_rate is None else self.premium_rate

    @property
    def allows_satellite(self) -> bool:
        """Whether `satellite` numbers may be dialled."""
        return self.premium if self.satellite is None else self.satellite


class Policy(Section):
    """Whom one may call, and when."""

    calling_hours: Annotated[str, AfterValidator(checks.optional_hours)] = ""
    """From when until when people may be called, e.g. "09:00-20:00", in every time zone that their
    number may be in; second legs may be rung at any hour. Empty: at any hour."""
    calls_per_number_per_day: int = Field(0, ge=0)
    """Calls to one number within 24 hours; more are refused with 429. 0: any number."""
    do_not_call: str = ""
    """File of numbers that are never dialled, one a line; read again when it changes. Empty: none.
    """


class Number(Section):
    """A number of ours that others call."""

    number: Annotated[str, AfterValidator(checks.number)]
    """The number, country code first."""
    url: Annotated[str, AfterValidator(checks.url)]
    """The voice application that takes its calls."""
    method: Literal["GET", "POST"] = "POST"
    """How `url` is fetched."""
    fallback_url: Annotated[str, AfterValidator(checks.optional_url)] = ""
    """Fetched when the application fails; empty: the caller hears an apology."""
    status_callback: Annotated[str, AfterValidator(checks.optional_url)] = ""
    """Told what becomes of the calls."""
    status_callback_events: list[Literal["answered", "completed"]] = ["completed"]
    """Which of their events."""
    record: bool = False
    """Whether the calls are recorded from the answer on."""


class Sms(Section):
    """Short messages of the Sms verb: over the trunks by SIP MESSAGE, or through a gateway."""

    gateway_url: Annotated[str, AfterValidator(checks.optional_url)] = ""
    """An HTTP gateway that takes the messages in place of the trunks; `{to}`, `{from}`, `{text}`,
    `{sid}` and `{callsid}` stand for a message's values. Empty: the trunks do."""
    gateway_method: Literal["POST", "PUT", "GET"] = "POST"
    """How the gateway is asked; GET sends no body."""
    gateway_content_type: str = template.FORM
    """Of the body: application/x-www-form-urlencoded, application/json, application/xml, text/xml
    or text/plain. Values are escaped for it."""
    gateway_body: str = "from={from}&to={to}&text={text}"
    """The body, with places for values as in `gateway_url`."""
    gateway_headers: list[Annotated[SecretStr, AfterValidator(checks.secret_header)]] = []
    """Further header lines, such as "Authorization: Bearer ...", each a secret."""
    gateway_expects: str = ""
    """What the gateway's answer must contain, besides a status from 200 to 299, for a message to
    count as sent; for gateways that report failures with status 200."""
    gateway_timeout_s: float = Field(10.0, gt=0, le=60)
    """The gateway must have answered within."""
    messages_per_second: float = Field(10.0, gt=0)
    """Messages sent a second; more wait."""
    messages_per_call: int = Field(10, ge=1)
    """Messages of one call; more are refused."""
    max_characters: int = Field(1600, ge=1, le=10_000)
    """Longest text; longer ones are refused."""
    expire_s: float = Field(3600.0, gt=0)
    """A message that could not be sent for so long, e.g. over a restart, is not sent any more."""

    @model_validator(mode="after")
    def _template_is_right(self) -> Sms:
        if not self.gateway_url:
            return self
        template.check_url(self.gateway_url)
        body = "" if self.gateway_method == "GET" else self.gateway_body
        if body:
            try:
                template.check_body(body, self.gateway_content_type)
            except ValueError as problem:
                raise ValueError(f"gateway_body: {problem}") from None
        for place in ("{to}", "{text}"):
            if place not in self.gateway_url + body:
                raise ValueError(f"{place} is in neither gateway_url nor the body that is sent")
        return self


class Fax(Section):
    """Faxes that are received."""

    concurrent: int = Field(8, ge=0, le=256)
    """Faxes received at once, each in a process of its own; more fail."""
    longest_s: float = Field(1800.0, ge=60)
    """A fax that takes longer is ended, with the pages that are there."""


class Sim(Section):
    """The simulated phones."""

    enabled: bool = False
    """Answer every number with simulated phones; no trunk is needed or used."""


class Log(Section):
    """Logs, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""
    calls: Literal["off", "states", "steps"] = "off"
    """What calls do, as on their timelines but without what people said, keyed or were told: their
    states and what went wrong, every step, or nothing."""
    json_: Annotated[bool, Field(alias="json")] = True
    """One JSON object a line; false: coloured text."""


class Traces(Section):
    """OpenTelemetry traces, one a call."""

    enabled: bool = False
    """Whether they are made, and sent to where the variables of OpenTelemetry say, such as
    OTEL_EXPORTER_OTLP_ENDPOINT; needs the extra ``otel``."""


class Settings(BaseModel):
    """All settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    http: Http = Http()
    sip: Sip = Sip()
    media: Media = Media()
    store: Store = Store()
    node: Node = Node()
    storage: Storage = Storage()
    speech: Speech = Speech()
    didml: Didml = Didml()
    webhooks: Webhooks = Webhooks()
    calls: Calls = Calls()
    limits: Limits = Limits()
    policy: Policy = Policy()
    retention: Retention = Retention()
    keys: list[Key] = []
    trunks: list[Trunk] = []
    routes: list[Route] = []
    numbers: list[Number] = []
    sms: Sms = Sms()
    fax: Fax = Fax()
    sim: Sim = Sim()
    log: Log = Log()
    traces: Traces = Traces()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Settings:
        for key, names in (
            ("keys", [key.name for key in self.keys]),
            ("trunks", [trunk.name for trunk in self.trunks]),
            ("inbound_username", [t.inbound_username for t in self.trunks if t.inbound_username]),
            ("numbers", [number.number for number in self.numbers]),
        ):
            twice = checks.repeated(names)
            if twice is not None:
                raise ValueError(f"{twice!r} is there twice in {key}; each may be there once")
        return self

    @model_validator(mode="after")
    def _public_addresses_suit_the_media(self) -> Settings:
        for trunk in self.trunks:
            is_ipv6 = trunk.public_address.startswith("[")
            if trunk.public_address and is_ipv6 != (":" in self.media.address):
                raise ValueError(
                    f"the trunk {trunk.name!r}: public_address {trunk.public_address} and "
                    f"media.address {self.media.address} must both be IPv4 or both be IPv6"
                )
        return self

    @model_validator(mode="after")
    def _routes_have_trunks(self) -> Settings:
        check_routes(self.routes, {trunk.name: bool(trunk.rates) for trunk in self.trunks})
        return self

    @model_validator(mode="after")
    def _trunks_have_listeners(self) -> Settings:
        spoken = {listener.partition(":")[0] for listener in self.sip.listen}
        for trunk in [] if self.sim.enabled else self.trunks:
            if trunk.transport not in spoken:
                raise ValueError(
                    f"the trunk {trunk.name!r} speaks {trunk.transport}, and sip.listen has no "
                    f'{trunk.transport} listener; add e.g. "{trunk.transport}:127.0.0.1:'
                    f'{"5061" if trunk.transport == "tls" else "5060"}"'
                )
        return self


def load(
    path: Path | None,
    overrides: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of the file, over which goes the environment, over which go the overrides.

    `path` None: no file. `overrides` have dotted names: ``{"sim.enabled": True}``. Paths within
    the settings are relative to the current folder. Raises ConfigError that names what is wrong;
    values of keys and passwords are never in it.
    """
    tree = file.read_file(path) if path is not None else {}
    given = os.environ if environment is None else environment
    tree = file.merge(tree, file.read_environment(given, Settings))
    for name, value in (overrides or {}).items():
        file.put(tree, name.split("."), value)
    return file.validate(Settings, tree, str(path or "settings"))
