"""HubSpot's CRM API over the sandbox's records: objects, searches, histories, associations, pipelines.

Speaks the parts that an extraction uses, with HubSpot's own page sizes, caps, limits and words of refusal.
What a simulated world's deals do follows the sandbox's clock; `/control/hubspot` changes records as people in
HubSpot would.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from include.sandbox.credentials import presented_key, same_key
from include.sandbox.faults import TokenExpired, arguments_of
from include.sandbox.hubspot_feed import iso
from include.sandbox.hubspot_limits import Admission, HubSpotLimits
from include.sandbox.hubspot_properties import USUAL
from include.sandbox.hubspot_search import MOST_PER_PAGE, MOST_RESULTS, SearchRefused, order, where
from include.sandbox.hubspot_store import HubSpotStore
from include.sandbox.vendor_errors import hubspot_error

MOST_LISTED, MOST_WITH_HISTORY = 100, 50
MOST_LINKED = 1_000
KINDS = tuple(USUAL)


class _Refusal(Exception):
    """An answer that is an error, in HubSpot's form."""

    def __init__(self, status: int, category: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = hubspot_error(category, message)


Answer = tuple[int, dict[str, Any]]


def hubspot_router(store: HubSpotStore, limits: HubSpotLimits, api_key: str) -> APIRouter:
    """The routes below `/hubspot`.

    Args:
        store: the records.
        limits: how often it may be asked.
        api_key: the one private-app token that is accepted.
    """
    router = APIRouter(prefix="/hubspot")

    def answered(request: Request, told: Callable[[], Answer], *, search: bool = False) -> JSONResponse:
        expired = arguments_of(getattr(request.state, "faults", ()), TokenExpired) is not None
        if expired or not same_key(presented_key(request), api_key):
            body = hubspot_error("INVALID_AUTHENTICATION", "Authentication credentials not found.")
            return JSONResponse(body, 401)
        admitted = limits.admit(search=search)
        if admitted.policy:
            return _limited(admitted)
        store.catch_up()
        try:
            status, body = told()
        except _Refusal as refusal:
            status, body = refusal.status, refusal.body
        return JSONResponse(body, status, headers=admitted.headers)

    @router.get("/crm/v3/objects/{kind}")
    def listed(
        request: Request,
        kind: str,
        limit: int = 10,
        after: str = "",
        properties: str = "",
        propertiesWithHistory: str = "",
        associations: str = "",
        archived: bool = False,
    ) -> JSONResponse:
        def told() -> Answer:
            most = MOST_WITH_HISTORY if propertiesWithHistory else MOST_LISTED
            size = _within(limit, most, "limit")
            rows = store.state.rows(
                f"SELECT * FROM hubspot_object WHERE type = ? AND id > ? AND merged_into IS NULL"  # noqa: S608
                f" AND archived_ms IS {'NOT ' if archived else ''}NULL ORDER BY id LIMIT ?",
                (_kind(kind), int(after or 0), size + 1),
            )
            wanted, histories = _names(properties), _names(propertiesWithHistory)
            results = [_told(row, kind, wanted, histories) for row in rows[:size]]
            for target in _names(associations):
                _link(store, kind, target, results)
            page: dict[str, Any] = {"results": results}
            if len(rows) > size:
                page["paging"] = {"next": {"after": str(rows[size - 1]["id"])}}
            return 200, page

        return answered(request, told)

    @router.post("/crm/v3/objects/{kind}/search")
    def search(request: Request, kind: str, body: dict[str, Any]) -> JSONResponse:
        return answered(request, lambda: _search(store, _kind(kind), body), search=True)

    @router.post("/crm/v3/objects/{kind}/batch/read")
    def batch_read(request: Request, kind: str, body: dict[str, Any], archived: bool = False) -> JSONResponse:
        return answered(request, lambda: _batch_read(store, _kind(kind), body, archived))

    @router.post("/crm/v4/associations/{source}/{target}/batch/read")
    def associations_of(request: Request, source: str, target: str, body: dict[str, Any]) -> JSONResponse:
        return answered(request, lambda: _associations(store, _kind(source), _kind(target), body))

    @router.get("/crm/v3/pipelines/deals")
    def pipelines(request: Request) -> JSONResponse:
        return answered(request, lambda: (200, {"results": _pipelines(store)}))

    @router.get("/crm/v3/owners")
    @router.get("/crm/v3/owners/")
    def owners(request: Request, limit: int = 100, after: str = "", archived: bool = False) -> JSONResponse:
        return answered(request, lambda: (200, _owners(store, limit, after, archived)))

    @router.get("/crm/v3/properties/{kind}")
    def properties_of(request: Request, kind: str) -> JSONResponse:
        def told() -> Answer:
            rows = store.state.rows(
                "SELECT * FROM hubspot_property WHERE object_type = ? ORDER BY name", (_kind(kind),)
            )
            return 200, {"results": [_property(row) for row in rows]}

        return answered(request, told)

    @router.get("/account-info/v3/details")
    def account(request: Request) -> JSONResponse:
        details = {
            "portalId": 4_242_424,
            "accountType": "STANDARD",
            "timeZone": "UTC",
            "companyCurrency": "USD",
            "utcOffset": "+00:00",
        }
        return answered(request, lambda: (200, details))

    return router


def _search(store: HubSpotStore, kind: str, body: dict[str, Any]) -> Answer:
    size = _within(int(body.get("limit") or 10), MOST_PER_PAGE, "limit")
    begin = int(body.get("after") or 0)
    if begin + size > MOST_RESULTS:
        raise _Refusal(400, "VALIDATION_ERROR", "The sum of 'after' and 'limit' must not exceed 10000.")
    try:
        condition, values = where(kind, body.get("filterGroups") or [])
        by = order(kind, body.get("sorts") or [])
    except SearchRefused as error:
        raise _Refusal(400, "VALIDATION_ERROR", f"Invalid input: {error}") from error
    found = (
        "FROM hubspot_object WHERE type = ? AND merged_into IS NULL AND archived_ms IS NULL"
        f" AND found IS NOT NULL AND ({condition})"
    )
    total = store.state.rows(f"SELECT count(*) AS n {found}", (kind, *values))[0]["n"]
    rows = store.state.rows(
        f"SELECT id, found AS properties, '{{}}' AS history, created_ms, found_ms AS updated_ms, archived_ms"
        f" {found} ORDER BY {by} LIMIT ? OFFSET ?",
        (kind, *values, size, begin),
    )
    wanted = tuple(body.get("properties") or ())
    page: dict[str, Any] = {"total": total, "results": [_told(row, kind, wanted, ()) for row in rows]}
    if begin + len(rows) < total:
        page["paging"] = {"next": {"after": str(begin + len(rows))}}
    return 200, page


def _batch_read(store: HubSpotStore, kind: str, body: dict[str, Any], archived: bool) -> Answer:
    histories = tuple(body.get("propertiesWithHistory") or ())
    most = MOST_WITH_HISTORY if histories else MOST_LISTED
    ids = [int(one["id"]) for one in body.get("inputs") or []]
    if len(ids) > most:
        raise _Refusal(400, "VALIDATION_ERROR", f"at most {most} inputs, not {len(ids)}")
    rows = {
        row["id"]: row
        for row in store.state.rows(
            f"SELECT * FROM hubspot_object WHERE type = ? AND merged_into IS NULL"  # noqa: S608
            f" AND archived_ms IS {'NOT ' if archived else ''}NULL AND id IN ({', '.join('?' * len(ids))})",
            (kind, *ids),
        )
    }
    wanted = tuple(body.get("properties") or ())
    answer: dict[str, Any] = {
        "status": "COMPLETE",
        "results": [_told(rows[id_], kind, wanted, histories) for id_ in dict.fromkeys(ids) if id_ in rows],
    }
    missing = [str(id_) for id_ in ids if id_ not in rows]
    if not missing:
        return 200, answer
    error = hubspot_error("OBJECT_NOT_FOUND", f"Could not get some {kind.upper()} objects, they may be gone")
    return 207, {**answer, "numErrors": 1, "errors": [{**error, "context": {"ids": missing}}]}


def _associations(store: HubSpotStore, source: str, target: str, body: dict[str, Any]) -> Answer:
    ids = [int(one["id"]) for one in body.get("inputs") or []]
    if len(ids) > MOST_LINKED:
        raise _Refusal(400, "VALIDATION_ERROR", f"at most {MOST_LINKED} inputs, not {len(ids)}")
    found = _linked(store, source, target, ids)
    results = [
        {
            "from": {"id": str(id_)},
            "to": [
                {
                    "toObjectId": to,
                    "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": type_id, "label": None}],
                }
                for to, type_id in found[id_]
            ],
        }
        for id_ in dict.fromkeys(ids)
        if id_ in found
    ]
    errors = [
        {
            **hubspot_error("OBJECT_NOT_FOUND", f"No {target} is associated with {source} {id_}."),
            "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
            "context": {"fromObjectId": [str(id_)], "fromObjectType": [source], "toObjectType": [target]},
        }
        for id_ in ids
        if id_ not in found
    ]
    answer: dict[str, Any] = {"status": "COMPLETE", "results": results}
    if errors:
        return 207, {**answer, "numErrors": len(errors), "errors": errors}
    return 200, answer


