"""How busy the GPU was, from NVIDIA's own library; what cannot be known is "unavailable", never 0.

"Utilisation" as NVML has it is the share of time in which anything at all ran: a GPU at a twentieth of its
capacity reads 100%. On Hopper and later, NVML also tells how many of its processors were active, and that is
what the target is about, over looks at which there was work.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

UNAVAILABLE = "unavailable"
_SM_UTILISATION = 2  # NVML_GPM_METRIC_SM_UTIL
_LEISURE = 0.02  # Share of a stretch without work that is no more than the clocks' noise.
_READINGS = ("utilisation", "memory_mb", "power_w", "decoder", "sm_active")


class GpuMonitor:
    """Looks at the first GPU again and again, in a thread of its own.

    Args:
        every_s: seconds between looks.
        waited_s: seconds so far in which there was nothing for the GPU to do.
        nvml: the module `pynvml`, or what stands in for it.
    """

    def __init__(self, every_s: float, waited_s: Callable[[], float], nvml: Any = None) -> None:
        self._every_s, self._waited_s = every_s, waited_s
        self._last_look: tuple[float, float] | None = None
        self._nvml = nvml
        self._device: Any = None
        self._why = ""
        self._last_sample: Any = None
        self._readings: dict[str, list[float]] = {name: [] for name in _READINGS}
        self._looks = self._busy_looks = 0
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look; without a driver there is nothing to look at."""
        try:
            self._nvml = self._nvml or importlib.import_module("pynvml")
            self._nvml.nvmlInit()
            self._device = self._nvml.nvmlDeviceGetHandleByIndex(0)
        except Exception as error:  # No module, no driver, no device: each has an error of its own.
            self._why = f"{type(error).__name__}: {error}"
            return
        self._thread = threading.Thread(target=self._watch, name="gpu-monitor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def told(self, sm_active_target: float) -> dict[str, Any]:
        """What was seen: means over all looks, `sm_active` over stretches full of work; the target's fate."""
        if self._device is None:
            return {"state": UNAVAILABLE, "why": self._why[:200], "sm_active_target": UNAVAILABLE}
        means = {
            name: round(float(np.mean(values)), 4) if values else UNAVAILABLE
            for name, values in self._readings.items()
        }
        active = means["sm_active"]
        target = UNAVAILABLE
        if isinstance(active, float):
            target = "met" if active >= sm_active_target else "missed"
        return {
            "state": "seen", "looks": self._looks, "looks_with_work": self._busy_looks, **means,
            "sm_active_target": target,
        }  # fmt: skip

    def _watch(self) -> None:
        while not self._end.wait(self._every_s):
            self.look()

    def look(self) -> None:
        """One look."""
        nvml, device = self._nvml, self._device
        busy = self._was_busy()
        self._looks += 1
        self._busy_looks += busy
        self._note("utilisation", lambda: nvml.nvmlDeviceGetUtilizationRates(device).gpu / 100)
        self._note("memory_mb", lambda: nvml.nvmlDeviceGetMemoryInfo(device).used / 2**20)
        self._note("power_w", lambda: nvml.nvmlDeviceGetPowerUsage(device) / 1000)
        self._note("decoder", lambda: nvml.nvmlDeviceGetDecoderUtilization(device)[0] / 100)
        active = self._sm_active()
        if active is not None and busy:
            self._readings["sm_active"].append(active)

    def _was_busy(self) -> bool:
        """Whether there was work all the time since the last look."""
        now = time.perf_counter(), self._waited_s()
        before, self._last_look = self._last_look, now
        return before is not None and now[1] - before[1] <= _LEISURE * (now[0] - before[0])

    def _note(self, name: str, read: Callable[[], float]) -> None:
        try:
            self._readings[name].append(float(read()))
        except Exception:  # Not every GPU tells everything, and a reading is no reason to stop.
            return

    def _sm_active(self) -> float | None:
        """Share of processors active since the last look; None on the first, and where it is not told."""
        nvml = self._nvml
        try:
            sample = nvml.nvmlGpmSampleAlloc()
            nvml.nvmlGpmSampleGet(self._device, sample)
            before, self._last_sample = self._last_sample, sample
            if before is None:
                return None
            asked = nvml.c_nvmlGpmMetricsGet_t()
            asked.version = nvml.NVML_GPM_METRICS_GET_VERSION
            asked.numMetrics = 1
            asked.sample1, asked.sample2 = before, sample
            asked.metrics[0].metricId = _SM_UTILISATION
            nvml.nvmlGpmMetricsGet(asked)
            nvml.nvmlGpmSampleFree(before)
        except Exception:  # Before Hopper there is no such reading.
            return None
        return float(asked.metrics[0].value) / 100


def bottleneck(
    *, wall_s: float, load_s: float, starved_s: float, compute_s: float, transfer_s: float, fetch_s: float,
    decode_s: float,
) -> dict[str, Any]:  # fmt: skip
    """Shares of the time in which the device waited for its network, starved, computed and copied, and why.

    >>> waiting = {"load_s": 0, "starved_s": 7, "fetch_s": 1, "decode_s": 20}
    >>> bottleneck(wall_s=10, compute_s=2, transfer_s=1, **waiting)["cause"]
    'decoding'
    """
    spent = {"loading": load_s, "starved": starved_s, "computing": compute_s, "transferring": transfer_s}
    shares = {name: seconds / wall_s if wall_s else 0.0 for name, seconds in spent.items()}
    most = max(shares, key=lambda name: shares[name])
    cause = ("decoding" if decode_s >= fetch_s else "fetching") if most == "starved" else most
    return {**{name: round(share, 4) for name, share in shares.items()}, "cause": cause}
