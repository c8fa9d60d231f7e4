"""docs/rest.md: its table is the code's, row by row."""

from pathlib import Path

from bff.rest.row import Row
from bff.rest.table import TABLE
from bff.rest.values import Source, Value

PAGE = Path(__file__).parents[2] / "docs" / "rest.md"
PLACES = {"path": "{%s}", "query": "?%s", "body": "body.%s", "header": "%s"}


def said(source: Source) -> str:
    return PLACES[source.place] % source.name


def variable(name: str, value: Value) -> str:
    given = " or ".join(f"`{said(source)}`" for source in value.sources) or str(value.default)
    default = value.schema.get("default")
    return f"`{name}` = {given}" + (f" ({str(default).lower()})" if default else "")


def line(row: Row) -> str:
    """The row as the page shows it."""
    variables = [variable(name, value) for name, value in row.variables.items()]
    refused = [f"`{said(value.sources[0])}` is refused" for value in row.refuses]
    told = ", ".join([*variables, *refused]) or "–"
    return f"| `{row.name}` | `{row.operation}` | {told} | `{row.response}` | {row.success} |"


def test_the_page_shows_the_table():
    """The page is what people read before they ask; a row that is only in one of the two misleads them."""
    shown = [each for each in PAGE.read_text().splitlines() if each.startswith(("| `GET ", "| `POST "))]

    assert shown == [line(row) for row in TABLE]
