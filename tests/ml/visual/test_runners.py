"""Batches through a network: begun ahead, or replayed from a recording, they give the same answers."""

import numpy as np
import pytest
import torch
from torch import nn

from ml.visual.model import Architecture
from ml.visual.runners import CudaRunner, Runner

KNOWN = Architecture("drawn", 32, (0.45,) * 3, (0.225,) * 3, 24)
BATCHES = [np.random.default_rng(n).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8) for n in range(4)]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


def network():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 24, 3, stride=2), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ).eval()  # fmt: skip


class Curious(nn.Module):
    """A network that asks the device something on the way, which no recording can answer."""

    def __init__(self):
        super().__init__()
        self.inner = network().to("cuda")

    def forward(self, inputs):
        return self.inner(inputs) if inputs.mean().item() > -100 else inputs


def said_on_cpu(frames):
    return Runner(network(), torch.float32, KNOWN, "cpu").run(frames)


def test_pixels_are_scaled_as_the_network_expects():
    runner = Runner(nn.Flatten(), torch.float32, KNOWN, "cpu")
    white = np.full((1, 32, 32, 3), 255, np.uint8)

    assert np.allclose(runner.run(white), (1 - 0.45) / 0.225)
    assert runner.spent.compute_s > 0


@needs_cuda
def test_replayed_batches_say_what_written_ones_say():
    written = CudaRunner(network().to("cuda"), torch.float32, KNOWN, 0)
    replaying = CudaRunner(network().to("cuda"), torch.float32, KNOWN, 8)
    batches = [*BATCHES, BATCHES[0][:5]]

    begun = [replaying.start(batch) for batch in batches]  # All of them before the first is read.
    found = [each.rows() for each in begun]

    assert all(each.replayed for each in begun)
    assert [len(rows) for rows in found] == [8, 8, 8, 8, 5]
    for rows, batch in zip(found, batches, strict=True):
        assert np.allclose(rows, written.run(batch), atol=1e-5)
        assert np.allclose(rows, said_on_cpu(batch), atol=1e-2)
    assert not written.start(BATCHES[0]).replayed


@needs_cuda
def test_small_batches_are_not_filled_up():
    runner = CudaRunner(network().to("cuda"), torch.float32, KNOWN, 8)

    begun = runner.start(BATCHES[0][:3])

    assert np.allclose(begun.rows(), said_on_cpu(BATCHES[0][:3]), atol=1e-2)
    assert not begun.replayed


@needs_cuda
def test_a_network_that_cannot_be_recorded_runs_as_written():
    runner = CudaRunner(Curious(), torch.float32, KNOWN, 8)

    begun = [runner.start(batch) for batch in BATCHES[:2]]

    assert not any(each.replayed for each in begun)
    assert np.allclose(begun[1].rows(), said_on_cpu(BATCHES[1]), atol=1e-2)


@needs_cuda
def test_runs_repeat_to_the_last_digit():
    first, second = (
        [CudaRunner(network().to("cuda"), torch.float32, KNOWN, 8).run(batch) for batch in BATCHES]
        for _ in range(2)
    )

    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
