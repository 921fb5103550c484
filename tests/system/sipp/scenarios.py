"""The scenario files, put together from their pieces.

SIPp has no way to include a file. In ours ``@name@`` stands for the text of ``pieces/name.xml``,
or for a value that the test gives.
"""

from __future__ import annotations

import re
from pathlib import Path

_HERE = Path(__file__).parent
_PLACE = re.compile(r"@([a-z][a-z0-9-]*)@")


def scenario(name: str, **values: str) -> str:
    """The XML of ``scenarios/name.xml``. Raises KeyError when it needs a value that is not given.

    `values` come before pieces of the same name; ``_`` in their names stands for ``-``.
    """
    given = {key.replace("_", "-"): value for key, value in values.items()}
    text = (_HERE / "scenarios" / f"{name}.xml").read_text(encoding="utf-8")
    while _PLACE.search(text):
        text = _PLACE.sub(lambda match: _text(match.group(1), given), text)
    return text


def names() -> list[str]:
    """All scenarios."""
    return sorted(path.stem for path in (_HERE / "scenarios").glob("*.xml"))


def _text(name: str, given: dict[str, str]) -> str:
    if name in given:
        return given[name]
    path = _HERE / "pieces" / f"{name}.xml"
    if not path.exists():
        raise KeyError(f"the scenario needs a value for {name!r}")
    return path.read_text(encoding="utf-8").removesuffix("\n")
