"""Pages lead somewhere, their code is code, and commands they name exist."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from docs.pages import ROOT, Block, anchors, blocks, links, pages, prose
from outdial import config
from outdial.cli.program import app
from outdial.didml.parse import parse

COMMAND: Any = typer.main.get_command(app)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


def shell_lines() -> list[tuple[Block, str]]:
    """Commands of the shell blocks, continued lines joined."""
    return [
        (block, line)
        for block in blocks("sh")
        for line in block.text.replace("\\\n", " ").splitlines()
    ]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    todo = [ROOT / "docs/index.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        paths = [link.partition("#")[0] for link in links(page) if "://" not in link]
        todo += [(page.parent / path).resolve() for path in paths if path]
    assert [page for page in (ROOT / "docs").rglob("*.md") if page not in seen] == []


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_settings_load(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "outdial.toml"
    path.write_text(block.text)
    config.load(path, environment={})


@pytest.mark.parametrize("block", blocks("xml"), ids=str)
def test_documents_run_as_they_stand(block: Block) -> None:
    document = parse(block.text.encode(), "text/xml", "https://example.com/")
    assert document.verbs
    assert document.warnings == ()


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_is_python_and_imports_what_there_is(block: Block) -> None:
    tree = ast.parse(block.text)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            exec(compile(ast.Module([node], []), str(block), "exec"), {})


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_can_be_read(block: Block) -> None:
    yaml = importlib.import_module("yaml")  # it has no types
    assert isinstance(yaml.safe_load(block.text), dict)


def test_no_block_is_in_a_language_that_nobody_checks() -> None:
    checked = {
        "toml",
        "xml",
        "json",
        "python",
        "sh",
        "mermaid",
        "text",
        "http",
        "js",
        "php",
        "yaml",
    }
    fences = re.compile(r"^```([a-z]*)\n.*?^```$", re.M | re.S)
    for page in pages():
        for language in fences.findall(page.read_text()):
            assert language in checked, f"{page.name}: {language!r}"


def outdial_commands() -> list[tuple[str, str]]:
    """What the pages ask people to type, and where."""
    typed = [(str(block), line) for block, line in shell_lines()]
    typed += [
        (page.name, code)
        for page in pages()
        for code in re.findall(r"`((?:outdial|make) [^`\n]+)`", prose(page))
    ]
    return typed


def test_outdial_commands_and_their_options_exist() -> None:
    found = 0
    for where, line in outdial_commands():
        words = shlex.split(line.replace("[", " ").replace("]", " "), comments=True)
        if not words or words[0].rpartition("/")[2] != "outdial":
            continue
        command = COMMAND
        for word in words[1:]:
            below = getattr(command, "commands", None)
            if below and word in below:
                command = below[word]
            elif below:
                assert word.isupper() or word in ("--help", "--version"), f"{where}: {line}"
                break
            elif word.startswith("-"):
                options = {name for option in command.params for name in option.opts}
                assert word.partition("=")[0] in options | {"--help"}, f"{where}: {line}"
        found += 1
    assert found > 20


def test_make_targets_exist() -> None:
    named = set()
    for where, line in outdial_commands():
        words = shlex.split(line, comments=True)
        if words and words[0] == "make":
            targets = [word for word in words[1:] if "=" not in word]
            assert set(targets) <= TARGETS, f"{where}: {line}"
            named.update(targets)
    assert {"demo", "test"} <= named


def test_text_files_name_no_machine_of_ours() -> None:
    paths = re.compile(
        r"(?<![\w.])/(?:work|root|workspace|mnt)/|(?<!\w)/tmp/w\b|" + re.escape(str(ROOT))
    )
    hosts = re.compile(r"(?:extra-)?index-url|trusted-host|registry\.npmjs|pythonhosted\.org")
    folders = ("src", "tests", "docs", "tools", "bench", "examples", ".ci")
    files = [path for path in ROOT.iterdir() if path.is_file() and path.suffix != ".db"]
    files += [path for folder in folders for path in (ROOT / folder).rglob("*")]
    looked_at = 0
    for path in files:
        if not path.is_file() or path.name == ".git" or path == Path(__file__):
            continue
        if "__pycache__" in path.parts:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for pattern in (paths, hosts):
            hit = pattern.search(text)
            assert hit is None, f"{path.relative_to(ROOT)}: {hit.group() if hit else ''}"
        looked_at += 1
    assert looked_at > 300
