"""What a server is called among those that share its database."""

from __future__ import annotations

import os
import socket

from outdial.config import Settings


def node_name(settings: Settings) -> str:
    """The setting, else the machine's name and the address of the API: the same after a restart."""
    if settings.node.name:
        return settings.node.name
    listen = settings.http.listen
    if listen.endswith(":0"):  # no two servers have one process
        listen = f"process {os.getpid()}"
    return f"{socket.gethostname()} {listen}"
