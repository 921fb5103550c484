"""The functions of the guide verify real requests, and refuse what was tampered with.

Each is run as it stands on the page, by its own interpreter; where that is missing it is skipped.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from docs.pages import ROOT, blocks
from outdial.clock import SystemClock
from outdial.net.addresses import AddressPolicy
from outdial.net.client import HttpClient
from outdial.testing.signatures import signed_payload, verify
from outdial.testing.web import Received, WebServer
from outdial.webhooks.secret_file import Signing

NEWEST = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BEFORE = "whsec_" + "c2VjcmV0LW9mLXRoZS1tb250aC1iZWZvcmUhISEh"
PARAMS = [("CallStatus", "answered"), ("To", "+1 & 2"), ("Name", "Zoë")]

# each reads cases as JSON and prints for each the id, or "" when it was refused
HARNESS = {
    "python": """
import json, sys
def judge(case):
    try:
        return verify(case["secret"], case["headers"], case["payload"].encode())
    except ValueError:
        return ""
print(json.dumps([judge(case) for case in json.load(sys.stdin)]))
""",
    "js": """
const judge = (one) => {
  try { return verify(one.secret, one.headers, one.payload); } catch { return ""; }
};
const cases = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map(judge)));
""",
    "php": """
$judged = [];
foreach (json_decode(file_get_contents('php://stdin'), true) as $case) {
    try {
        $judged[] = verify($case['secret'], $case['headers'], $case['payload']);
    } catch (RuntimeException $refused) {
        $judged[] = '';
    }
}
echo json_encode($judged);
""",
}
PROGRAMS = {"python": [sys.executable], "js": ["node"], "php": ["php"]}
ENDINGS = {"python": "py", "js": "js", "php": "php"}


@dataclass
class Sent:
    post: Received
    get: Received
    bare: Received


@pytest.fixture
def sent() -> Iterator[Sent]:
    async def ask(url: str) -> None:
        policy = AddressPolicy(["127.0.0.0/8"])
        client = HttpClient(policy, signer=Signing(SystemClock(), [NEWEST, BEFORE]))
        await client.request("POST", url, params=PARAMS, message_id="EV" + "7" * 32)
        await client.request("GET", url + "?mine=1", params=PARAMS)
        await client.request("GET", url)
        await client.close()

    with WebServer() as web:
        asyncio.run(ask(web.collect("/events")))
        yield Sent(*web.received("/events"))


def code(language: str) -> str:
    (block,) = [
        block.text for block in blocks(language) if block.page.name == "verifying-callbacks.md"
    ]
    return block


def cases(sent: Sent) -> tuple[list[dict[str, object]], list[str]]:
    """Requests, and the id that a right judge gives each; "" for those to be refused."""
    post = {"headers": dict(sent.post.headers), "payload": sent.post.body.decode()}
    get = {"headers": dict(sent.get.headers), "payload": sent.get.raw_query}
    bare = {"headers": dict(sent.bare.headers), "payload": ""}
    old = post["headers"] | {"webhook-timestamp": "1614265330"}  # type: ignore[operator]
    other = post["headers"] | {"webhook-id": "EV" + "8" * 32}  # type: ignore[operator]
    unsigned = {k: v for k, v in sent.post.headers.items() if not k.startswith("webhook-")}
    found: list[tuple[dict[str, object], str]] = [
        ({"secret": NEWEST, **post}, sent.post.headers["webhook-id"]),
        ({"secret": BEFORE, **post}, sent.post.headers["webhook-id"]),
        ({"secret": NEWEST, **get}, sent.get.headers["webhook-id"]),
        ({"secret": BEFORE, **bare}, sent.bare.headers["webhook-id"]),
        ({"secret": "whsec_" + "A" * 32, **post}, ""),
        ({"secret": NEWEST, **post, "payload": sent.post.body.decode() + "&To=3"}, ""),
        ({"secret": NEWEST, **get, "payload": ""}, ""),
        ({"secret": NEWEST, **post, "headers": old}, ""),
        ({"secret": NEWEST, **post, "headers": other}, ""),
        ({"secret": NEWEST, **post, "headers": unsigned}, ""),
    ]
    return [case for case, _ in found], [right for _, right in found]


@pytest.mark.parametrize("language", ["python", "js", "php"])
def test_the_function_of_the_guide(language: str, sent: Sent, tmp_path: Path) -> None:
    if shutil.which(PROGRAMS[language][0]) is None:
        pytest.skip(f"{PROGRAMS[language][0]} is not installed")
    program = tmp_path / f"verify.{ENDINGS[language]}"
    program.write_text(code(language) + HARNESS[language], encoding="utf-8")
    given, right = cases(sent)
    done = subprocess.run(
        [*PROGRAMS[language], str(program)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == right


def test_the_test_kit_verifies_the_same(sent: Sent) -> None:
    for request in (sent.post, sent.get, sent.bare):
        assert verify(BEFORE, request.headers, signed_payload(request)).startswith(("EV", "RQ"))
        with pytest.raises(ValueError, match="no signature fits"):
            verify(BEFORE, request.headers, signed_payload(request) + b"&x=1")


def test_the_example_of_the_reference_is_signed_as_it_says() -> None:
    """The signature of the request that docs/reference/callbacks.md shows is a right one."""
    page = (ROOT / "docs/reference/callbacks.md").read_text(encoding="utf-8")
    head, _, rest = page[page.index("POST /event HTTP/1.1") :].partition("\n\n")
    body = rest.partition("\n```")[0]
    headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:])
    headers["webhook-signature"] = head.partition("webhook-signature: ")[2].partition("\n")[0]
    headers["webhook-id"] = head.partition("webhook-id: ")[2].partition("\n")[0]
    assert int(headers["content-length"]) == len(body)
    verify(NEWEST, headers, body.encode(), now=float(headers["webhook-timestamp"]))
    assert NEWEST in page