def _linked(
    store: HubSpotStore, source: str, target: str, ids: list[int]
) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for row in store.state.rows(
        "SELECT from_id, to_id, type_id FROM hubspot_association a WHERE from_type = ? AND to_type = ?"  # noqa: S608
        f" AND from_id IN ({', '.join('?' * len(ids))}) AND EXISTS (SELECT 1 FROM hubspot_object o WHERE"
        " o.type = a.to_type AND o.id = a.to_id AND o.merged_into IS NULL) ORDER BY from_id, to_id",
        (source, target, *ids),
    ):
        found.setdefault(row["from_id"], []).append((row["to_id"], row["type_id"]))
    return found


def _link(store: HubSpotStore, source: str, target: str, results: list[dict[str, Any]]) -> None:
    """Put the ids of associated objects into listed ones."""
    found = _linked(store, source, _kind(target), [int(one["id"]) for one in results])
    name = f"{source.removesuffix('s')}_to_{target.removesuffix('s').replace('companie', 'company')}"
    for one in results:
        if linked := found.get(int(one["id"])):
            told = [{"id": str(to), "type": name} for to, _ in linked]
            one.setdefault("associations", {})[target] = {"results": told}


def _pipelines(store: HubSpotStore) -> list[dict[str, Any]]:
    stages: dict[str, list[dict[str, Any]]] = {}
    for row in store.state.rows("SELECT * FROM hubspot_stage ORDER BY display_order"):
        stages.setdefault(row["pipeline_id"], []).append(
            {
                **_labelled(row),
                "metadata": {"isClosed": row["is_closed"], "probability": row["probability"]},
                "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
            }
        )
    rows = store.state.rows("SELECT * FROM hubspot_pipeline ORDER BY display_order")
    return [{**_labelled(row), "stages": stages.get(row["id"], [])} for row in rows]


