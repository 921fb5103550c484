"""What the tests of the rehearsal share: an application that gives documents by path."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from outdial.testing.rehearsal.rehearsal import Rehearsal
from outdial.testing.web import WebServer

Serve = Callable[..., str]


@pytest.fixture
def web(outdial: Rehearsal) -> WebServer:
    """A web server beside the rehearsal."""
    return outdial.web()


@pytest.fixture
def serve(web: WebServer) -> Serve:
    """Gives the address of a document made of these verbs; ``{base}`` in it is the server's."""

    def serve_document(verbs: str, path: str = "/answer") -> str:
        return web.serve(path, f"<Response>{verbs.format(base=web.url(''))}</Response>")

    return serve_document
