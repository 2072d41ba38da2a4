"""The routes with which a test does to HubSpot's records what people and other programs do to them."""

from __future__ import annotations

import random
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from include.sandbox.hubspot_feed import encoded
from include.sandbox.hubspot_limits import USUAL, HubSpotLimits
from include.sandbox.hubspot_seed import many_deals
from include.sandbox.hubspot_store import HubSpotStore

Kind = Literal["deals", "contacts", "companies"]


class _Order(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Merge(_Order):
    """Merge `loser` into `winner`."""

    object_type: Kind = "deals"
    winner: int
    loser: int


class Archive(_Order):
    """Put records into the recycle bin."""

    object_type: Kind = "deals"
    ids: list[int]


class DeletePipeline(_Order):
    """Delete a pipeline and its stages for good; its deals go on naming it."""

    pipeline_id: str


class DeleteStage(_Order):
    """Delete one stage for good."""

    pipeline_id: str
    stage_id: str


class AddStage(_Order):
    """Make a stage."""

    pipeline_id: str
    stage_id: str
    label: str
    probability: float = 0.5
    is_closed: bool = False


class Touch(_Order):
    """Stamp deals as modified at one moment: the given ones, or all of a pipeline."""

    ids: list[int] = []
    pipeline_id: str | None = None


class SetProperty(_Order):
    """Set one property of one record."""

    object_type: Kind = "deals"
    id: int
    property: str
    value: str | None


class AddProperty(_Order):
    """Make a property, or give it another type."""

    object_type: Kind = "deals"
    name: str
    type: Literal["string", "number", "date", "datetime", "enumeration", "bool"] = "string"
    fieldType: str = "text"  # noqa: N815 - HubSpot's name


class DropProperty(_Order):
    """Delete a property."""

    object_type: Kind = "deals"
    name: str


class Seed(_Order):
    """Make `count` deals with histories, contacts and companies."""

    count: Annotated[int, Field(ge=1, le=1_000_000)]
    seed: int = 7


class Work(_Order):
    """A day's work of the people who sell: a `share` of the deals changes stage or amount now."""

    share: Annotated[float, Field(gt=0, le=1)] = 0.01
    seed: int = 7


def hubspot_control_router(store: HubSpotStore, limits: HubSpotLimits) -> APIRouter:
    """The routes below `/control/hubspot`; the caller sees to the key."""
    router = APIRouter(prefix="/hubspot")
    state = store.state

    @router.post("/merge")
    def merge(wanted: Merge) -> dict[str, Any]:
        store.catch_up()
        if not store.merge(wanted.object_type, wanted.winner, wanted.loser):
            raise HTTPException(404, f"{wanted.winner} and {wanted.loser} are no two {wanted.object_type}")
        return {"merged": wanted.loser}

    @router.post("/archive")
    def archive(wanted: Archive) -> dict[str, Any]:
        store.catch_up()
        return {"archived": store.archive(wanted.object_type, wanted.ids)}

    @router.post("/delete_pipeline")
    def delete_pipeline(wanted: DeletePipeline) -> dict[str, Any]:
        store.catch_up()
        with state.writing() as db:
            db.execute("DELETE FROM hubspot_stage WHERE pipeline_id = ?", (wanted.pipeline_id,))
            gone = db.execute("DELETE FROM hubspot_pipeline WHERE id = ?", (wanted.pipeline_id,)).rowcount
        return {"deleted": gone}

    @router.post("/delete_stage")
    def delete_stage(wanted: DeleteStage) -> dict[str, Any]:
        store.catch_up()
        with state.writing() as db:
            gone = db.execute(
                "DELETE FROM hubspot_stage WHERE pipeline_id = ? AND id = ?",
                (wanted.pipeline_id, wanted.stage_id),
            ).rowcount
        return {"deleted": gone}

    @router.post("/add_stage")
    def add_stage(wanted: AddStage) -> dict[str, Any]:
        store.catch_up()
        now, closed = store.now_ms(), "true" if wanted.is_closed else "false"
        with state.writing() as db:
            (last,) = db.execute(
                "SELECT coalesce(max(display_order), -1) FROM hubspot_stage WHERE pipeline_id = ?",
                (wanted.pipeline_id,),
            ).fetchone()
            db.execute(
                "INSERT INTO hubspot_stage VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET label = excluded.label, probability = excluded.probability",
                (
                    wanted.pipeline_id,
                    wanted.stage_id,
                    wanted.label,
                    last + 1,
                    str(wanted.probability),
                    closed,
                    now,
                    now,
                ),
            )
        return {"added": wanted.stage_id}

    @router.post("/touch")
    def touch(wanted: Touch) -> dict[str, Any]:
        store.catch_up()
        ids = list(wanted.ids)
        if wanted.pipeline_id is not None:
            rows = state.rows(
                "SELECT id FROM hubspot_object WHERE type = 'deals' AND merged_into IS NULL"
                " AND json_extract(properties, '$.pipeline') = ?",
                (wanted.pipeline_id,),
            )
            ids += [row["id"] for row in rows]
        return {"touched": store.touch("deals", ids)}

    @router.post("/set")
    def set_property(wanted: SetProperty) -> dict[str, Any]:
        store.catch_up()
        if not store.change(wanted.object_type, wanted.id, {wanted.property: wanted.value}):
            raise HTTPException(404, f"no {wanted.object_type} {wanted.id}")
        return {"set": wanted.property}

    @router.post("/add_property")
    def add_property(wanted: AddProperty) -> dict[str, Any]:
        store.catch_up()
        values = (wanted.object_type, wanted.name, wanted.type, wanted.fieldType, wanted.name, encoded([]))
        with state.writing() as db:
            db.execute(
                "INSERT INTO hubspot_property VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET type = excluded.type, field_type = excluded.field_type",
                values,
            )
        return {"added": wanted.name}

    @router.post("/drop_property")
    def drop_property(wanted: DropProperty) -> dict[str, Any]:
        store.catch_up()
        with state.writing() as db:
            gone = db.execute(
                "DELETE FROM hubspot_property WHERE object_type = ? AND name = ?",
                (wanted.object_type, wanted.name),
            ).rowcount
        return {"dropped": gone}

    @router.post("/limits")
    def set_limits(values: dict[str, float]) -> dict[str, float]:
        if unknown := sorted(set(values) - set(USUAL)):
            raise HTTPException(422, f"no limits {', '.join(unknown)}: there are {', '.join(USUAL)}")
        return limits.set(values)

    @router.post("/seed")
    def seed(wanted: Seed) -> dict[str, Any]:
        store.catch_up()
        made = many_deals(wanted.count, wanted.seed, store.now_ms())
        store.furnish(made.pipelines, made.owners)
        store.add(made.records, made.links)
        return {"deals": wanted.count, "records": len(made.records)}

    @router.post("/work")
    def work(wanted: Work) -> dict[str, Any]:
        store.catch_up()
        stages: dict[str, list[str]] = {}
        for row in state.rows("SELECT pipeline_id, id FROM hubspot_stage ORDER BY display_order"):
            stages.setdefault(row["pipeline_id"], []).append(row["id"])
        rows = state.rows(
            "SELECT id, json_extract(properties, '$.pipeline') AS pipeline FROM hubspot_object"
            " WHERE type = 'deals' AND merged_into IS NULL AND archived_ms IS NULL ORDER BY id"
        )
        draw = random.Random(wanted.seed)
        chosen = draw.sample(rows, max(1, round(wanted.share * len(rows)))) if rows else []
        values: dict[int, dict[str, str | None]] = {
            row["id"]: {
                "dealstage": draw.choice(stages[row["pipeline"]]),
                "amount": f"{draw.uniform(100, 9000):.2f}",
            }
            for row in chosen
            if row["pipeline"] in stages
        }
        return {"changed": store.change_many("deals", values)}

    return router