def _labelled(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "label": row["label"],
        "displayOrder": row["display_order"],
        "createdAt": iso(row["created_ms"]),
        "updatedAt": iso(row["updated_ms"]),
        "archived": False,
    }


def _owners(store: HubSpotStore, limit: int, after: str, archived: bool) -> dict[str, Any]:
    size = _within(limit, 500, "limit")
    rows = store.state.rows(
        "SELECT * FROM hubspot_owner WHERE archived = ? AND CAST(id AS INTEGER) > ?"
        " ORDER BY CAST(id AS INTEGER) LIMIT ?",
        (int(archived), int(after or 0), size + 1),
    )
    results = [
        {
            "id": row["id"],
            "userId": int(row["user_id"]),
            "email": row["email"],
            "firstName": row["first_name"],
            "lastName": row["last_name"],
            "type": "PERSON",
            "archived": bool(row["archived"]),
            "createdAt": iso(0),
            "updatedAt": iso(0),
            **({"teams": [{"id": row["team"], "name": row["team"], "primary": True}]} if row["team"] else {}),
        }
        for row in rows[:size]
    ]
    page: dict[str, Any] = {"results": results}
    if len(rows) > size:
        page["paging"] = {"next": {"after": rows[size - 1]["id"]}}
    return page


def _property(row: sqlite3.Row) -> dict[str, Any]:
    options = json.loads(row["options"])
    return {
        "name": row["name"],
        "label": row["label"],
        "type": row["type"],
        "fieldType": row["field_type"],
        "description": "",
        "groupName": f"{row['object_type']}information",
        "options": [
            {"label": value, "value": value, "displayOrder": i, "hidden": False}
            for i, value in enumerate(options)
        ],
        "calculated": row["field_type"] == "calculation_equation",
        "archived": False,
        "hidden": False,
    }


def _told(row: sqlite3.Row, kind: str, wanted: tuple[str, ...], histories: tuple[str, ...]) -> dict[str, Any]:
    properties = json.loads(row["properties"])
    names = dict.fromkeys((*USUAL[kind], *wanted, *histories))
    told: dict[str, Any] = {
        "id": str(row["id"]),
        "properties": {name: properties.get(name) for name in names},
        "createdAt": iso(row["created_ms"]),
        "updatedAt": iso(row["updated_ms"]),
        "archived": row["archived_ms"] is not None,
    }
    if row["archived_ms"] is not None:
        told["archivedAt"] = iso(row["archived_ms"])
    if histories:
        known = json.loads(row["history"])
        told["propertiesWithHistory"] = {
            name: _history(known.get(name), properties.get(name), row["created_ms"]) for name in histories
        }
    return told


def _history(changes: list[list[Any]] | None, value: str | None, created_ms: int) -> list[dict[str, Any]]:
    """Newest first, as HubSpot tells it."""
    if changes is None:
        changes = [] if value is None else [[created_ms, value, "CRM_UI"]]
    return [
        {"value": value or "", "timestamp": iso(at), "sourceType": source}
        for at, value, source in changes[::-1]
    ]


def _kind(name: str) -> str:
    if name not in KINDS:
        raise _Refusal(400, "VALIDATION_ERROR", f"Unable to infer object type from: {name}")
    return name


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _within(size: int, most: int, name: str) -> int:
    if not 1 <= size <= most:
        raise _Refusal(400, "VALIDATION_ERROR", f"{name} must lie between 1 and {most}, not {size}")
    return size


def _limited(admitted: Admission) -> JSONResponse:
    policy = admitted.policy or ""
    body = {
        **hubspot_error("RATE_LIMITS", f"You have reached your {policy.lower()} limit."),
        "errorType": "RATE_LIMIT",
        "policyName": policy,
    }
    headers = dict(admitted.headers)
    if admitted.retry_after_s is not None:
        headers["Retry-After"] = f"{max(1.0, admitted.retry_after_s):.0f}"
    return JSONResponse(body, 429, headers=headers)
