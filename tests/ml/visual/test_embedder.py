"""The network on its device: batches that fit, and precision only where it is faithful."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from ml.visual import embedder as module
from ml.visual.embedder import Embedder
from ml.visual.errors import VisualModelUnusable
from ml.visual.keys import Precision
from ml.visual.model import VisualModel
from ml.visual.precision import compare, judge, lowered, probes
from ml.visual.settings import Fidelity

FRAMES = probes(96)[:20]


class Cramped(nn.Module):
    """A network on a device with room for so many frames."""

    def __init__(self, network: nn.Module, room: int) -> None:
        super().__init__()
        self.network, self.room, self.sizes = network, room, []

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(inputs))
        if len(inputs) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.network(inputs)


@dataclass(frozen=True)
class CrampedModel(VisualModel):
    """A model whose network finds room for so many frames."""

    room: int = 5

    def network(self) -> nn.Module:
        return Cramped(super().network(), self.room)


def test_a_batch_that_does_not_fit_is_halved_until_it_does(model):
    exact = Embedder(model, "fp32", 16, Fidelity()).embed(FRAMES)
    embedder = Embedder(CrampedModel(model.folder), "fp32", 16, Fidelity())
    found = embedder.embed(FRAMES)

    assert embedder.batch == 4
    assert embedder.work.halvings == 2
    assert embedder.work.frames == 20
    assert embedder.work.batches == 5
    assert np.abs(found - exact).max() < 1e-4


def test_halving_is_told_in_the_summary_and_changes_no_result(monkeypatch, make_job, other_clip, model):
    whole = make_job("whole")
    whole.run([other_clip], "--model", str(model.folder), "--sampling", "all", "--batch", "32")
    # The job finds its model itself, and no processor runs out of memory when asked to: the room is planted.
    plain = VisualModel.network
    monkeypatch.setattr(VisualModel, "network", lambda self: Cramped(plain(self), 9))
    small = make_job("small")
    told = small.run([other_clip], "--model", str(model.folder), "--sampling", "all", "--batch", "32")

    assert (told["batch"], told["batch_halvings"], told["forwards"]) == (8, 2, 50)
    assert small.result(0) == whole.result(0)


def test_no_room_for_a_single_frame_is_said(model):
    with pytest.raises(VisualModelUnusable, match="no memory for a single frame"):
        Embedder(CrampedModel(model.folder, 0), "fp32", 4, Fidelity()).embed(FRAMES)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_faster_arithmetic_is_used_where_it_passes(transformer, precision):
    lenient = Fidelity(cosine=0.9, overlap=0.3)
    embedder = Embedder(transformer, precision, 16, lenient)

    assert embedder.verdict.used == precision
    assert "is faithful" in embedder.verdict.why
    assert embedder.verdict.cosine > 0.9
    assert embedder.work.frames == 0
    assert embedder.embed(probes(160)[:4]).shape == (4, 64)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_faster_arithmetic_that_fails_falls_back_to_the_same_answers(transformer, precision):
    strict = Fidelity(cosine=0.999999999, overlap=1.0)
    embedder = Embedder(transformer, precision, 16, strict)
    exact = Embedder(transformer, "fp32", 16, strict).embed(probes(160)[:4])

    assert embedder.verdict.used is Precision.FP32
    assert embedder.verdict.asked == precision
    assert "fp32, because" in embedder.verdict.why
    assert np.array_equal(embedder.embed(probes(160)[:4]), exact)


def test_the_summary_says_what_became_of_the_precision(make_job, other_clip, transformer):
    told = make_job().run(
        [other_clip], "--model", str(transformer.folder), "--precision", "bf16",
        fidelity={"cosine": 0.999999999},
    )  # fmt: skip

    assert told["precision"]["asked"] == "bf16"
    assert told["precision"]["used"] == "fp32"
    assert told["precision"]["cosine"] < 0.999999999


def test_a_result_of_fp32_answers_whoever_asks_for_less(make_job, other_clip, model):
    work = make_job()
    work.run([other_clip], "--model", str(model.folder), "--precision", "fp32")

    assert work.run([other_clip], "--model", str(model.folder), "--precision", "bf16")["cache_hits"] == 1


def test_a_network_without_such_layers_is_not_called_int8(model):
    network, why = lowered(model.network(), Precision.INT8, "cpu")

    assert network is not None or "no layers" in why


def test_the_gate_sees_swapped_neighbours_and_turned_vectors():
    exact = np.random.default_rng(1).normal(size=(64, 32))
    turned = exact + np.random.default_rng(2).normal(size=exact.shape) * 0.2

    assert compare(exact, exact * 3, 10) == (pytest.approx(1.0), 1.0)
    assert judge(Precision.BF16, exact, exact, Fidelity()).used is Precision.BF16
    assert judge(Precision.BF16, exact, turned, Fidelity()).used is Precision.FP32
    assert judge(Precision.BF16, exact, np.full_like(exact, np.nan), Fidelity()).used is Precision.FP32
    one = exact.copy()
    one[5] *= -1
    assert judge(Precision.BF16, exact, one, Fidelity()).cosine == pytest.approx(-1.0)


def test_probes_are_always_the_same():
    assert np.array_equal(probes(32), probes(32))
    assert len({picture.tobytes() for picture in probes(32)}) == 64


def test_the_digest_names_weights_and_description(model, tmp_path):
    import shutil

    copied = VisualModel(shutil.copytree(model.folder, tmp_path / "copy"))
    assert copied.digest == model.digest
    weights = tmp_path / "copy" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert VisualModel(tmp_path / "copy").digest != model.digest


def test_weights_of_another_network_are_refused(model, transformer, tmp_path):
    import shutil

    mixed = shutil.copytree(model.folder, tmp_path / "mixed")
    shutil.copy(transformer.folder / "weights.safetensors", mixed)

    with pytest.raises(VisualModelUnusable, match="does not fit test_resnet"):
        VisualModel(mixed).network()


def test_a_wrong_length_in_the_description_is_seen(model, tmp_path):
    import shutil

    wrong = shutil.copytree(model.folder, tmp_path / "wrong")
    description = wrong / "visual_model.json"
    description.write_text(description.read_text().replace('"dimensions": 96', '"dimensions": 97'))

    with pytest.raises(VisualModelUnusable, match="96 numbers a frame"):
        Embedder(VisualModel(wrong), "fp32", 4, Fidelity()).embed(FRAMES)


def test_the_device_is_found_by_itself():
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"

    assert module.find_device() == expected
