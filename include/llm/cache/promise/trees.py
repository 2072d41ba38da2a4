"""Boosted trees as plain arrays: small enough for a row of the database, read by numpy alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Trees:
    """Trees whose leaves are added up. A leaf is its own two children, so that all paths are equally long.

    Attributes:
        feature, cut, left, right, value: per node; left where the feature is at most the cut.
        roots: one a tree.
        depth: steps to the deepest leaf.
    """

    feature: Places
    cut: Numbers
    left: Places
    right: Places
    value: Numbers
    roots: Places
    depth: int

    def values(self, features: Numbers) -> Numbers:
        """The sum over all trees, shape (rows,)."""
        if not len(self.roots):
            return np.zeros(len(features))
        at = np.broadcast_to(self.roots, (len(features), len(self.roots)))
        rows = np.arange(len(features))[:, None]
        for _ in range(self.depth):
            goes_left = features[rows, self.feature[at]] <= self.cut[at]
            at = np.where(goes_left, self.left[at], self.right[at])
        return np.asarray(self.value[at].sum(axis=1))

    @classmethod
    def of_lightgbm(cls, boosters: Sequence[Any]) -> "Trees":
        """The mean of several boosters' raw scores."""
        nodes: list[tuple[int, float, int, int, float]] = []
        roots: list[int] = []
        depth = 0

        def add(told: Mapping[str, Any], level: int) -> int:
            nonlocal depth
            depth = max(depth, level)
            at = len(nodes)
            if "leaf_value" in told and "split_feature" not in told:
                nodes.append((0, 0.0, at, at, float(f"{told['leaf_value'] / len(boosters):.7g}")))
                return at
            nodes.append((0, 0.0, at, at, 0.0))
            left, right = add(told["left_child"], level + 1), add(told["right_child"], level + 1)
            nodes[at] = (told["split_feature"], float(f"{told['threshold']:.7g}"), left, right, 0.0)
            return at

        for booster in boosters:
            roots += [add(tree["tree_structure"], 0) for tree in booster.dump_model()["tree_info"]]
        return cls._of(nodes, roots, depth)

    @classmethod
    def none(cls) -> "Trees":
        """No tree: adds nothing."""
        return cls._of([], [], 0)

    def as_json(self) -> dict[str, Any]:
        """For the database; leaves as numbers, splits as lists."""
        nodes = [
            value if at == left else [int(feature), cut, int(left), int(right)]
            for at, (feature, cut, left, right, value) in enumerate(
                zip(self.feature, self.cut.tolist(), self.left, self.right, self.value.tolist(), strict=True)
            )
        ]
        return {"nodes": nodes, "roots": self.roots.tolist(), "depth": self.depth}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Trees":
        """What `as_json` gave."""
        nodes = [
            (*node, 0.0) if isinstance(node, list) else (0, 0.0, at, at, float(node))
            for at, node in enumerate(told["nodes"])
        ]
        return cls._of(nodes, told["roots"], told["depth"])

    @classmethod
    def _of(cls, nodes: Sequence[tuple[Any, ...]], roots: Sequence[int], depth: int) -> "Trees":
        feature, cut, left, right, value = zip(*nodes, strict=True) if nodes else ((),) * 5
        return cls(
            np.asarray(feature, dtype=np.int64),
            np.asarray(cut, dtype=np.float64),
            np.asarray(left, dtype=np.int64),
            np.asarray(right, dtype=np.int64),
            np.asarray(value, dtype=np.float64),
            np.asarray(roots, dtype=np.int64),
            depth,
        )
