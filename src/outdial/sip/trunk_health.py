"""A trunk's health: what the answers to OPTIONS and REGISTER make of it, told once a change."""

from __future__ import annotations

from dataclasses import replace

from outdial import log
from outdial.clock import Clock
from outdial.frozen import frozen
from outdial.trunk_state import Status, TrunkState

_log = log.get("trunk")


@frozen
class Answer:
    """What came of asking a trunk once."""

    target: str = ""
    """transport:address:port; "": it has no address."""
    code: int | None = None
    """None: nobody answered."""
    reason: str = ""
    rtt_ms: float | None = None
    problem: str = ""
    """Why that means that it takes no calls; "": it does."""


class TrunkHealth:
    """Of one trunk. `registers` says whether it is nothing without a registration."""

    def __init__(self, name: str, clock: Clock, *, registers: bool = False) -> None:
        self._clock = clock
        self._registers = registers
        self._pinged: Answer | None = None
        """The last answer to OPTIONS."""
        self._has_answered = False
        """To any OPTIONS. A registrar that never does may be well all the same."""
        self._ignores_options = False
        """It answers calls, but not OPTIONS: some carriers are like that."""
        self._registered: Status = "registering"
        self._problem = ""
        """With the registration."""
        first: Status = "registering" if registers else "unknown"
        self.state = TrunkState(name, first, registers=registers)

    @property
    def is_registered(self) -> bool:
        """Whether the last that was heard of the registration is that it stands."""
        return self._registered == "registered"

    def pinged(self, answer: Answer) -> TrunkState:
        """OPTIONS was answered, or not."""
        self._pinged = answer
        if answer.code is not None:
            self._has_answered, self._ignores_options = True, False
        # while we are not registered, what counts is what the registrar said last
        return self._settle(None if self._registers and not self.is_registered else answer)

    def heard(self) -> None:
        """It answered a call, be it by a refusal: whoever does that is there."""
        if self._pinged is None or not self._pinged.problem:
            return
        if self._has_answered:
            self._pinged = replace(self._pinged, problem="")
        else:
            self._ignores_options = True
        self._settle(None)

    def missed(self) -> None:
        """It did not answer a call."""
        if self._ignores_options:
            self._ignores_options = False
            self._settle(None)

    def registration(
        self, status: Status, answer: Answer | None = None, until: float | None = None
    ) -> TrunkState:
        """How the registration stands. `until` is when the binding ends, wall time."""
        self._registered = status
        self._problem = "" if answer is None else answer.problem
        self.state = replace(self.state, registered_until=until)
        return self._settle(answer)

    def _settle(self, answer: Answer | None) -> TrunkState:
        now, was = self._clock.now(), self.state
        status, detail = self._status()
        state = replace(was, status=status, detail=detail)
        if answer is not None:
            state = replace(
                state,
                last_code=answer.code,
                last_reason=answer.reason,
                rtt_ms=answer.rtt_ms,
                target=answer.target,
                checked_at=now,
            )
        if status != was.status:
            state = replace(state, since=now)
            self._tell(was, state)
        self.state = state
        return state

    def _status(self) -> tuple[Status, str]:
        pinged = self._pinged
        problem = "" if pinged is None or self._ignores_options else pinged.problem
        if not self._registers:
            if pinged is None:
                return "unknown", ""
            return ("down", problem) if problem else ("up", "")
        if self._registered != "registered":
            return self._registered, self._problem
        return ("down", problem) if problem and self._has_answered else ("registered", "")

    @staticmethod
    def _tell(was: TrunkState, state: TrunkState) -> None:
        tell = _log.warning if state.is_well is False and state.detail else _log.info
        tell(
            "trunk.state",
            trunk=state.name,
            state=state.status,
            was=was.status,
            code=state.last_code,
            target=state.target,
            detail=state.detail,
        )
