"""Several calls of one server, each with a document of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from doubles.legs import ANSWER, FakeMediaLeg, FakeSignallingLeg
from doubles.world import Page, World, until
from outdial import ids
from outdial.calls.leg import CallLeg
from outdial.calls.request import CallRequest
from outdial.calls.session import Session
from outdial.legs import Answered, Released
from outdial.store.records import CallRecord


@dataclass
class Caller:
    """One who was called and has answered."""

    session: Session
    far: FakeSignallingLeg
    media: FakeMediaLeg
    running: asyncio.Task[None]
    others: list[CallLeg] = field(default_factory=list)

    @property
    def sid(self) -> str:
        return self.session.leg.sid

    @property
    def leg(self) -> CallLeg:
        return self.session.leg

    @property
    def is_over(self) -> bool:
        return self.leg.is_over

    def hang_up(self) -> None:
        """The far end hangs up."""
        self.far.say(Released(by_far_end=True))

    async def over(self) -> None:
        """Until the call is over."""
        async with asyncio.timeout(5):
            await self.running


class Callers(World):
    """Where they call."""

    async def call(self, document: str, after: str = "") -> Caller:
        """Calls somebody who answers, and runs the document; `after` is that of its action."""
        number = len(self.signalling.legs)
        url = f"http://app.test/{number}"
        self.web.pages[url] = Page(f"<Response>{document}</Response>".encode())
        self.web.pages[f"{url}/after"] = Page(f"<Response>{after}</Response>".encode())
        sid = ids.new(ids.CALL)
        call = CallRecord(
            sid, sid, "outbound", "12025550100", f"120255501{number:02d}", "", "queued", 0.0
        )
        request = CallRequest(to=call.to_number, from_=call.from_number, url=url)
        others: list[CallLeg] = []
        session = Session(self.services, call, request, others.append)
        running = asyncio.ensure_future(session.run())
        far = await self.signalling.next_leg(number + 1)
        media = self.media.legs[-1]
        far.answers(Answered(ANSWER))
        await until(lambda: any(request[1] == url for request in self.web.requests))
        for _ in range(10):
            await asyncio.sleep(0)
        return Caller(session, far, media, running, others)

    def noted(self, caller: Caller, kind: str) -> list[dict[str, object]]:
        """The data of the call's events of that kind."""
        return [
            dict(event.data)
            for event in self.store.timeline
            if event.call_sid == caller.sid and event.kind == kind
        ]

    def asked(self, caller: Caller) -> list[dict[str, str]]:
        """The parameters of the requests to the call's `after`."""
        path = f"/{self.signalling.legs.index(caller.far)}/after"
        return [params for _, url, params in self.web.requests if url.endswith(path)]
