"""Writes docs/reference/settings.md from the settings model and the docstrings of its fields."""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from outdial import config
from outdial.config import (
    encryption,
    peering,
    registration,
    routes,
    settings,
    tls,
    trunk,
)
from outdial.config import (
    key as key_module,
)

_MODULES = (settings, trunk, peering, key_module, registration, encryption, tls, routes)
PAGE = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"

_HEAD = """# Settings

`outdial serve --config outdial.toml`. The file is TOML. A setting may also be given as an
environment variable, `OUTDIAL_` and its section and name in capitals with two underscores between,
which goes over the file: `OUTDIAL_HTTP__LISTEN=127.0.0.1:8080`. Lists are written there with commas
(`OUTDIAL_SIP__LISTEN=udp:127.0.0.1:5060,tcp:127.0.0.1:5060`) or as JSON, and a member of a list of
tables by its place, counted from 0 (`OUTDIAL_TRUNKS__0__PASSWORD=...`).

A setting that does not exist, or a value that cannot be right, is refused at the start with its
name and what would be right. Paths are relative to the folder that Outdial is started in.

This page is made from the program by `python tools/settings_reference.py`.
"""


def page() -> str:
    """The whole page."""
    docs = _docstrings()
    parts = [_HEAD]
    for name, section in config.Settings.model_fields.items():
        table, many = _table(section.annotation)
        parts.append(f"\n## `[[{name}]]`\n" if many else f"\n## `[{name}]`\n")
        parts.append(
            f"{(inspect.getdoc(table) or '').strip()}{' One table each.' if many else ''}\n"
        )
        parts.append("| setting | values | default | meaning |\n|---|---|---|---|")
        for key, field in _fields(table):
            cells = [
                f"`{field.alias or key}`",
                _values(field),
                _default(field),
                docs[_owner(table, key).__name__, key],
            ]
            parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(parts) + "\n"


def _fields(table: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    """Those that the table's own class declares first, then those of the classes it is made of."""
    fields = list(table.model_fields.items())
    return sorted(fields, key=lambda item: _owner(table, item[0]) is not table)


def _owner(table: type[BaseModel], key: str) -> type:
    """The class that declares the field."""
    return next(one for one in table.__mro__ if key in inspect.get_annotations(one))


def _docstrings() -> dict[tuple[str, str], str]:
    """(class, field) to the string below the field. Raises KeyError later for one without."""
    found = {}
    sources = [inspect.getsource(module) for module in _MODULES]
    for node in [node for source in sources for node in ast.parse(source).body]:
        if isinstance(node, ast.ClassDef):
            for field, text in zip(node.body, node.body[1:], strict=False):
                if (
                    isinstance(field, ast.AnnAssign)
                    and isinstance(field.target, ast.Name)
                    and isinstance(text, ast.Expr)
                    and isinstance(text.value, ast.Constant)
                ):
                    words = str(text.value.value).replace("``", "`").split()
                    found[node.name, field.target.id] = " ".join(words)
    return found


def _table(annotation: Any) -> tuple[type[BaseModel], bool]:
    if get_origin(annotation) is list:
        (annotation,) = get_args(annotation)
        return annotation, True
    return annotation, False


def _values(field: FieldInfo) -> str:
    kind = _kind(field.annotation)
    limits = [
        f"{sign} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in (("ge", "from"), ("gt", "above"), ("le", "to"))
        if hasattr(limit, name)
    ]
    return " ".join([kind, *limits])


def _kind(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value or json.dumps(value)}`" for value in arguments)
    if origin is list:
        return f"list of {_kind(arguments[0])}"
    if origin is dict:
        return f"table of {_kind(arguments[1])}"
    if hasattr(annotation, "__metadata__"):
        return _kind(annotation.__origin__)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"names or tables of {' and '.join(annotation.model_fields)}"
    if arguments:  # a union with None
        return _kind(arguments[0])
    names = {str: "text", SecretStr: "secret", int: "whole number", float: "number",
             bool: "`true`, `false`"}  # fmt: skip
    return names[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None:
        return "not set"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return f"`{json.dumps(value)}`"


if __name__ == "__main__":
    PAGE.write_text(page())
