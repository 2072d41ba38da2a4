"""What Prometheus is told, on a registry of this service's own."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Metrics:
    """Counters of predictions, and gauges that are read when they are asked for."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._rows = Counter(
            "nightshift_predictions", "Predictions given", ["model", "source"], registry=self._registry
        )
        self._latency = Histogram(
            "nightshift_prediction_seconds",
            "Time of a call without HTTP",
            ["size"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._refused = Counter(
            "nightshift_predictions_refused",
            "Calls without a prediction",
            ["reason"],
            registry=self._registry,
        )
        self._version = Gauge(
            "nightshift_model_version", "Version that answers", ["model", "alias"], registry=self._registry
        )

    def answered(self, model: str, sources: Sequence[str], seconds: float, rows: int) -> None:
        """A call was answered."""
        for source, count in Count(sources).items():
            self._rows.labels(model, source).inc(count)
        self._latency.labels("single" if rows == 1 else "batch").observe(seconds)

    def refused(self, reason: str) -> None:
        """A call was refused."""
        self._refused.labels(reason).inc()

    def watch(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Have a gauge read whenever metrics are asked for."""
        Gauge(name, help_text, registry=self._registry).set_function(read)

    def page(self, served: Mapping[str, Any]) -> bytes:
        """Everything in Prometheus' text form."""
        self._version.clear()
        for name, each in served.items():
            self._version.labels(name, "champion").set(each.champion.number)
            if each.challenger is not None:
                self._version.labels(name, "challenger").set(each.challenger.number)
        return bytes(generate_latest(self._registry))
