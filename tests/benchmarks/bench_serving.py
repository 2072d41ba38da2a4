"""`make bench-serving`: how soon a click rate is answered, over HTTP and in process.

A model is trained on the simulated platform with the settings in force, registered in an MLflow of its own,
and asked in four ways on the same machine in the same run: by our service one row at a time, the same
computed ahead, in batches of 100; and by `mlflow models serve` of the same version. Each is asked over one
kept-alive connection, one call after the other, and by several at once for the throughput. In process, the
exported bundle is compared with the native ensemble. Figures are milliseconds unless their name says
otherwise.
"""

from __future__ import annotations

import http.client
import json
import math
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import redis

from include.config import thresholds
from include.db import make_engine
from include.serving.predictions.ahead import VersionToWarm, compute_ahead, probable_rows
from include.simulator import WorldConfig
from include.simulator.loading import load_world
from ml.ctr import CtrTraining, train_ctr
from ml.ctr.bundle import check_parity, export_bundle
from ml.ctr.bundle_runtime import Bundle
from ml.features import FeatureFrame, build_ad_features
from ml.registry import connect, record_training, register, training_key
from nightshift.train_model import ctr_settings
from tests.benchmarks.embedded import embedded_postgres
from tests.benchmarks.reporting import print_table, write_figures
from tests.benchmarks.serving_stack import (
    KEY,
    mlflow_model_program,
    mlflow_program,
    redis_program,
    serving_program,
)
from tests.ml.simulated import simulated_rows

WORLD = WorldConfig()
DAY = date(2026, 4, 4)
CALLS, WARM_UP = 3000, 200
AT_ONCE = 4
SENT = ("niche", "hook_type", "persona", "cta", "format", "visual_pattern", "duration_s", "visual_tag_count")


