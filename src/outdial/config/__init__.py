"""Settings: a TOML file, then the environment (``OUTDIAL_SECTION__KEY``), then defaults.

`load` returns a frozen `Settings` or raises ConfigError naming the key and what would be right.
"""

from outdial.config.key import Key
from outdial.config.routes import Route
from outdial.config.settings import (
    Calls,
    Didml,
    Fax,
    Http,
    Limits,
    Log,
    Media,
    Node,
    Number,
    Policy,
    Retention,
    Settings,
    Sim,
    Sip,
    Sms,
    Speech,
    Storage,
    Store,
    Traces,
    Webhooks,
    load,
)
from outdial.config.trunk import Trunk

__all__ = [
    "Calls",
    "Didml",
    "Fax",
    "Http",
    "Key",
    "Limits",
    "Log",
    "Media",
    "Node",
    "Number",
    "Policy",
    "Retention",
    "Route",
    "Settings",
    "Sim",
    "Sip",
    "Sms",
    "Speech",
    "Storage",
    "Store",
    "Traces",
    "Trunk",
    "Webhooks",
    "load",
]
