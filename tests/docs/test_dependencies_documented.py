"""What is installed is imported, what is imported is installed, and both are explained."""

from __future__ import annotations

import ast
import re
import sys
import tomllib

from docs.pages import ROOT

SOURCES = ROOT / "src/outdial"
PAGE = ROOT / "docs/design/dependencies.md"

MODULE = {
    "audioop-lts": "audioop",
    "dnspython": "dns",
    "espeakng-loader": "espeakng_loader",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry",
    "opentelemetry-sdk": "opentelemetry",
    "prometheus-client": "prometheus_client",
    "python-multipart": "python_multipart",
    "SQLAlchemy": "sqlalchemy",
}
"""Import names of packages that are called otherwise."""
WHO_IMPORTS_IT_HAS_IT = {"pytest"}
"""The plugin is loaded by pytest alone."""
FOR_DEVELOPMENT = ("dev", "fuzz")
COMES_WITH = {"starlette": "fastapi", "pydantic_core": "pydantic"}
"""Packages that another one brings as a part of its own interface."""


def declared() -> set[str]:
    """The packages of pyproject.toml that a server needs, or may have."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].items()
    kept = [lines for extra, lines in extras if extra not in FOR_DEVELOPMENT]
    optional = [line for lines in kept for line in lines]
    return {re.split(r"[<>=;\[ ]", line)[0] for line in (*project["dependencies"], *optional)}


def imported() -> set[str]:
    """The third-party modules that the sources import, wherever they do."""
    found: set[str] = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found.update(name.name.partition(".")[0] for name in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    own = {"outdial"} | WHO_IMPORTS_IT_HAS_IT
    return found - sys.stdlib_module_names - own | ({"audioop"} & found)


def test_every_dependency_is_imported() -> None:
    modules = imported()
    assert [name for name in declared() if MODULE.get(name, name) not in modules] == []


def test_every_import_is_a_dependency() -> None:
    packages = {MODULE.get(name, name): name for name in declared()}
    for module in imported():
        owner = COMES_WITH.get(module, module)
        assert owner in packages, f"{module} is imported and not in pyproject.toml"


def test_every_dependency_has_its_reason() -> None:
    rows = set(
        re.findall(r"`([\w-]+)`", "".join(re.findall(r"^\| (.+?) \|", PAGE.read_text(), re.M)))
    )
    assert declared() | set(COMES_WITH) == rows