def main() -> int:
    """Measure, print, keep."""
    features = build_ad_features(simulated_rows(WORLD))
    training = train_ctr(features, ctr_settings(thresholds().ctr))
    figures, rows = in_process(training, features)
    with tempfile.TemporaryDirectory() as name, mlflow_program(Path(name)) as mlflow:
        _register(mlflow, training, features)
        with embedded_postgres() as database, redis_program() as redis_port:
            engine = make_engine(database)
            load_world(engine, WORLD)
            probable = list(probable_rows(engine, DAY, thresholds()))
            with serving_program(database, mlflow, redis_port, Path(name)) as url:
                bodies = [_body(row) for row in probable[:: max(1, len(probable) // 1000)]]
                singles = measure(url, "/api/predictions/ctr", bodies, "computed")
                bundle = Bundle(export_bundle(training.model))
                with redis.Redis(port=redis_port) as client:
                    began = time.perf_counter()
                    warmed = compute_ahead(
                        engine, client, [VersionToWarm("ctr", 1, bundle)], DAY, thresholds()
                    )
                    seconds = time.perf_counter() - began
                ahead = measure(url, "/api/predictions/ctr", bodies, "precomputed")
                hundreds = [_batch(probable, begin) for begin in range(0, 2000, 100)]
                batches = measure(url, "/api/predictions/ctr/batch", hundreds, None, calls=400)
            engine.dispose()
        with mlflow_model_program(mlflow, "models:/ctr/1") as url:
            theirs = measure(url, "/invocations", _their_bodies(features), None, calls=600)
    figures |= {
        "single_p50_ms": singles["p50"],
        "single_p99_ms": singles["p99"],
        "single_per_s": singles["per_s"],
        "precomputed_p50_ms": ahead["p50"],
        "precomputed_p99_ms": ahead["p99"],
        "precomputed_per_s": ahead["per_s"],
        "batch100_p50_ms": batches["p50"],
        "batch100_p99_ms": batches["p99"],
        "batch100_rows_per_s": batches["per_s"] * 100,
        "mlflow_single_p50_ms": theirs["p50"],
        "mlflow_single_p99_ms": theirs["p99"],
        "mlflow_single_per_s": theirs["per_s"],
        "precomputed_times_faster_than_mlflow": theirs["p50"] / ahead["p50"],
        "precomputed_rows": float(warmed.rows),
        "precomputed_rows_per_s": warmed.rows / seconds,
    }
    rows += [
        _row("ours, one row, computed", singles, 1),
        _row("ours, one row, computed ahead", ahead, 1),
        _row("ours, 100 rows", batches, 100),
        _row("mlflow models serve, one row", theirs, 1),
    ]
    print_table(["over HTTP (in process above the line)", "p50 ms", "p99 ms", "rows/s"], rows)
    print(f"largest difference between bundle and model: {figures['parity_max_abs']:.1e}")  # noqa: T201
    print(f"computed ahead: {warmed.rows:,} rows in {seconds:.1f} s")  # noqa: T201
    print(write_figures("serving", figures))  # noqa: T201
    return 0


def in_process(training: CtrTraining, features: FeatureFrame) -> tuple[dict[str, float], list[list[str]]]:
    """One row at a time through the bundle and through the native ensemble."""
    model = training.model
    content = export_bundle(model)
    bundle = Bundle(content)
    frames = [features.X.iloc[[place]] for place in range(500)]
    plain = [_plain(frame.iloc[0].to_dict()) for frame in frames]
    ours = _times([lambda row=row: bundle.predict([row]) for row in plain] * 6)
    native = _times([lambda frame=frame: model.predict(frame) for frame in frames])
    figures = {
        "inprocess_p50_ms": _percentile(ours, 50),
        "inprocess_p99_ms": _percentile(ours, 99),
        "native_p50_ms": _percentile(native, 50),
        "native_p99_ms": _percentile(native, 99),
        "inprocess_times_faster_than_native": _percentile(native, 50) / _percentile(ours, 50),
        "parity_max_abs": check_parity(model, content, features.X),
        "bundle_mb": len(content) / 1e6,
    }
    rows = [
        ["bundle, in process", *_shown(figures["inprocess_p50_ms"], figures["inprocess_p99_ms"], 0)],
        ["native ensemble, in process", *_shown(figures["native_p50_ms"], figures["native_p99_ms"], 0)],
    ]
    return figures, rows


def measure(
    url: str, path: str, bodies: Sequence[bytes], source: str | None, calls: int = CALLS
) -> dict[str, float]:
    """Times of calls one after the other, then calls a second from several at once.

    Raises:
        RuntimeError: an answer is no success, or does not come from `source`.
    """
    asked = [bodies[number % len(bodies)] for number in range(WARM_UP + calls)]
    times = _ask(url, path, asked, source)[WARM_UP:]
    share = asked[: calls // AT_ONCE]
    threads = [threading.Thread(target=_ask, args=(url, path, share, None)) for _ in range(AT_ONCE)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    return {
        "p50": _percentile(times, 50),
        "p99": _percentile(times, 99),
        "per_s": len(share) * AT_ONCE / seconds,
    }


def _ask(url: str, path: str, bodies: Sequence[bytes], source: str | None) -> list[float]:
    where = urlsplit(url)
    link = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    headers = {"content-type": "application/json", "x-api-key": KEY}
    times = []
    for number, body in enumerate(bodies):
        began = time.perf_counter()
        link.request("POST", path, body, headers)
        answer = link.getresponse()
        content = answer.read()
        times.append(time.perf_counter() - began)
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {content[:500]!r}")
        if source and number % 50 == 0 and json.loads(content)["source"] != source:
            raise RuntimeError(f"a rate should have been {source}: {content[:500]!r}")
    link.close()
    return times


def _register(mlflow: str, training: CtrTraining, features: FeatureFrame) -> None:
    client = connect(mlflow)
    key = training_key(
        model="ctr", fingerprint=features.fingerprint(), feature_set=features.feature_set, settings={}
    )
    register(
        client,
        record_training(
            training,
            features,
            key=key,
            model="ctr",
            scope="all",
            settings={},
            trained_for=DAY,
            git_commit="benchmark",
            trigger="manual",
            reason="bench-serving",
        ),
    )


def _body(row: dict[str, Any]) -> bytes:
    sent = {name: row[name] for name in SENT if row.get(name) is not None}
    return json.dumps({"account_id": row["account_id"], "features": sent}).encode()


def _batch(rows: Sequence[dict[str, Any]], begin: int) -> bytes:
    some = [json.loads(_body(rows[(begin + number) % len(rows)])) for number in range(100)]
    return json.dumps({"rows": some}).encode()


def _their_bodies(features: FeatureFrame) -> list[bytes]:
    """Rows as `mlflow models serve` takes them."""
    return [
        json.dumps({"dataframe_records": [_plain(features.X.iloc[place].to_dict())]}).encode()
        for place in range(300)
    ]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if value is None or (isinstance(value, float) and math.isnan(value)) else value
        for name, value in row.items()
    }


def _times(calls: Sequence[Callable[[], Any]]) -> list[float]:
    for call in calls[:100]:
        call()
    times = []
    for call in calls:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return times


def _percentile(seconds: Sequence[float], percent: float) -> float:
    return float(np.percentile(seconds, percent)) * 1000


def _row(name: str, told: dict[str, float], rows: int) -> list[str]:
    return [name, *_shown(told["p50"], told["p99"], told["per_s"] * rows)]


def _shown(p50: float, p99: float, per_s: float) -> list[str]:
    return [f"{p50:.3f}", f"{p99:.3f}", f"{per_s:,.0f}" if per_s else ""]


if __name__ == "__main__":
    raise SystemExit(main())
