"""GPU readings: taken where there is a driver, and never invented where there is none."""

from types import SimpleNamespace

import pytest

from ml.visual.gpu import UNAVAILABLE, GpuMonitor, bottleneck


class Driver:
    """Stands in for NVML of a machine with one GPU, whose readings are set."""

    NVML_GPM_METRICS_GET_VERSION = 1

    def __init__(self, active=(), hopper=True):
        self.active, self.hopper, self.freed = list(active), hopper, 0

    def nvmlInit(self): ...  # noqa: N802

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return index

    def nvmlDeviceGetUtilizationRates(self, device):  # noqa: N802
        return SimpleNamespace(gpu=100)

    def nvmlDeviceGetMemoryInfo(self, device):  # noqa: N802
        return SimpleNamespace(used=2**30)

    def nvmlDeviceGetPowerUsage(self, device):  # noqa: N802
        raise RuntimeError("NVMLError_NotSupported")

    def nvmlDeviceGetDecoderUtilization(self, device):  # noqa: N802
        return (7, 1000)

    def nvmlGpmSampleAlloc(self):  # noqa: N802
        if not self.hopper:
            raise RuntimeError("NVMLError_NotSupported")
        return object()

    def nvmlGpmSampleGet(self, device, sample): ...  # noqa: N802

    def nvmlGpmSampleFree(self, sample):  # noqa: N802
        self.freed += 1

    def c_nvmlGpmMetricsGet_t(self):  # noqa: N802
        return SimpleNamespace(metrics=[SimpleNamespace(value=0.0)])

    def nvmlGpmMetricsGet(self, asked):  # noqa: N802
        assert asked.metrics[0].metricId == 2
        asked.metrics[0].value = self.active.pop(0)


def monitor(driver, waited_s=lambda: 0.0):
    made = GpuMonitor(3600, waited_s, driver)
    made.start()
    return made


def test_without_a_driver_everything_is_unavailable():
    made = GpuMonitor(0.01, lambda: 0.0)
    made.start()
    made.stop()
    told = made.told(0.9)

    assert told["state"] == UNAVAILABLE
    assert told["why"]
    assert told["sm_active_target"] == UNAVAILABLE
    assert 0 not in told.values()


@pytest.mark.parametrize(("active", "fate"), [((95.0, 97.0), "met"), ((95.0, 40.0), "missed")])
def test_the_target_is_about_stretches_full_of_work(active, fate):
    waited = iter([0.0, 0.0, 0.0, 3600.0])
    driver = Driver([*active, 0.0])
    made = monitor(driver, lambda: next(waited))
    for _ in range(4):
        made.look()
    told = made.told(0.9)
    made.stop()

    assert told["sm_active_target"] == fate
    assert told["sm_active"] == pytest.approx(sum(active) / 200)
    assert (told["looks"], told["looks_with_work"]) == (4, 2)
    assert driver.freed == 3


def test_what_a_gpu_does_not_tell_is_unavailable_and_the_rest_is_told():
    made = monitor(Driver(hopper=False))
    made.look()
    told = made.told(0.9)
    made.stop()

    assert told["utilisation"] == 1.0
    assert told["memory_mb"] == 1024
    assert told["decoder"] == 0.07
    assert told["power_w"] == told["sm_active"] == told["sm_active_target"] == UNAVAILABLE


@pytest.mark.parametrize(
    ("spent", "cause"),
    [
        ({"starved_s": 6, "decode_s": 9, "fetch_s": 1}, "decoding"),
        ({"starved_s": 6, "decode_s": 1, "fetch_s": 9}, "fetching"),
        ({"compute_s": 6}, "computing"),
        ({"transfer_s": 6}, "transferring"),
        ({"load_s": 6}, "loading"),
    ],
)
def test_the_cause_is_named(spent, cause):
    names = ("load_s", "starved_s", "compute_s", "transfer_s", "fetch_s", "decode_s")

    assert bottleneck(wall_s=10, **{**dict.fromkeys(names, 0.0), **spent})["cause"] == cause
