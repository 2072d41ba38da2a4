"""Creatives as they are stored, turned into a column per feature.

What a video's analysis measured counts before what the creative's own columns and its DNA say; a value that
is none of its kind is unknown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from ml.features.creative_definitions import CREATIVE_FEATURES, CreativeFeature


def describe_creatives(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """A column per feature of `CREATIVE_FEATURES`, and `is_analysed`.

    Args:
        rows: account_id, creative_id, the columns of `ads.creative` that features name, `dna` and, of
            its video's analysis, `measured`: both as JSON text or None.

    Returns:
        One row per creative, in order. Numbers are floats, levels text, tags lists of text; null is
        unknown.
    """
    columns: dict[str, list[Any]] = {"account_id": [], "creative_id": [], "is_analysed": []}
    columns |= {feature.name: [] for feature in CREATIVE_FEATURES}
    for row in rows:
        dna, measured = _parsed(row.get("dna")), _parsed(row.get("measured"))
        columns["account_id"].append(row["account_id"])
        columns["creative_id"].append(row["creative_id"])
        columns["is_analysed"].append(bool(measured))
        for feature in CREATIVE_FEATURES:
            columns[feature.name].append(_value(feature, row, dna, measured))
    kinds: dict[str, Any] = {"number": pl.Float64, "level": pl.String, "tags": pl.List(pl.String)}
    schema: dict[str, Any] = {"account_id": pl.String, "creative_id": pl.String, "is_analysed": pl.Boolean}
    schema |= {feature.name: kinds[feature.kind] for feature in CREATIVE_FEATURES}
    return pl.DataFrame(columns, schema=schema)


def _value(
    feature: CreativeFeature, row: Mapping[str, Any], dna: Mapping[str, Any], measured: Mapping[str, Any]
) -> Any:
    if feature.kind == "tags":
        tags = row.get(feature.column or "")
        return sorted({str(tag) for tag in tags}) if tags is not None else None
    found: Any = None
    if feature.measured is not None:
        found = _of_kind(feature, measured.get(feature.measured))
    if found is None and feature.column is not None:
        found = _of_kind(feature, row.get(feature.column))
    if found is None and feature.dna is not None:
        value: Any = dna
        for key in feature.dna:
            value = value.get(key) if isinstance(value, Mapping) else None
        found = _of_kind(feature, value)
        if feature.kind == "number" and found is not None:
            found *= feature.dna_scale
    return found


def _of_kind(feature: CreativeFeature, value: Any) -> Any:
    if feature.kind == "level":
        return value if isinstance(value, str) and value else None
    if value is None or isinstance(value, bool | str):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _parsed(value: Any) -> Mapping[str, Any]:
    found = json.loads(value) if isinstance(value, str) else value
    return found if isinstance(found, Mapping) else {}
