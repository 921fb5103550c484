"""What is kept of a call so that another process can end it: BYE in its dialog (RFC 3261 section
15.1.1), or CANCEL of its INVITE (section 9.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outdial.errors import RemoteProtocolError
from outdial.frozen import frozen
from outdial.sip.core.address import Address
from outdial.sip.core.dialog import Dialog
from outdial.sip.core.hop import Hop
from outdial.sip.core.outline import Outline

_CSEQ_LEAP = 1000
"""More requests than any dialog had since its data were kept: a session refreshed four times an
hour, each time challenged, is not worth a transaction of the store each time, and CSeq numbers may
leave gaps (section 12.2.1.1)."""


@frozen
class DialogData:
    """The fields of the next request. They are the peer's words and ours, never a secret."""

    call_id: str
    local: str
    """From value with our tag."""
    remote: str
    """To value, with the peer's tag once it has answered."""
    target: str
    """Request-URI: that of the INVITE, then the peer's Contact."""
    routes: tuple[str, ...]
    cseq: int
    """Number of our last request."""
    transport: str
    host: str
    """Literal address that requests go to."""
    port: int
    branch: str = ""
    """Of an INVITE that is not answered; "" in a dialog."""
    sent_by: str = ""
    """host:port of the Via of that INVITE."""
    early: DialogData | None = None
    """The dialog that its ringing made: by the time of the CANCEL it may have been answered."""

    @classmethod
    def of_dialog(cls, dialog: Dialog) -> DialogData:
        """Of an answered call."""
        hop = dialog.hop
        return cls(
            dialog.call_id, dialog.local, dialog.remote, dialog.target, dialog.routes,
            dialog.local_cseq, hop.transport, hop.host, hop.port,
        )  # fmt: skip

    @classmethod
    def of_invite(cls, outline: Outline, early: Dialog | None = None) -> DialogData:
        """Of an INVITE under way."""
        hop = outline.hop
        return cls(
            outline.call_id, outline.from_, outline.to, outline.uri, outline.routes,
            outline.cseq, hop.transport, hop.host, hop.port, outline.branch,
            outline.sent_by or hop.sent_by, None if early is None else cls.of_dialog(early),
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is empty is left out."""
        data: dict[str, Any] = {
            "call_id": self.call_id,
            "local": self.local,
            "remote": self.remote,
            "target": self.target,
            "cseq": self.cseq,
            "peer": [self.transport, self.host, self.port],
        }
        if self.routes:
            data["routes"] = list(self.routes)
        if self.branch:
            data |= {"branch": self.branch, "sent_by": self.sent_by}
        if self.early is not None:
            early = self.early.to_json()
            data["early"] = {name: early[name] for name in early if early[name] != data.get(name)}
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DialogData:
        """The inverse of `to_json`; other members are ignored. Raises ValueError."""
        early = data.get("early")
        try:
            transport, host, port = data["peer"]
            return cls(
                call_id=_text(data["call_id"]),
                local=_text(data["local"]),
                remote=_text(data["remote"]),
                target=_text(data["target"]),
                routes=tuple([_text(route) for route in data.get("routes", ())]),
                cseq=int(data["cseq"]),
                transport=_text(transport),
                host=_text(host),
                port=int(port),
                branch=_text(data.get("branch", "")),
                sent_by=_text(data.get("sent_by", "")),
                early=None if early is None else cls.from_json({**_dialog_part(data), **early}),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the data of a dialog: {error!r}") from None

    @property
    def local_tag(self) -> str:
        """Our tag. Raises ValueError when the value cannot be read."""
        return _tag(self.local)

    def outline(self, hop: Hop) -> Outline:
        """The INVITE, for its CANCEL."""
        return Outline(
            self.target, hop, self.branch, self.routes, self.local, self.remote, self.call_id,
            self.cseq, self.sent_by,
        )  # fmt: skip

    def dialog(self, hop: Hop) -> Dialog:
        """The dialog as it goes on: over the hop. Raises ValueError for values nobody can read."""
        return Dialog(
            call_id=self.call_id,
            local=self.local,
            local_tag=self.local_tag,
            remote=self.remote,
            remote_tag=_tag(self.remote),
            local_cseq=self.cseq + _CSEQ_LEAP,
            remote_cseq=None,
            routes=self.routes,
            target=self.target,
            source=hop,
            symmetric=True,
        )


def _dialog_part(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the dialog of an INVITE has in common with it."""
    return {name: data[name] for name in ("call_id", "local", "remote", "target", "cseq", "peer")}


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"not a text of one line: {value!r}")
    return value


def _tag(value: str) -> str:
    try:
        return Address.parse(value).tag or ""
    except RemoteProtocolError as error:
        raise ValueError(f"dialog data with an unreadable address: {error}") from None
