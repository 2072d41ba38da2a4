"""HubSpot's search over the sandbox's index: filter groups made into one WHERE of SQLite."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from include.sandbox.hubspot_properties import MODIFIED

MOST_GROUPS, MOST_FILTERS, MOST_IN_ALL = 5, 6, 18
MOST_RESULTS, MOST_PER_PAGE = 10_000, 200
_COMPARED = {"EQ": "=", "NEQ": "<>", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}


class SearchRefused(ValueError):
    """The search makes no sense to HubSpot; the message is its answer."""


def where(kind: str, groups: list[dict[str, Any]]) -> tuple[str, list[Any]]:
    """The condition of filter groups (any of which must hold) and its values.

    Raises:
        SearchRefused: too many groups or filters, an unknown operator, a value that is none.
    """
    filters = [group.get("filters") or [] for group in groups]
    if len(groups) > MOST_GROUPS or any(len(of) > MOST_FILTERS for of in filters):
        raise SearchRefused(f"at most {MOST_GROUPS} filterGroups of {MOST_FILTERS} filters")
    if sum(map(len, filters)) > MOST_IN_ALL:
        raise SearchRefused(f"at most {MOST_IN_ALL} filters in all")
    values: list[Any] = []
    parts = []
    for of in filters:
        terms = []
        for one in of:
            term, given = _term(kind, one)
            terms.append(term)
            values += given
        parts.append("(" + (" AND ".join(terms) or "1") + ")")
    return " OR ".join(parts) or "1", values


def order(kind: str, sorts: list[Any]) -> str:
    """The ORDER BY of HubSpot's `sorts`, of which it takes one; by id where there is none."""
    if not sorts:
        return "id"
    first = sorts[0]
    name = first if isinstance(first, str) else first.get("propertyName", "")
    down = isinstance(first, dict) and first.get("direction") == "DESCENDING"
    column, _ = _column(kind, name.removeprefix("-"))
    return f"{column} {'DESC' if down or name.startswith('-') else 'ASC'}, id"


def _term(kind: str, one: dict[str, Any]) -> tuple[str, list[Any]]:
    operator = one.get("operator")
    column, reads = _column(kind, one.get("propertyName", ""))
    if operator in _COMPARED:
        return f"{column} {_COMPARED[operator]} ?", [reads(one.get("value"))]
    if operator == "BETWEEN":
        return f"{column} BETWEEN ? AND ?", [reads(one.get("value")), reads(one.get("highValue"))]
    if operator in ("IN", "NOT_IN"):
        given = [reads(value) for value in one.get("values") or []]
        return f"{column} {operator.replace('_', ' ')} ({', '.join('?' * len(given))})", given
    if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return f"{column} IS {'NOT ' if operator == 'HAS_PROPERTY' else ''}NULL", []
    raise SearchRefused(f"unknown operator '{operator}'")


def _column(kind: str, name: str) -> tuple[str, Any]:
    """What a property is in the index, and how a value for it is read."""
    if not name.replace("_", "").isalnum():
        raise SearchRefused(f"'{name}' is no property")
    if name == "hs_object_id":
        return "id", _number
    if name == MODIFIED[kind]:
        return "found_ms", _moment
    if name == "createdate":
        return "created_ms", _moment
    if name == "pipeline":
        return "found_pipeline", str
    if name == "num_associated_deals":
        # HubSpot counts it; here it follows from the associations.
        return (
            "(SELECT count(*) FROM hubspot_association"
            " WHERE from_type = type AND from_id = id AND to_type = 'deals')"
        ), _number
    if name == "amount":
        return "CAST(json_extract(found, '$.amount') AS REAL)", float
    return f"json_extract(found, '$.{name}')", str


def _number(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise SearchRefused(f"'{value}' is no number") from error


def _moment(value: Any) -> int:
    """Milliseconds since 1970, given as such or as ISO text."""
    text = str(value)
    if text.lstrip("-").isdigit():
        return int(text)
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError as error:
        raise SearchRefused(f"'{value}' is no time") from error
