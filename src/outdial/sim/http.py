"""HTTP: who the simulated phones are, and what each heard on its last call."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse

from outdial.api.problems import documented
from outdial.clock import iso8601
from outdial.sim.carrier import SimulatedCarrier
from outdial.sim.heard import HeardCall

_PROBLEM: dict[str, Any] = {
    "description": "The phone heard nothing: it was not called, or did not answer.",
    "content": {"application/problem+json": {"schema": {"type": "object"}}},
}
_HEARD: dict[str, Any] = {
    "description": "What the phone received on its last call.",
    "content": {
        "audio/wav": {"schema": {"type": "string", "format": "binary"}},
        "application/json": {"schema": {"type": "object"}},
    },
    "headers": {
        "X-Outdial-Digits": {
            "description": "The digits it received, in order.",
            "schema": {"type": "string"},
        }
    },
}


def heard_router(carrier: SimulatedCarrier) -> APIRouter:
    """The routes under /sim; mounted only when the simulated phones are enabled."""
    router = APIRouter(prefix="/sim", tags=["simulated phones"])

    @router.get("/phones", summary="List the simulated phones")
    async def list_phones() -> dict[str, list[dict[str, str]]]:
        """The numbers with a part to play; every other number behaves as `any`."""
        rows = [
            {"number": number, "name": persona.name, "summary": persona.summary}
            for number, persona in carrier.personas.items()
        ]
        other = carrier.person
        rows.append({"number": "any", "name": other.name, "summary": other.summary})
        return {"phones": rows}

    @router.get(
        "/phones/{number}/heard",
        summary="What a simulated phone heard",
        response_class=Response,
        responses={200: _HEARD, 404: _PROBLEM, **documented(400, 422)},
    )
    async def get_heard(
        number: str,
        format: Annotated[Literal["wav", "json"] | None, Query()] = None,
        wait: Annotated[float, Query(ge=0, le=60)] = 5.0,
        accept: Annotated[str, Header(include_in_schema=False)] = "",
    ) -> Response:
        """The audio (mono WAV, from the answer on) and the digits of the number's last call.

        A call that still runs is waited for, `wait` seconds at most; then the answer is what was
        heard so far. `?format=json` or an Accept header of application/json gives the figures.
        """
        call = carrier.heard(number)
        if call is None:
            return _problem(f"{number} has not been called.")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(call.over.wait(), wait)
        if format == "json" or (format is None and _prefers_json(accept)):
            return JSONResponse(await asyncio.to_thread(_figures, call))
        audio = await asyncio.to_thread(_audio, call)
        if audio is None:
            return _problem(f"The last call to {number} was not answered, so it heard nothing.")
        return Response(
            audio,
            media_type="audio/wav",
            headers={
                "X-Outdial-Digits": call.digits,
                "Content-Disposition": f'inline; filename="{call.number or "phone"}.wav"',
            },
        )

    return router


def _prefers_json(accept: str) -> bool:
    return "application/json" in accept and "audio/" not in accept


def _problem(detail: str) -> JSONResponse:
    """RFC 9457."""
    return JSONResponse(
        {"type": "about:blank", "title": "Nothing heard", "status": 404, "detail": detail},
        status_code=404,
        media_type="application/problem+json",
    )


def _figures(call: HeardCall) -> dict[str, Any]:
    # numpy costs 25 MB: only whoever asks a simulated phone for figures pays for it.
    from outdial.testing.audio import FLOOR_DBFS, active_s, level_dbfs, read_mono

    audio = _audio(call)
    sound = None if audio is None else read_mono(audio)
    return {
        "number": call.number,
        "persona": call.persona,
        "caller_id": call.caller_id,
        "running": call.ended_at is None,
        "started_at": iso8601(call.started_at),
        "answered_at": None if call.answered_at is None else iso8601(call.answered_at),
        "ended_at": None if call.ended_at is None else iso8601(call.ended_at),
        "digits": call.digits,
        "duration_s": 0.0 if sound is None else round(sound.duration_s, 2),
        "sound_s": 0.0 if sound is None else round(active_s(sound), 2),
        "level_dbfs": FLOOR_DBFS if sound is None else level_dbfs(sound),
        "wav_url": None if sound is None else f"/sim/phones/{call.number}/heard?format=wav",
    }


def _audio(call: HeardCall) -> bytes | None:
    """The recording, with a header that is true even while the call still runs."""
    if call.answered_at is None:
        return None
    try:
        data = call.path.read_bytes()
    except OSError:
        return None
    return _sized(data)


def _sized(data: bytes) -> bytes:
    """The WAV file with the sizes in its header set to what is there."""
    at = data.find(b"data", 12, 256)
    if data[:4] != b"RIFF" or at < 0 or len(data) < at + 8:
        return data
    body = data[at + 8 :]
    head = data[:4] + struct.pack("<I", len(data) - 8) + data[8 : at + 4]
    return head + struct.pack("<I", len(body)) + body
