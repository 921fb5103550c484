"""The reference of the verbs as Markdown: `docs/reference/didml.md`, made from their table."""

from __future__ import annotations

from outdial.didml.markup import MAX_DEPTH, MAX_ELEMENTS
from outdial.didml.parse import MAX_BYTES, MAX_WARNINGS
from outdial.didml.rows import Attribute, VerbRow
from outdial.didml.table import BY_NAME, VERBS

_INTRODUCTION = f"""\
# didML: the verbs

<!-- Made from src/outdial/didml/table.py by `python -m outdial.didml.reference`. -->

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


def _default(attribute: Attribute) -> str:
    if attribute.shown_default:
        return attribute.shown_default
    if isinstance(attribute.default, bool):
        return "on" if attribute.default else "off"
    return "none" if attribute.default in ("", None) else str(attribute.default)


def _attribute_line(attribute: Attribute) -> str:
    names = ", ".join(f"`{name}`" for name in (attribute.name, *attribute.aliases))
    return f"| {names} | {attribute.kind.name} | {_default(attribute)} | {attribute.meaning} |"


def _section(row: VerbRow) -> str:
    lines = [f"## {row.name}", "", row.meaning]
    if row.aliases:
        lines[-1] += f" Also written {', '.join(f'`{alias}`' for alias in row.aliases)}."
    if row.example:
        lines += ["", "```xml", "<Response>", *row.example.splitlines(), "</Response>", "```"]
    if row.body:
        lines += ["", f"Body: {row.body.kind.name}. {row.body.meaning}"]
    inside = sorted(BY_NAME[name].name for name in row.children if BY_NAME[name].build)
    if inside:
        lines += ["", f"May hold: {', '.join(inside)}."]
    if row.attributes:
        lines += ["", "| attribute | values | default | meaning |", "|---|---|---|---|"]
        lines += [_attribute_line(attribute) for attribute in row.attributes]
    if row.notes:
        lines += ["", *(f"- {note}" for note in row.notes)]
    return "\n".join(lines) + "\n"


def render() -> str:
    """The whole page."""
    sections = [_section(row) for row in VERBS if row.build]
    missing = ", ".join(row.name for row in VERBS if not row.build)
    later = (
        "## Not in this version\n\n"
        f"{missing}: known to the parser and skipped, each with a warning that says so.\n"
    )
    return "\n".join([_INTRODUCTION, *sections, later])


if __name__ == "__main__":
    import sys

    sys.stdout.write(render())
