"""One test a row of every attribute table: spellings, values, clamping, defaults."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from outdial.didml import reference, table
from outdial.didml.interpreter import RUNNERS
from outdial.didml.lint import lint
from outdial.didml.parse import Document, parse
from outdial.didml.rows import Attribute, VerbRow
from outdial.didml.table import VERBS
from outdial.didml.verbs import Conference, Dial, Enqueue, Gather, Number, Queue, Verb
from outdial.didml.verbs.dial import MOST_TARGETS

BASE = "http://app.example.test/ivr/start.php"
BODIES = {
    "Say": "hello",
    "Play": "a.wav",
    "Pause": "",
    "Gather": "",
    "Record": "",
    "Recording": "",
    "Reject": "",
    "Postcall": "all.php",
    "Redirect": "b.xml",
    "Hangup": "",
    "Dial": "12025550177",
    "Number": "12025550177",
    "Sip": "sip.example.test",
    "Queue": "support",
    "Enqueue": "support",
    "Conference": "Sales room",
    "Sms": "Your table is ready.",
    "Fax": "",
}
IN_DIAL = {"Number", "Queue", "Conference"}
"""Outside Dial they are a Dial of one, which has attributes of the same names."""
MADE = {"Dial": Dial, "Gather": Gather}
"""Of those that a function builds."""
BUILT = [row for row in VERBS if row.build]

# (verb, attribute): text -> value of the field; every spelling is tried with every text.
VALUES: dict[tuple[str, str], dict[str, Any]] = {
    ("Say", "voice"): {"man": "man", "WOMAN": "woman", "women": "woman"},
    ("Say", "language"): {"en": "en", "ES": "es", "es_MX": "es-mx"},
    ("Say", "loop"): {"0": 0, "3": 3, "99999": 1000, "-1": 1, "+2": 2, "9" * 6000: 1000},
    ("Say", "action"): {"done.php": "http://app.example.test/ivr/done.php"},
    ("Say", "method"): {"get": "GET", "Post": "POST"},
    ("Play", "loop"): {"0": 0, "10": 10, "-5": 1},
    ("Play", "digits"): {"wW12*#AD": "wW12*#AD"},
    ("Pause", "length"): {"5": 5000, "0.25": 250, "0": 1, "99999": 3_600_000},
    ("Gather", "action"): {"choice.php": "http://app.example.test/ivr/choice.php"},
    ("Gather", "method"): {"get": "GET"},
    ("Gather", "minDigits"): {"4": 4, "0": 1, "201": 200},
    ("Gather", "numDigits"): {"1": 1, "0": 1, "999": 200},
    ("Gather", "timeout"): {"10": 10, "0": 1, "601": 600},
    ("Gather", "tries"): {"1": 1, "0": 1, "11": 10},
    ("Gather", "finishOnKey"): {"*": "*", "5": "5", "": "", " ": ""},
    ("Gather", "audiotype"): {"tts": "tts", "TTS": "tts"},
    # with speech there must be hints: see test_didml_gather_speech
    ("Gather", "input"): {"DTMF": ("dtmf",), "speech": ("dtmf",), "dtmf, fax": ("dtmf",)},
    ("Gather", "hints"): {
        "Yes, no thanks ,yes,Yes": ("Yes", "no thanks", "yes"),
        ",".join(map(str, range(101))): tuple(map(str, range(100))),
        "a," + "b" * 101: ("a",),
    },
    ("Gather", "language"): {"en_GB": "en-gb"},
    ("Gather", "speechTimeout"): {"2": 2000, "0.5": 500, "0": 200, "9": 5000, "AUTO": None},
    ("Record", "action"): {"saved.php": "http://app.example.test/ivr/saved.php"},
    ("Record", "method"): {"Post": "POST", "get": "GET"},
    ("Record", "fileID"): {"call 7/../x": "call 7/../x", "é" * 300: "é" * 255},
    ("Record", "maxlength"): {"60": 60, "0": 1, "99999": 3600},
    ("Record", "confirmrecording"): {"1": True, "0": False, "yes": True, "off": False},
    ("Record", "beep"): {"false": False, "on": True},
    ("Record", "timeout"): {"10": 10, "0": 1, "601": 600},
    ("Record", "finishOnKey"): {"#": "#", "1*": "1*", "": ""},
    ("Redirect", "method"): {"GET": "GET"},
    ("Reject", "reason"): {
        "Rejected": "rejected",
        "busy": "busy",
        "notfound": "notfound",
        "notAvailable": "notavailable",
    },
    ("Postcall", "method"): {"GET": "GET"},
    ("Dial", "action"): {"/after": "http://app.example.test/after"},
    ("Dial", "method"): {"GET": "GET"},
    ("Dial", "timeout"): {"20": 20, "0": 1, "9999": 600},
    ("Dial", "timelimit"): {"600": 600, "0": 1, "999999": 86400},
    ("Dial", "callerid"): {"+1 (202) 555-0100": "+1 (202) 555-0100"},
    ("Dial", "record"): {"on": True, "off": False, "1": True, "no": False, "TRUE": True},
    ("Number", "record"): {"on": True, "off": False, "0": False, "yes": True, "False": False},
    ("Number", "url"): {"whisper.xml": "http://app.example.test/ivr/whisper.xml"},
    ("Number", "action"): {"/after": "http://app.example.test/after"},
    ("Number", "method"): {"GET": "GET"},
    ("Number", "sendDigits"): {"wW12*#AD": "wW12*#AD"},
    ("Number", "statusCallback"): {"/e?a=1": "http://app.example.test/e?a=1"},
    ("Number", "statusCallbackEvent"): {
        "completed, Ringing": ("ringing", "completed"),
        "answered initiated": ("initiated", "answered"),
        "answered,nonsense": ("answered",),
    },
    ("Number", "statusCallbackMethod"): {"get": "GET"},
    ("Number", "maxlength"): {"60": 60},
    ("Number", "callerid"): {"12025550100": "12025550100"},
    ("Number", "timeout"): {"15": 15, "601": 600},
    ("Queue", "url"): {"connecting.xml": "http://app.example.test/ivr/connecting.xml"},
    ("Queue", "method"): {"GET": "GET"},
    ("Enqueue", "waitUrl"): {"music.mp3": "http://app.example.test/ivr/music.mp3"},
    ("Enqueue", "waitMethod"): {"get": "GET"},
    ("Conference", "muted"): {"true": True, "off": False, "1": True},
    ("Conference", "beep"): {"false": False, "on": True},
    ("Conference", "startConferenceOnEnter"): {"false": False, "yes": True},
    ("Conference", "endConferenceOnExit"): {"true": True, "0": False},
    ("Conference", "waitUrl"): {"/music": "http://app.example.test/music"},
    ("Conference", "waitMethod"): {"get": "GET"},
    ("Conference", "maxParticipants"): {"3": 3, "1": 2, "999": 250},
    ("Fax", "action"): {"faxed.php": "http://app.example.test/ivr/faxed.php"},
    ("Fax", "method"): {"get": "GET", "Post": "POST"},
    ("Sms", "to"): {"+1 (202) 555-0177": "+1 (202) 555-0177", "Ann": "Ann"},
    ("Sms", "from"): {"12025550100": "12025550100"},
    ("Sms", "action"): {"sent.php": "http://app.example.test/ivr/sent.php"},
    ("Sms", "method"): {"get": "GET"},
    ("Sms", "statusCallback"): {"/texts": "http://app.example.test/texts"},
    ("Sms", "statusCallbackMethod"): {"Get": "GET"},
    ("Conference", "record"): {"on": True, "off": False, "TRUE": True},
}
BAD = {
    "digits": "1-2",
    "reason": "away",
    "url": "tel:12025550100",
    "confirmrecording": "2",
    "beep": "loud",
    "record": "dual",
    "minDigits": "few",
    "numDigits": "-1",
    "tries": "twice",
    "finishOnKey": "##",
    "audiotype": "mp3",
    "input": "telepathy",
    "hints": "x" * 101,
    "speechTimeout": "soon",
    "voice": "robot",
    "language": "klingon please",
    "loop": "often",
    "action": "ftp://app.example.test/x",
    "method": "PUT",
    "length": "long",
    "timeout": "soon",
    "timelimit": "1h",
    "callerid": "anonymous",
    "sendDigits": "12,34",
    "statusCallback": "http://[broken",
    "statusCallbackEvent": "nonsense",
    "statusCallbackMethod": "PATCH",
    "maxlength": "x",
    "waitUrl": "mailto:a@b",
    "waitMethod": "PUT",
    "muted": "quietly",
    "startConferenceOnEnter": "maybe",
    "endConferenceOnExit": "never",
    "maxParticipants": "many",
    "from": "ACME",
}
BAD_FOR = {("Record", "finishOnKey"): "1w"}
"""Where that is no bad value for the one verb."""
CUT = {("Record", "fileID"), ("Sms", "to")}
"""Texts: too much of one is cut, and there is no other bad one."""
ROWS = [(row, attribute) for row in BUILT for attribute in row.attributes]


def ids(value: VerbRow | Attribute) -> str:
    return value.name


def one(row: VerbRow, written: str, text: str) -> Document:
    body = "700" if row.name == "Pause" and not written else BODIES[row.name]
    attribute = f' {written}="{text}"' if written else ""
    element = f"<{row.name}{attribute}>{body}</{row.name}>"
    return parse(f"<Response>{element}</Response>".encode(), "text/xml", BASE)


def field_of(document: Document, field: str) -> Any:
    (verb,) = document.verbs
    holder = verb.targets[0] if isinstance(verb, Dial) and not hasattr(verb, field) else verb
    return getattr(holder, field)


def number_field(document: Document, field: str) -> Any:
    (verb,) = document.verbs
    assert isinstance(verb, Dial)
    return getattr(verb.targets[0], field)


def value_of(row: VerbRow, document: Document, field: str) -> Any:
    return (number_field if row.name in IN_DIAL else field_of)(document, field)


@pytest.mark.parametrize(("row", "attribute"), ROWS, ids=ids)
def test_attribute_row(row: VerbRow, attribute: Attribute) -> None:
    for spelling in (attribute.name, *attribute.aliases):
        for written in (spelling, spelling.lower(), spelling.upper()):
            for text, value in VALUES[row.name, attribute.name].items():
                document = one(row, written, text)
                assert value_of(row, document, attribute.field) == value, (written, text)


@pytest.mark.parametrize(("row", "attribute"), ROWS, ids=ids)
def test_bad_value_gives_the_default_and_a_warning(row: VerbRow, attribute: Attribute) -> None:
    if (row.name, attribute.name) in CUT:
        return
    document = one(
        row, attribute.name, BAD_FOR.get((row.name, attribute.name), BAD[attribute.name])
    )
    assert attribute.name in document.warnings[0].message
    if row.name == "Pause":
        assert document.verbs == ()
    else:
        assert value_of(row, document, attribute.field) == attribute.default


@pytest.mark.parametrize(("row", "attribute"), ROWS, ids=ids)
def test_table_and_dataclass_have_the_same_default(row: VerbRow, attribute: Attribute) -> None:
    built: Any = row.build if isinstance(row.build, type) else MADE[row.name]
    defaults = {field.name: field.default for field in fields(built)}
    assert attribute.field in defaults
    if row.name != "Pause":
        assert defaults[attribute.field] == attribute.default


def test_verb_of_a_later_version_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    later = VerbRow("Teleport", "Brings the caller here.")
    monkeypatch.setitem(table.BY_NAME, "teleport", later)
    document = parse(b"<Response><Teleport>x</Teleport></Response>", "text/xml", BASE)
    assert [w.message for w in document.warnings] == [
        "Teleport is not supported by this version; skipped"
    ]


def test_every_verb_that_is_built_has_a_runner() -> None:
    parts = IN_DIAL | {"Sip"}
    assert {kind.__name__ for kind in RUNNERS} == {row.name for row in BUILT} - parts


def test_forward_is_dial() -> None:
    document = parse(b"<Response><Forward>12025550177</Forward></Response>", "", BASE)
    assert document.verbs == (Dial((Number("12025550177", line=1),), line=1),)


def test_an_action_of_a_number_is_the_dials_that_has_none() -> None:
    old = '<Number action="after.php" method="GET">12025550177</Number>'
    for text in (old, f"<Dial>{old}</Dial>", f"<Dial><Number>12025550178</Number>{old}</Dial>"):
        (dial,) = verbs(text)
        assert isinstance(dial, Dial)
        assert (dial.action, dial.method) == ("http://app.example.test/ivr/after.php", "GET")
    (dial,) = verbs(f'<Dial action="own.php">{old}</Dial>')
    assert isinstance(dial, Dial)
    assert (dial.action, dial.method) == ("http://app.example.test/ivr/own.php", "POST")


def test_digits_sent_are_not_in_the_summary() -> None:
    dial = Dial((Number("12025550177", send_digits="8970"),))
    assert dial.summary() == "12025550177"


def test_the_reference_is_the_table() -> None:
    folder = Path(__file__).parents[3] / "docs" / "reference"
    there = {f"didml/{path.name}" for path in (folder / "didml").iterdir()} | {"didml.md"}
    made = reference.pages()
    assert there == made.keys()
    for name, text in made.items():
        remedy = "run python -m outdial.didml.reference"
        assert (folder / name).read_text(encoding="utf-8") == text, remedy


def test_the_reference_is_written_where_it_stands_and_old_pages_go(tmp_path: Path) -> None:
    (tmp_path / "didml").mkdir()
    (tmp_path / "didml" / "shout.md").write_text("a verb that is gone")
    reference.write(tmp_path)
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")}
    assert made == reference.pages().keys()


def test_a_verb_that_is_not_run_has_no_page() -> None:
    made = reference.pages()
    for row in VERBS:
        assert (reference.page_name(row) in made) == (row.build is not None)
        assert row.build or row.name in made["didml.md"].split("## Not in this version")[1]


def test_a_dial_rings_no_crowd() -> None:
    numbers = "".join(f"<Number>120255501{n:02}</Number>" for n in range(13))
    document = parse(f"<Response><Dial>{numbers}</Dial></Response>".encode(), "", BASE)
    (dial,) = document.verbs
    assert isinstance(dial, Dial)
    assert len(dial.targets) == MOST_TARGETS == 10
    assert [w.message for w in document.warnings] == ["Dial: 10 are rung at most; 3 are left out"]


def verbs(inside: str) -> tuple[Verb, ...]:
    return parse(f"<Response>{inside}</Response>".encode(), "text/xml", BASE).verbs


def test_where_callers_meet() -> None:
    sales = Conference("Sales room", line=1)
    assert verbs("<Dial><Conference> Sales  room</Conference></Dial>") == (Dial((sales,), line=1),)
    assert verbs("<conference>Sales room</conference>") == (Dial((sales,), line=1),)
    support = Queue("support", line=1)
    assert verbs("<Dial timeout='9'><Queue>support</Queue></Dial>") == (
        Dial((support,), timeout_s=9, line=1),
    )
    waits = Enqueue("support", line=1)
    assert verbs("<EnQueue>support</EnQueue>") == (waits,)
    assert verbs("<Dial><enqueue>support</enqueue></Dial>") == (waits,)


@pytest.mark.parametrize("room", ["Conference", "Queue", "Enqueue"])
def test_a_room_is_not_rung_beside_others(room: str) -> None:
    text = f"<Dial><Number>12025550177</Number><{room}>support</{room}></Dial>"
    document = parse(f"<Response>{text}</Response>".encode(), "text/xml", BASE)
    (verb,) = document.verbs
    assert type(verb.targets[0] if isinstance(verb, Dial) else verb).__name__ == room
    assert [w.message for w in document.warnings] == [
        f"Dial: {room} stands in it alone; the others are left out"
    ]


@pytest.mark.parametrize(
    ("written", "name"),
    [("support", "support"), ("help desk", "helpdesk"), ("a/b?c", "abc"), ("x" * 70, "x" * 64)],
)
def test_the_name_of_a_queue(written: str, name: str) -> None:
    for element in (f"<Enqueue>{written}</Enqueue>", f"<Queue>{written}</Queue>"):
        document = parse(f"<Response>{element}</Response>".encode(), "text/xml", BASE)
        (verb,) = document.verbs
        found = verb.targets[0] if isinstance(verb, Dial) else verb
        assert isinstance(found, Queue | Enqueue)
        assert found.name == name
        assert bool(document.warnings) is (name != written)


def test_a_queue_without_a_name_is_skipped() -> None:
    assert verbs("<Enqueue>!?</Enqueue>") == ()


def test_what_rooms_look_like_on_the_timeline() -> None:
    assert [Conference("a b").summary(), Queue("q").summary(), Enqueue("q").summary()] == [
        "conference a b",
        "queue q",
        "q",
    ]


@pytest.mark.parametrize("row", [row for row in VERBS if row.example], ids=ids)
def test_the_example_of_a_verb_is_a_good_one(row: VerbRow) -> None:
    text = f"<Response>\n{row.example}</Response>".encode()
    findings, verbs = lint(text, "text/xml", "https://app.example.test/", lambda url: "")
    assert findings == []
    assert f"<{row.name}" in row.example and verbs
