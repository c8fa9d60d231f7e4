"""docs/rest.md: its tables are the code's, row by row."""

import re
from pathlib import Path

from bff.rest.answers import ADDRESS_STATUS, STATUS, USER_ERROR_STATUS
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


def test_the_page_shows_every_status():
    """Whoever handles errors by the page must meet no code, and no status, that it does not have."""
    rows = re.findall(r"^\| (\d{3}) \|(.*)\|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    errors, user_errors = (
        sorted((int(row[0]), code) for row in rows for code in re.findall(r"`([A-Z_]+)`", row[column]))
        for column in (1, 2)
    )

    by_us = (429, "RATE_LIMITED")  # the same code has two statuses
    told = STATUS | ADDRESS_STATUS
    assert errors == sorted([by_us, *((status, code) for code, status in told.items())])
    assert user_errors == sorted((status, code) for code, status in USER_ERROR_STATUS.items())
