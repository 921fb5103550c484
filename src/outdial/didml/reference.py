"""The reference of the verbs as Markdown, made from their table.

`docs/reference/didml.md` says what holds for all, `docs/reference/didml/` has a page for each verb.
`python -m outdial.didml.reference` writes them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from outdial.didml.markup import MAX_DEPTH, MAX_ELEMENTS
from outdial.didml.parse import MAX_BYTES, MAX_WARNINGS
from outdial.didml.rows import Attribute, VerbRow
from outdial.didml.table import BY_NAME, VERBS

_INTRODUCTION = f"""\
# didML: the verbs

<!-- Made from src/outdial/didml/verbs/ by `python -m outdial.didml.reference`. -->

A voice application answers each request with a document: a `<Response>` whose elements are run
from top to bottom. At its end the call is hung up.

```xml
<Response>
  <Say voice="woman">Your pin is 8 9 70</Say>
</Response>
```

- Names of elements and attributes are matched in any case.
- URLs may be relative to the document's.
- An attribute with a value that does not fit takes its default, a number out of range the nearest
  end of the range (a negative one the default); an unknown, misplaced or empty element is skipped.
  Each leaves a warning with line and column on the call's timeline (the first {MAX_WARNINGS} of a
  document).
- A document that is not well-formed XML is read as well as it can be, each guess with a warning:
  values without quotation marks, bare `&`, end tags in another case or missing, text before
  `<Response>`, wrong encodings. A verb that is never closed ends where one begins that cannot be
  inside it.
- Content types: XML types, `text/html`, `application/octet-stream` and none are read as XML;
  `text/plain` is spoken, `audio/*` is played, and the call then ends. Anything else is an error.
- Never taken: document type declarations, processing instructions, more than
  {MAX_BYTES // 1024} KiB (`didml.max_document_bytes`), {MAX_ELEMENTS} elements, {MAX_DEPTH} levels.
- A document that cannot be fetched or run ends the application: `fallbackUrl` is asked once, else
  the caller hears an apology and the call ends. An empty document is such an error, but not as the
  answer to a `Redirect` or to the `action` of a verb: there the call just ends, with a warning.
"""


def _attribute_line(attribute: Attribute) -> str:
    names = ", ".join(f"`{name}`" for name in (attribute.name, *attribute.aliases))
    return f"| {names} | {attribute.kind.name} | {attribute.otherwise} | {attribute.meaning} |"


def page_name(row: VerbRow) -> str:
    """The verb's page, beside the index."""
    return f"didml/{row.name.lower()}.md"


def _page(row: VerbRow) -> str:
    made = f"<!-- Made from the table in src/outdial/didml/verbs/{row.name.lower()}.py. -->"
    lines = [f"# {row.name}", "", made, "", row.meaning]
    if row.aliases:
        lines[-1] += f" Also written {', '.join(f'`{alias}`' for alias in row.aliases)}."
    if row.example:
        lines += ["", "```xml", "<Response>", *row.example.splitlines(), "</Response>", "```"]
    if row.body:
        lines += ["", f"Body: {row.body.kind.name}. {row.body.meaning}"]
    inside = [BY_NAME[name] for name in sorted(row.children) if BY_NAME[name].build]
    if inside:
        links = ", ".join(f"[{child.name}]({child.name.lower()}.md)" for child in inside)
        lines += ["", f"May hold: {links}."]
    if row.attributes:
        lines += ["", "| attribute | values | default | meaning |", "|---|---|---|---|"]
        lines += [_attribute_line(attribute) for attribute in row.attributes]
    if row.notes:
        lines += ["", *(f"- {note}" for note in row.notes)]
    lines += ["", "What holds for all verbs: [didML](../didml.md)."]
    return "\n".join(lines) + "\n"


def _places(row: VerbRow) -> str:
    parents = [other.name for other in VERBS if row.name.lower() in other.children]
    return ", ".join(["Response"] * row.top_level + parents)


def _index() -> str:
    lines = [_INTRODUCTION, "## The verbs", "", "| verb | may stand in | |", "|---|---|---|"]
    for row in VERBS:
        if row.build:
            meaning = row.meaning.partition(". ")[0].rstrip(".")
            lines.append(f"| [{row.name}]({page_name(row)}) | {_places(row)} | {meaning} |")
    missing = ", ".join(row.name for row in VERBS if not row.build)
    if missing:
        lines += [
            "",
            "## Not in this version",
            "",
            f"{missing}: known to the parser and skipped, each with a warning that says so.",
        ]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Every page by its path under `docs/reference`."""
    verbs = {page_name(row): _page(row) for row in VERBS if row.build}
    return {"didml.md": _index(), **verbs}


def write(folder: Path) -> None:
    """Writes the pages, and removes those of verbs that are no longer there."""
    (folder / "didml").mkdir(exist_ok=True)
    made = pages()
    for path in (folder / "didml").glob("*.md"):
        if f"didml/{path.name}" not in made:
            path.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference"))
