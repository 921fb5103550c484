"""Reads settings from a TOML file and the environment, and says what is wrong with them."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from outdial.errors import ConfigError

PREFIX = "OUTDIAL_"

M = TypeVar("M", bound=BaseModel)
Tree = dict[str, Any]


def read_file(path: Path) -> Tree:
    """The file's tables. Raises ConfigError naming the file, and the line of a syntax error."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise ConfigError(str(path), f"is not UTF-8 text: byte {problem.start}") from None
    except OSError as problem:
        raise ConfigError(
            str(path), f"cannot be read: {problem.strerror or problem}", "name another by --config"
        ) from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(str(path), f"is not valid TOML: {problem}") from None


def read_environment(environment: Mapping[str, str], model: type[BaseModel]) -> Tree:
    """``OUTDIAL_SECTION__KEY`` as a tree; ``OUTDIAL_TRUNKS__0__PASSWORD`` names a list's member.

    A list is JSON or its members with commas between, a table of names and values JSON. Other
    variables are not settings, but one that can only be meant as a setting raises ConfigError
    saying how it is written.
    """
    tree: Tree = {}
    for variable in sorted(environment):
        path = variable.removeprefix(PREFIX).lower().split("__")
        if not variable.startswith(PREFIX):
            continue
        if len(path) > 1:
            put(tree, path, _parse(environment[variable], _annotation(model, path)))
        elif meant := _spelt(path[0], model):
            raise ConfigError(variable, "is no setting", f"write {meant}, two underscores each")
    return tree


def _spelt(name: str, model: type[BaseModel]) -> str:
    """How the setting is written that somebody meant by the name; "" for anything else.

    Only a whole section, or a setting behind one underscore: systems that start programs put
    names like ``OUTDIAL_HTTP_PORT`` there for reasons of their own.
    """
    for section, field in model.model_fields.items():
        listed = _is_list_of_tables(field.annotation)
        table = get_args(field.annotation)[0] if listed else _table(field.annotation)
        fields = list(table.model_fields.items()) if table else []
        fields.sort(key=lambda item: not item[1].is_required())
        names = [one.alias or own for own, one in fields]
        for setting in names:
            if name in (section, f"{section}_{setting}"):
                path = (section, "0", setting) if listed else (section, setting)
                return PREFIX + "__".join(path).upper()
    return ""


def put(tree: Tree, path: Sequence[str], value: Any) -> None:
    """Sets the value at the path, making the tables on the way."""
    *above, last = path
    for name in above:
        below = tree.get(name)
        if not isinstance(below, dict):
            below = tree[name] = {}
        tree = below
    tree[last] = value


def merge(base: Any, over: Any) -> Any:
    """`over` laid upon `base`: tables are merged, members of lists replaced where it names them."""
    if isinstance(base, list) and isinstance(over, dict) and all(k.isdigit() for k in over):
        members = list(base)
        for key in sorted(over, key=int):
            index = int(key)
            if index < len(members):
                members[index] = merge(members[index], over[key])
            else:
                members.append(over[key])
        return members
    if isinstance(base, dict) and isinstance(over, dict):
        return base | {key: merge(base.get(key), value) for key, value in over.items()}
    if base is None and isinstance(over, dict) and over and all(k.isdigit() for k in over):
        return merge([], over)
    return over


def validate(model: type[M], tree: Tree, origin: str) -> M:
    """The settings. Raises ConfigError with everything that is wrong."""
    try:
        return model.model_validate(tree)
    except ValidationError as problem:
        errors = [_explain(model, details) for details in problem.errors(include_url=False)]
    if len(errors) == 1:
        raise errors[0]
    lines = "\n".join(f"  {error}" for error in errors)
    raise ConfigError(origin, f"{len(errors)} settings are wrong:\n{lines}")


def _explain(model: type[BaseModel], details: ErrorDetails) -> ConfigError:
    path = [str(part) for part in details["loc"]]
    key = ".".join(path) or "settings"
    match details["type"]:
        case "extra_forbidden":
            return ConfigError(key, "there is no such setting", _meant(model, path))
        case "missing":
            return ConfigError(key, "is missing", f"add {path[-1]} = ...")
        case "model_type" | "model_attributes_type":
            heading = f"[[{path[-2]}]]" if path[-1].isdigit() else f"[{key}]"
            return ConfigError(key, "must be a table", f"write {heading} and its settings below")
        case "list_type" if _is_list_of_tables(_annotation(model, path)):
            return ConfigError(key, "must be a list of tables", f"write [[{key}]] for each")
        case "value_error":
            return ConfigError(key, details["msg"].removeprefix("Value error, "))
    problem = details["msg"][0].lower() + details["msg"][1:]
    if _may_hold_secrets(_annotation(model, path)):
        return ConfigError(key, problem)
    return ConfigError(key, f"{problem}, not {details['input']!r}")


def _meant(model: type[BaseModel], path: Sequence[str]) -> str:
    table = _table(_annotation(model, path[:-1])) if len(path) > 1 else model
    if table is None:
        return ""
    known = [field.alias or name for name, field in table.model_fields.items()]
    near = difflib.get_close_matches(path[-1], known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def _annotation(model: type[BaseModel], path: Sequence[str]) -> Any:
    """The type of the setting at the path, None when there is none."""
    found: Any = model
    for part in path:
        if part.isdigit() and get_origin(found) is list:
            (found,) = get_args(found)
            continue
        table = _table(found)
        if table is None:
            return None
        fields = {field.alias or name: field for name, field in table.model_fields.items()}
        if part not in fields:
            return None
        found = fields[part].annotation
    return found


def _table(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _is_list_of_tables(annotation: Any) -> bool:
    return any(_table(argument) is not None for argument in get_args(annotation))


def _may_hold_secrets(annotation: Any) -> bool:
    """Whether a value given there is not to be shown: a secret, or a table that may have one."""
    if annotation is None or annotation is SecretStr or _table(annotation) is not None:
        return True
    return any(_may_hold_secrets(a) for a in get_args(annotation))


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(_is_list(a) for a in get_args(annotation))


def _parse(text: str, annotation: Any) -> Any:
    """A variable's text as TOML would have it; numbers and booleans are left to the model."""
    is_table = get_origin(annotation) is dict
    if not is_table and not _is_list(annotation):
        return text
    if is_table or text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            return text  # the model says that it is none
    return [piece.strip() for piece in text.split(",") if piece.strip()]
