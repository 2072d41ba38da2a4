"""Who meets which model."""

import hashlib

import pytest

from ml.experiments import Arm, ExperimentSettingsInvalid, assign, bucket

UNITS = [f"account-{n}" for n in range(20_000)]


def challengers(share, salt="ctr-1"):
    return {unit for unit in UNITS if assign(unit, salt=salt, challenger_share=share) is Arm.CHALLENGER}


def test_a_unit_meets_the_same_arm_every_time():
    assert challengers(0.1) == challengers(0.1)


def test_the_bucket_is_the_hash_an_analyst_would_compute():
    digest = hashlib.blake2b(b"ctr-1:account-7", digest_size=8).digest()
    assert bucket("account-7", "ctr-1") == int.from_bytes(digest, "big") * 10_000 >> 64


def test_the_share_is_kept():
    assert len(challengers(0.1)) / len(UNITS) == pytest.approx(0.1, abs=0.01)


def test_a_larger_share_keeps_those_already_in_the_challenger_arm():
    assert challengers(0.01) < challengers(0.1) < challengers(0.5)


def test_another_salt_draws_anew():
    both = challengers(0.1) & challengers(0.1, salt="ctr-2")
    assert len(both) / len(UNITS) == pytest.approx(0.01, abs=0.004)


def test_all_or_nothing_is_possible():
    assert not challengers(0.0)
    assert len(challengers(1.0)) == len(UNITS)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ExperimentSettingsInvalid, match="challenger_share"):
        assign("account-1", salt="ctr-1", challenger_share=share)
