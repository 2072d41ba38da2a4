"""What a killed run leaves is used as far as it is whole, and only by whom it belongs to."""

import numpy as np
import pytest

from ml.visual.checkpoint import Checkpoint

BATCHES = [np.random.default_rng(n).random((4, 8)).astype("float32") for n in range(3)]


@pytest.fixture
def path(tmp_path):
    with Checkpoint(tmp_path / "a.part", "key", 8) as kept:
        for batch in BATCHES:
            kept.add(batch)
    return tmp_path / "a.part"


def found(path, key="key", dimensions=8):
    with Checkpoint(path, key, dimensions) as kept:
        return kept.batches


def test_batches_come_back(path):
    assert np.array_equal(np.stack(found(path)), np.stack(BATCHES))


@pytest.mark.parametrize("cut", [1, 100, 151, 152, 153, 300])
def test_whatever_is_cut_off_the_whole_batches_stay(path, cut):
    record = 24 + 4 * 8 * 4
    path.write_bytes(path.read_bytes()[:-cut])

    assert len(found(path)) == 3 - -(-cut // record)


def test_a_flipped_bit_ends_what_is_believed(path):
    content = bytearray(path.read_bytes())
    content[-200] ^= 1
    path.write_bytes(content)

    assert len(found(path)) == 1


def test_another_key_starts_anew(path):
    assert found(path, "other") == []
    assert found(path) == []


def test_going_on_after_a_cut_writes_what_an_undisturbed_run_writes(path, tmp_path):
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with Checkpoint(path, "key", 8) as kept:
        kept.add(BATCHES[2])

    assert path.read_bytes() == whole
