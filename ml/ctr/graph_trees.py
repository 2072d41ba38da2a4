"""Boosted trees as an ONNX tree ensemble, read from the libraries' own dumps.

The usual converters are silently wrong for several kinds of models (continued boosters, rates as labels,
named columns), so what the boosters say about themselves is walked here: every threshold, every direction of
missing values, every set of categories. Thresholds are compared in float32, as rows are; a float64 threshold
is rounded down, so that `x <= threshold` stays true for the same float32 x.

A set of categories becomes a chain of "equals" nodes that share the branch they lead to, which is how ONNX
Runtime's own converters write it and what it turns back into one set.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import lightgbm
import numpy as np
import onnx
import xgboost

_LEAF = "LEAF"


@dataclass
class TreeTable:
    """Nodes and leaves of many trees with several outputs, as ONNX's TreeEnsembleRegressor has them.

    `target` is the output a tree adds to, and `weight` what its leaves are multiplied with.
    """

    nodes: dict[str, list[Any]] = field(
        default_factory=lambda: {
            name: []
            for name in (
                "treeids",
                "nodeids",
                "featureids",
                "values",
                "modes",
                "truenodeids",
                "falsenodeids",
                "missing_value_tracks_true",
            )
        }
    )
    leaves: dict[str, list[Any]] = field(
        default_factory=lambda: {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    )
    trees: int = 0

    def add_xgboost(self, booster: xgboost.Booster, target: int) -> float:
        """Add all trees of a booster; returns its base margin, which is not part of any tree."""
        learner = json.loads(booster.save_raw("json"))["learner"]
        for tree in learner["gradient_booster"]["model"]["trees"]:
            self._add_xgboost_tree(tree, target)
        return _base_margin(learner)

    def add_lightgbm(self, booster: lightgbm.Booster, target: int) -> None:
        """Add all trees of a booster."""
        for tree in booster.dump_model()["tree_info"]:
            builder = _Tree(self, target)
            builder.lightgbm(tree["tree_structure"])
            builder.close()

    def node(self, name: str, data: str, output: str, targets: int) -> onnx.NodeProto:
        """The ONNX node that sums the leaves of all trees into (n, targets)."""
        modes = self.nodes["modes"]
        attributes: dict[str, Any] = {
            **{f"nodes_{key}": values for key, values in self.nodes.items() if key != "modes"},
            **{f"target_{key}": values for key, values in self.leaves.items()},
        }
        return onnx.helper.make_node(
            "TreeEnsembleRegressor",
            [data],
            [output],
            name=name,
            domain="ai.onnx.ml",
            n_targets=targets,
            aggregate_function="SUM",
            post_transform="NONE",
            nodes_hitrates=[1.0] * len(modes),
            nodes_modes=modes,
            **attributes,
        )

    def _add_xgboost_tree(self, tree: Mapping[str, Any], target: int) -> None:
        sets = _category_sets(tree)
        builder = _Tree(self, target)

        def walk(node: int) -> int:
            left, right = tree["left_children"][node], tree["right_children"][node]
            if left == -1:
                return builder.leaf(float(tree["split_conditions"][node]))
            feature, missing_left = tree["split_indices"][node], bool(tree["default_left"][node])
            if node in sets:
                # Categories of the set go right; with an empty chain there would be nothing to test.
                return builder.chain(
                    feature,
                    sets[node],
                    missing_in=not missing_left,
                    inside=lambda: walk(right),
                    outside=lambda: walk(left),
                )
            return builder.split(
                feature,
                "BRANCH_LT",
                float(tree["split_conditions"][node]),
                missing_left,
                lambda: walk(left),
                lambda: walk(right),
            )

        walk(0)
        builder.close()


class _Tree:
    """One tree being written: children after their parents, each with a number of its own."""

    def __init__(self, table: TreeTable, target: int) -> None:
        self.table, self.target, self.number, self.next = table, target, table.trees, 0

    def close(self) -> None:
        self.table.trees += 1

    def leaf(self, value: float) -> int:
        node = self._node(0, 0.0, _LEAF, False)
        leaves = self.table.leaves
        leaves["treeids"].append(self.number)
        leaves["nodeids"].append(node)
        leaves["ids"].append(self.target)
        leaves["weights"].append(value)
        return node

    def split(self, feature: int, mode: str, value: float, missing_true: bool, true: Any, false: Any) -> int:
        node = self._node(feature, value, mode, missing_true)
        self._link(node, true(), false())
        return node

    def chain(
        self, feature: int, categories: list[int], *, missing_in: bool, inside: Any, outside: Any
    ) -> int:
        """`feature in categories`, one comparison after the other; all lead to the same node inside."""
        nodes = [self._node(feature, float(category), "BRANCH_EQ", missing_in) for category in categories]
        shared = inside()
        for node, following in itertools.pairwise(nodes):
            self._link(node, shared, following)
        self._link(nodes[-1], shared, outside())
        return nodes[0]

    def lightgbm(self, node: Mapping[str, Any]) -> int:
        if "leaf_value" in node and "split_feature" not in node:
            return self.leaf(float(node["leaf_value"]))
        left, right = node["left_child"], node["right_child"]
        feature = int(node["split_feature"])
        if node["decision_type"] == "==":
            categories = [int(each) for each in str(node["threshold"]).split("||")]
            return self.chain(
                feature,
                categories,
                missing_in=False,
                inside=lambda: self.lightgbm(left),
                outside=lambda: self.lightgbm(right),
            )
        threshold = float(node["threshold"])
        # Where training saw no missing value, LightGBM reads one as zero.
        missing_left = bool(node["default_left"]) if node["missing_type"] == "NaN" else threshold >= 0
        return self.split(
            feature,
            "BRANCH_LEQ",
            _rounded_down(threshold),
            missing_left,
            lambda: self.lightgbm(left),
            lambda: self.lightgbm(right),
        )

    def _node(self, feature: int, value: float, mode: str, missing_true: bool) -> int:
        number, self.next = self.next, self.next + 1
        nodes = self.table.nodes
        for name, each in (
            ("treeids", self.number),
            ("nodeids", number),
            ("featureids", feature),
            ("values", value),
            ("modes", mode),
            ("truenodeids", 0),
            ("falsenodeids", 0),
            ("missing_value_tracks_true", int(missing_true)),
        ):
            nodes[name].append(each)
        return number

    def _link(self, node: int, true: int, false: int) -> None:
        position = len(self.table.nodes["treeids"]) - self.next + node
        self.table.nodes["truenodeids"][position] = true
        self.table.nodes["falsenodeids"][position] = false


def _category_sets(tree: Mapping[str, Any]) -> dict[int, list[int]]:
    """Node -> the categories that go right."""
    return {
        node: [int(each) for each in tree["categories"][begin : begin + size]]
        for node, begin, size in zip(
            tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
        )
    }


def _base_margin(learner: Mapping[str, Any]) -> float:
    """Log-odds of the base score, which newer versions write as a list of one."""
    told = learner["learner_model_param"]["base_score"]
    values = json.loads(told) if isinstance(told, str) else told
    rate = float(values[0] if isinstance(values, list) else values)
    # XGBoost keeps the score as float32 and turns it into a margin in float32.
    small = np.float32(rate)
    return float(-np.log(np.float32(1) / small - np.float32(1)))


def _rounded_down(value: float) -> float:
    """The largest float32 that is not above `value`."""
    near = np.float32(value)
    if float(near) > value:
        near = np.nextafter(near, np.float32(-math.inf))
    return float(near)
