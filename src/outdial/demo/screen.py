"""Shows the demo: coloured with a live footer on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from outdial.demo.story import Line
from outdial.log import escape
from outdial.testing.audio import Sound

_COLOURS = {
    "API": "bold white",
    "CALL": "bold green",
    "SIP": "cyan",
    "WEB": "yellow",
    "XML": "magenta",
    "HOOK": "bright_blue",
    "PHONE": "bold bright_white",
}
_BARS = " ▁▂▃▄▅▆▇█"


HOLD_S = 0.9
"""Lines wait so long before they are shown: SIP messages are only readable a second later."""


class Screen:
    """Lines may be told from any thread; each is shown with its time since the act began.

    `settle` shows what has been told, in the order it happened.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._lock = threading.Lock()
        self._start = time.time()
        self._waiting: list[Line] = []
        self._status = ""
        self._live: Live | None = None

    def __enter__(self) -> Screen:
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self._footer,
                console=self._console,
                refresh_per_second=12,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.settle(0)
        if self._live is not None:
            self._live.stop()
            self._live = None

    def title(self, text: str, *explanation: str) -> None:
        """Begins an act; times count from here."""
        self.settle(0)
        with self._lock:
            self._console.print()
            if self._console.is_terminal:
                body = Text("\n".join(explanation))
                panel = Panel(body, title=f"[bold]{text}", title_align="left")
                self._console.print(panel, soft_wrap=False)  # else what is too wide is cut off
            else:
                self._console.print(f"== {text} ==")
                for line in explanation:
                    self._console.print(f"   {line}")
            self._start = time.time()

    def tell(self, line: Line) -> None:
        """Takes a line; it is shown when it has settled."""
        with self._lock:
            self._waiting.append(line)

    def settle(self, hold_s: float = HOLD_S) -> None:
        """Shows the lines that are at least so old."""
        until = time.time() - hold_s
        with self._lock:
            ready = sorted(
                (line for line in self._waiting if line.at <= until or not hold_s),
                key=lambda line: line.at,
            )
            self._waiting = [line for line in self._waiting if line not in ready]
            for line in ready:
                self._console.print(self._row(line))

    def _row(self, line: Line) -> Text:
        colour = "bold red" if line.failed else _COLOURS.get(line.lane, "white")
        row = Text(f"{max(0.0, line.at - self._start):7.3f} s  ", style="dim")
        row.append(f"{line.lane:<6}", style=colour)
        row.append(escape(line.text), style="red" if line.failed else "")
        return row

    def say(self, lane: str, text: str, *, failed: bool = False) -> None:
        """Tells a line about now."""
        self.tell(Line(time.time(), lane, text, failed))

    def status(self, text: str) -> None:
        """What the footer says, on a terminal."""
        self._status = text

    def waveform(self, name: str, sound: Sound, width: int = 60) -> None:
        """The course of loudness of a recording."""
        self.settle(0)
        with self._lock:
            self._console.print(
                Text.assemble(
                    f"           {name:<6}",
                    (bars(sound, width), "green"),
                    f" {sound.duration_s:.1f} s",
                )
            )

    def table(self, title: str, rows: Sequence[tuple[str, str, bool]]) -> None:
        """The checks: what was looked at, what was found, whether that is right."""
        self.settle(0)
        with self._lock:
            self._console.print()
            if not self._console.is_terminal:
                self._console.print(f"== {title} ==")
                for what, found, good in rows:
                    self._console.print(f"   {'ok  ' if good else 'FAIL'}  {what:<44} {found}")
                return
            table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
            table.add_column("")
            table.add_column("looked at", style="bold")
            table.add_column("found")
            for what, found, good in rows:
                mark = Text("✔", "bold green") if good else Text("✘", "bold red")
                table.add_row(mark, what, Text(found, "" if good else "red"))
            self._console.print(table)

    def note(self, text: str, style: str = "") -> None:
        """A line without a time."""
        with self._lock:
            self._console.print(Text(text, style))

    def _footer(self) -> Spinner | Text:
        if not self._status:
            return Text("")
        elapsed = time.time() - self._start
        return Spinner("dots", text=Text(f"{elapsed:5.1f} s  {self._status}", "bold"))


def bars(sound: Sound, width: int) -> str:
    """The loudness of a recording as a row of bars, 50 dB from lowest to highest."""
    # numpy is in memory already: the recording came from it.
    import numpy as np

    if not len(sound.samples):
        return ""
    pieces = np.array_split(sound.samples, min(width, len(sound.samples)))
    decibels = [10 * np.log10(max(float((piece**2).mean()), 1e-9)) for piece in pieces]
    return "".join(_BARS[int(min(8, max(0, (level + 55) / 5)))] for level in decibels)
