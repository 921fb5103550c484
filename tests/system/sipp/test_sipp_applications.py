"""Voice applications that fail: the callee hears an apology, and the call ends."""

from __future__ import annotations

import pytest

from outdial.testing import audio
from outdial.testing.server import free_port
from outdial.testing.web import Answer
from system.sipp.stage import STEPS, WELL, Call, End, Phone, Scene

_CLOSE = {"Connection": "close"}


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(status=500, body=b"oops", headers=_CLOSE), id="500"),
        pytest.param(Answer(status=404, headers=_CLOSE), id="404"),
        pytest.param(
            Answer(body=b"\x00\xffnot a document", content_type="text/xml", headers=_CLOSE),
            id="rubbish",
        ),
        pytest.param(Answer(failure="reset"), id="reset"),
    ],
)
def test_an_application_that_answers_with_nonsense(scene: Scene, answer: Answer) -> None:
    phone = scene.phone("answer")
    call = scene.call(phone, answer)
    _check_apology(call, phone)
    assert len(call.fetches()) == 1


def test_an_application_that_is_not_there(scene: Scene) -> None:
    phone = scene.phone("answer")
    call = scene.call(phone, url=f"http://127.0.0.1:{free_port()}/nobody")
    _check_apology(call, phone)


def test_the_fallback_is_run_instead_of_an_apology(scene: Scene) -> None:
    phone = scene.phone("answer")
    fallback = scene.web.url("/fallback")
    hello = b"<Response><Say>Hello from the fallback.</Say></Response>"
    scene.web.script("/fallback", Answer(body=hello, content_type="text/xml", headers=_CLOSE))
    call = scene.call(phone, Answer(status=500, headers=_CLOSE), fallbackUrl=fallback)
    call.ended(*STEPS, WELL)
    assert len(call.fetches()) == len(scene.web.received("/fallback")) == 1
    assert audio.active_s(phone.ear.heard()) > 0.4


def _check_apology(call: Call, phone: Phone) -> None:
    call.ended(
        "initiated",
        "ringing",
        "answered",
        End("completed", "200", "application-error", "application"),
    )
    heard = phone.ear.heard()
    assert audio.active_s(heard) > 1.3, "the apology was spoken to its end"
    assert audio.level_dbfs(heard) > -30
    assert len(phone.received("BYE ")) == 1
