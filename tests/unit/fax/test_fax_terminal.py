"""Two fax machines by libspandsp, sample by sample and without a clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from doubles.faxes import Picture, is_installed, page_sizes, pictures_of, shows_pdf, tiff_of
from outdial.fax import document, spandsp
from outdial.fax.intake import Intake
from outdial.media.core.pcm import audioop

pytestmark = [
    pytest.mark.skipif(
        not is_installed(), reason="libspandsp is not installed (Debian: apt install libspandsp2)"
    )
]
TICK = 160


def received(
    folder: Path, pictures: list[Picture], *, until_page: int = 0, shuffled: bool = False
) -> tuple[spandsp.Terminal, Path]:
    """What a terminal of ours makes of a fax; with `until_page` the line breaks behind that."""
    library = spandsp.load()
    sent, written = folder / "sent.tif", folder / "received.tif"
    sent.write_bytes(tiff_of(pictures))
    sender = spandsp.Terminal(library, calling=True, ident="15550100", file=sent)
    ours = spandsp.Terminal(library, calling=False, ident="15550199", file=written)
    intake, now, timestamp = Intake(0.0), 0.0, 0
    waiting: list[tuple[int, bytes]] = []
    try:
        while ours.ended is None and now < 300:
            said = audioop.lin2ulaw(sender.speak(TICK), 2)
            waiting.append((timestamp, said))
            timestamp += TICK
            if not shuffled or len(waiting) == 4:
                for stamp, payload in reversed(waiting):
                    intake.put(stamp, payload, now)
                waiting.clear()
            for piece in intake.take(now):
                ours.hear(audioop.ulaw2lin(piece.payload, 2) if piece.payload else bytes(320))
            sender.hear(ours.speak(TICK))
            if until_page and ours.pages >= until_page:
                ours.terminate()
            now += TICK / 8000
        return ours, written
    finally:
        ours.close()
        sender.close()


@pytest.mark.skipif(not shows_pdf(), reason="poppler-utils are not installed")
@pytest.mark.parametrize("shuffled", [False, True])
def test_what_is_sent_is_what_the_pdf_shows(tmp_path: Path, shuffled: bool) -> None:
    pictures = [Picture.drawn(200, 1), Picture.drawn(90, 2)]
    ours, written = received(tmp_path, pictures, shuffled=shuffled)
    assert (ours.ended, ours.reason, ours.pages, ours.is_whole) == (0, "OK", 2, True)
    assert ours.far_ident == "15550100"
    pages = document.pages_of(written.read_bytes())
    pdf = tmp_path / "fax.pdf"
    pdf.write_bytes(document.to_pdf(pages, "Fax to 15550199"))
    assert pictures_of(pdf, tmp_path) == pictures
    width, first, second = 1728 / 204 * 72, 200 / 196 * 72, 90 / 196 * 72
    for size, height in zip(page_sizes(pdf), (first, second), strict=True):
        assert size == pytest.approx((width, height), abs=0.5)


def test_a_line_that_breaks_leaves_the_pages_before(tmp_path: Path) -> None:
    pictures = [Picture.drawn(120, 1), Picture.drawn(120, 2)]
    ours, written = received(tmp_path, pictures, until_page=1)
    assert (ours.ended == 0, ours.is_whole, ours.pages) == (False, False, 1)
    assert "dropped" in ours.reason
    pages = document.pages_of(written.read_bytes())
    assert [(page.width, page.height) for page in pages] == [(1728, 120)]
