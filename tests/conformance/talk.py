"""A call of a case: its document, its telephones, and what can be seen of it from outside."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from string import Template
from typing import Any

from conformance.board import CALLER, Board, Mail, Telephone, received_by
from outdial.didml.lint import lint
from outdial.testing import audio
from outdial.testing.sipp import Sipp
from outdial.testing.web import Answer, Received
from system.sipp.messages import Message


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning of the document, as the timeline has it."""

    line: int
    column: int
    message: str


@dataclass(frozen=True, slots=True)
class Line:
    """Between whom the call is, as the application is told."""

    to: str
    from_: str = CALLER
    caller_name: str = ""
    direction: str = "outbound"
    trunk: str = "answers"


@dataclass(slots=True)
class Talk:
    """A call that runs a document.

    In documents and pages ``$at`` stands for the path of the case's pages, ``$name`` for a name
    that no other case has, ``$other`` and ``$third`` for the numbers of further telephones.
    """

    board: Board
    stack: contextlib.ExitStack
    name: str
    mail: Mail
    phone: Telephone
    line: Line
    others: Mapping[str, Telephone] = field(default_factory=dict)
    sid: str = ""
    guests: list[Talk] = field(default_factory=list)
    """Further calls of the case, as they were placed."""
    caller: Sipp | None = None
    """Who called us, on a call that we did not place."""

    # ------------------------------------------------------------------ while it goes on

    def filled(self, text: str) -> str:
        """The text with what the names in it stand for."""
        numbers = {name: other.number for name, other in self.others.items()}
        hosts = {f"host_of_{name}": other.ear.host for name, other in self.others.items()}
        return Template(text).substitute(at=f"/{self.name}", name=self.name, **numbers, **hosts)

    def place(self, document: str | Answer, page: str = "app", *then: Answer) -> None:
        """Places the call."""
        url = f"/{self.name}/{page}"
        if isinstance(document, str):
            self.board.serve(url, document)
        else:
            self.board.web.script(url, document, *then)
        self.board.serve(f"/{self.name}/events", "")
        self.sid = self.board.outdial.place_call(
            **{
                "to": self.line.to,
                "from": self.line.from_,
                "url": self.board.web.url(url),
                "statusCallback": self.board.web.url(f"/{self.name}/events"),
                "statusCallbackEvent": "answered,completed",
            }
        )

    def is_called(self, document: str, rest: str, **values: str) -> None:
        """Has our number called, whose application has the document."""
        self.board.serve(f"/{self.name}/app", document)
        self.board.serve(f"/{self.name}/events", "")
        self.caller = self.board.call_in(self.phone, self.line.to, rest, self.stack, **values)
        self.sid = self.wait_for("app")[0].params["callSid"]

    def also(self, document: str, kind: str = "answers") -> Talk:
        """A second call, from a telephone of its own; the case waits for its end as well."""
        phone = self.board.telephone(kind, self.stack)
        other = Talk(self.board, self.stack, self.name, self.mail, phone, Line(phone.number))
        other.place(f"<Response>{self.filled(document)}</Response>", f"app-{phone.number}")
        self.guests.append(other)
        return other

    def hang_up(self) -> None:
        """Through the API."""
        self.board.outdial.post(f"/v1/calls/{self.sid}", {"hangup": True})

    def wait_for(self, path: str, count: int = 1) -> list[Received]:
        """The requests at the path below the case's own, once there are so many."""
        return self.mail.wait_for(f"/{self.name}/{path}", lambda got: len(got) >= count)

    def wait_until_over(self) -> dict[str, str]:
        """What the `completed` callback says. Who called us must have seen what it expects."""
        if self.caller is not None:
            result = self.caller.wait()
            assert (result.exit_code, result.successful) == (0, 1), result.complaints
        got = self.mail.wait_for(
            f"/{self.name}/events", lambda got: any(self._is_end(r) for r in got), 60
        )
        return next(request.params for request in got if self._is_end(request))

    def _is_end(self, request: Received) -> bool:
        params = request.params
        return params.get("callSid") == self.sid and params.get("CallStatus") == "completed"

    def wait_until(self, kind: str, times: int = 1) -> None:
        """Returns once the timeline has events of the kind."""
        self.phone.wait_until(lambda _: len(self._events(kind)) >= times, f"{kind} on {self.sid}")

    # ------------------------------------------------------------------ what is seen of it

    @property
    def heard(self) -> audio.Sound:
        """What the telephone heard."""
        return self.phone.heard()

    @property
    def other(self) -> Telephone:
        """The second telephone."""
        return self.others["other"]

    def asked(self, path: str) -> list[Received]:
        """The requests at the path below the case's own."""
        return self.mail.at(f"/{self.name}/{path}")

    def received(self, start: str, telephone: Telephone | None = None) -> list[Message]:
        """The SIP messages that begin so, to the case's first telephone or the given one."""
        if telephone is None and self.caller is not None:
            return received_by(self.caller, start)
        phone = telephone or self.phone
        return self.board.messages(phone.kind, phone.number, start)

    def timeline(self, kind: str) -> list[dict[str, Any]]:
        """The data of the events of that kind, once the call is over."""
        return [event["data"] for event in self._events(kind)]

    def moment(self, kind: str) -> float:
        """When the first event of the kind was, in seconds."""
        return datetime.fromisoformat(self._events(kind)[0]["at"]).timestamp()

    def _events(self, kind: str) -> list[dict[str, Any]]:
        events = self.board.outdial.get(f"/v1/calls/{self.sid}/events")["events"]
        return [event for event in events if event["kind"] == kind]

    def warnings(self) -> list[Warned]:
        """What was wrong with its documents."""
        return [
            Warned(data["line"], data["column"], data["message"])
            for data in self.timeline("document.warning")
        ]

    def check_lint(self, document: bytes, content_type: str = "text/xml") -> None:
        """`outdial lint` says of the document what the timeline says, at the same places.

        What has no place shows only when it is run, such as an extra that is not installed.
        """
        base = self.board.web.url(f"/{self.name}/app")
        findings, _ = lint(document, content_type, base, lambda url: "")
        found = {(one.line, one.column, one.message) for one in findings}
        failed = self.timeline("document.failed")
        told = {(one.get("line", 0), one.get("column", 0), one["problem"]) for one in failed}
        told |= {(one.line, one.column, one.message) for one in self.warnings() if one.column}
        assert told <= found

    def verbs(self) -> list[tuple[str, str]]:
        """The verbs that ran, with what the timeline says of each."""
        return [(data["verb"], data["text"]) for data in self.timeline("verb.started")]

    def recording(self, url: str) -> list[audio.Sound]:
        """The channels of the recording at the URL."""
        path = "/v1/recordings/" + url.rpartition("/")[2]
        return audio.read_wav(self.board.outdial.get_bytes(path))


Act = Callable[[Talk], None]
"""What the person at the telephone does."""
Check = Callable[[Talk], None]
"""What must have been seen once the call is over."""
