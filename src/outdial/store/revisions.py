"""The revisions of the database's schema: migrations/versions, run by Alembic.

Alembic is imported only when there is something to do: that spares 60 ms and 7 MB.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from outdial.errors import StoreUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0006"
"""The revision that this program works with."""

LOCK = threading.Lock()
"""Held while Alembic works: what it is working on stands in a global variable."""


def config(found: str | None) -> Config:
    """Alembic's settings, for a database at that revision (None: an empty one).

    Raises StoreUnavailable when this program does not know the revision.
    """
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    known = {script.revision for script in ScriptDirectory.from_config(made).walk_revisions()}
    if found is not None and found not in known:
        raise StoreUnavailable(
            f"the database is at revision {found}, which this version does not know: "
            "it was made by a newer Outdial"
        )
    return made
