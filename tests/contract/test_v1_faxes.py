"""The PDF files of faxes."""

from __future__ import annotations

from contract.conftest import KEY, Door
from outdial import ids
from outdial.calls import codes
from outdial.store.records import FaxRecord

AUTH = {"Authorization": f"Bearer {KEY}"}


async def test_a_fax(door: Door) -> None:
    sid = ids.new(ids.FAX)
    (door.recordings / f"{sid}.pdf").write_bytes(b"%PDF-1.4 and so on")
    door.record.faxes[sid] = FaxRecord(sid, "CA", 0.0, "Complete", 1, 1, "", 18)
    url = f"{door.base}/v1/faxes/{sid}.pdf"
    async with door.http.get(url, headers=AUTH) as answer:
        assert (answer.status, answer.content_type) == (200, "application/pdf")
        assert await answer.read() == b"%PDF-1.4 and so on"
    async with door.http.get(url) as answer:
        assert answer.status == 401


async def test_a_fax_that_is_not_there(door: Door) -> None:
    unknown, gone, led_away = (ids.new(ids.FAX) for _ in range(3))
    (door.recordings / f"{unknown}.pdf").write_bytes(b"%PDF")
    for sid in (gone, led_away):
        door.record.faxes[sid] = FaxRecord(sid, "CA", 0.0, "Complete", 1, 1, "", 18)
    (door.recordings / f"{led_away}.pdf").symlink_to("/etc/passwd")
    for name in (unknown, gone, led_away, "..%2F..%2Fetc%2Fpasswd", ids.new(ids.RECORDING)):
        async with door.http.get(f"{door.base}/v1/faxes/{name}.pdf", headers=AUTH) as answer:
            assert answer.status == 404
            if "%" not in name:
                assert (await answer.json())["code"] == codes.UNKNOWN_FAX
