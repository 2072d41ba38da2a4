"""The examples in the docstrings of `ml` are true."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import ml

MODULES = sorted(found.name for found in pkgutil.walk_packages(ml.__path__, "ml."))


def test_there_are_modules_to_look_at():
    assert len(MODULES) > 20


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name):
    with np.printoptions(legacy="1.25", precision=8):
        assert doctest.testmod(importlib.import_module(name)).failed == 0
