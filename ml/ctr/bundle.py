"""The whole model as one ONNX file: named columns in, a click rate out, and no Python library to read it.

Text columns are turned into codes, numbers into float32, infinities into missing values; trees, network,
weights, calibration and niches follow, all in one graph. It is what the prediction service runs, and what
runs where there is no Python. `check_parity` compares it with the model it came from, and nothing is
registered that does not agree.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper, numpy_helper

from ml.ctr.errors import ParityFailed
from ml.ctr.graph_trees import TreeTable
from ml.ctr.lightgbm_member import LightgbmMember
from ml.ctr.member import log_odds_of
from ml.ctr.mlp_member import _FURTHEST, MlpMember
from ml.ctr.model import CONSTANT, CtrModel
from ml.ctr.niche import COLUMN
from ml.ctr.xgboost_member import XgboostMember

OUTPUT = "ctr"
# Largest difference of a rate that the bundle may show.
TOLERANCE = 1e-6

_OPSET, _ML_OPSET, _IR = 17, 3, 8


class _Graph:
    """Nodes and constants being gathered."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._names = 0

    def constant(self, value: np.ndarray) -> str:
        name = self._name("c")
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = self._name(kind.lower())
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def f32(self, value: float) -> str:
        return self.constant(np.array(value, dtype="float32"))

    def _name(self, stem: str) -> str:
        self._names += 1
        return f"{stem}_{self._names}"


def export_bundle(model: CtrModel) -> bytes:
    """The model as ONNX.

    Inputs are its columns by name, each (n, 1): text for categories, where anything unknown or empty counts
    as missing, and double for numbers, NaN for missing. Output `ctr` is (n, 1) float, `log_odds` beside it.
    """
    graph = _Graph()
    encoder = model.encoder
    inputs = [
        helper.make_tensor_value_info(
            name, TensorProto.STRING if name in encoder.levels_ else TensorProto.DOUBLE, ["n", 1]
        )
        for name in encoder.columns_
    ]
    columns = [_encoded(graph, model, name) for name in encoder.columns_]
    matrix = graph.add("Concat", *columns, axis=1)
    margin = _global_margin(graph, model, matrix, columns)
    margin = _with_niches(graph, model, matrix, columns, margin)
    graph.nodes.append(helper.make_node("Identity", [margin], ["log_odds"]))
    graph.nodes.append(helper.make_node("Sigmoid", [margin], [OUTPUT]))
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in (OUTPUT, "log_odds")
    ]
    proto = helper.make_model(
        helper.make_graph(graph.nodes, "ctr", inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)],
        ir_version=_IR,
        producer_name="nightshift",
    )
    told = {
        "feature_set": model.feature_set,
        "categories": json.dumps([name for name in encoder.columns_ if name in encoder.levels_]),
        "numbers": json.dumps([name for name in encoder.columns_ if name not in encoder.levels_]),
    }
    helper.set_model_props(proto, told)
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


def check_parity(model: CtrModel, bundle: bytes, rows: pd.DataFrame, seed: int = 0) -> float:
    """Compare bundle and model on real rows and on made-up and broken ones.

    Args:
        model: what the bundle came from.
        bundle: as `export_bundle` made it.
        rows: real rows of features.
        seed: of the made-up ones.

    Returns:
        The largest difference of a rate.

    Raises:
        ParityFailed: it is above 1e-6, or not a number; the message names the worst row's columns.
    """
    from ml.ctr.bundle_runtime import Bundle

    served = Bundle(bundle)
    worst = 0.0
    for frame in (rows, probing_rows(model, rows, seed)):
        native, exported = model.predict(frame), served.predict_frame(frame)
        gap = np.abs(native - exported)
        if not np.isfinite(gap).all() or gap.max() > TOLERANCE:
            place = int(np.argmax(np.where(np.isfinite(gap), gap, np.inf)))
            told = {name: frame[name].iloc[place] for name in list(frame.columns)[:6]}
            raise ParityFailed(
                f"the exported bundle predicts {exported[place]:.8f} where the model predicts "
                f"{native[place]:.8f} (row with {told}): it is not registered; this is a fault of "
                "ml/ctr/bundle.py, not of the data"
            )
        worst = max(worst, float(gap.max()) if len(gap) else 0.0)
    return worst


def probing_rows(model: CtrModel, rows: pd.DataFrame, seed: int, count: int = 4000) -> pd.DataFrame:
    """Rows that look for trouble: shuffled columns, unknown levels, gaps, zeros, infinities, and values right
    at the trees' thresholds and one float32 beside them."""
    random = np.random.default_rng(seed)
    thresholds = _thresholds(model)
    made: dict[str, Any] = {}
    for place, name in enumerate(model.encoder.columns_):
        known = rows[name].to_numpy() if name in rows and len(rows) else np.array([np.nan])
        drawn = known[random.integers(len(known), size=count)]
        broken = random.random(count)
        if name in model.encoder.levels_:
            levels = np.array([*model.encoder.levels_[name], "never seen", ""], dtype=object)
            drawn = np.where(
                broken < 0.3, levels[random.integers(len(levels), size=count)], drawn.astype(object)
            )
            made[name] = pd.Series(
                [None if gap else value for gap, value in zip(broken > 0.9, drawn, strict=True)],
                dtype="object",
            )
            continue
        numbers = pd.to_numeric(pd.Series(drawn), errors="coerce").to_numpy("float64").copy()
        edges = thresholds.get(place)
        if edges is not None:
            at = edges[random.integers(len(edges), size=count)]
            beside = np.nextafter(at, random.choice([-np.inf, np.inf], size=count).astype("float32"))
            numbers = np.where(broken < 0.4, np.where(broken < 0.2, at, beside), numbers)
        odd = random.choice([0.0, np.nan, np.inf, -np.inf, 1e30, -1.0], size=count)
        made[name] = pd.Series(np.where(broken > 0.85, odd, numbers), dtype="float64")
    return pd.DataFrame(made)


def _thresholds(model: CtrModel) -> dict[int, np.ndarray]:
    """Column -> float32 values that trees compare with."""
    table = TreeTable()
    for member in model.members:
        if isinstance(member, XgboostMember):
            table.add_xgboost(member.booster_, 0)
        elif isinstance(member, LightgbmMember):
            table.add_lightgbm(member.booster_, 0)
    for booster in model.niches.boosters_.values():
        table.add_xgboost(booster, 0)
    found: dict[int, set[float]] = {}
    for feature, value, mode in zip(
        table.nodes["featureids"], table.nodes["values"], table.nodes["modes"], strict=True
    ):
        if mode in ("BRANCH_LT", "BRANCH_LEQ"):
            found.setdefault(feature, set()).add(value)
    return {feature: np.array(sorted(values), dtype="float32") for feature, values in found.items()}


def _encoded(graph: _Graph, model: CtrModel, name: str) -> str:
    """(n, 1) float32 of a column: codes or a finite number, NaN for missing."""
    nan = graph.f32(np.nan)
    if name in model.encoder.levels_:
        levels = model.encoder.levels_[name]
        if not levels:
            # Nothing learnt: always missing. Multiplied with the length of the text to keep its shape.
            coded = graph.add(
                "LabelEncoder",
                name,
                domain="ai.onnx.ml",
                keys_strings=[""],
                values_floats=[0.0],
                default_float=0.0,
            )
            return graph.add("Add", coded, nan)
        return graph.add(
            "LabelEncoder",
            name,
            domain="ai.onnx.ml",
            keys_strings=list(levels),
            values_floats=[float(code) for code in range(len(levels))],
            default_float=float("nan"),
        )
    # As the encoder does: what is infinite as a double is missing; what only float32 cannot hold is infinite.
    infinite = graph.add("IsInf", name)
    small = graph.add("Cast", name, to=TensorProto.FLOAT)
    return graph.add("Where", infinite, nan, small)


def _global_margin(graph: _Graph, model: CtrModel, matrix: str, columns: list[str]) -> str:
    """(n, 1) calibrated log-odds of the ensemble."""
    intercept, slope = model.calibration.intercept, model.calibration.slope
    fixed = model.weights.get(CONSTANT, 0.0) * float(log_odds_of(model.constant))
    table = TreeTable()
    weights: list[float] = []
    parts = []
    for member in model.members:
        weight = model.weights[member.name] * slope
        if isinstance(member, XgboostMember):
            fixed += model.weights[member.name] * table.add_xgboost(member.booster_, len(weights))
            weights.append(weight)
        elif isinstance(member, LightgbmMember):
            table.add_lightgbm(member.booster_, len(weights))
            weights.append(weight)
        elif isinstance(member, MlpMember):
            parts.append(graph.add("Mul", _network(graph, member, columns), graph.f32(weight)))
    if table.trees:
        sums = _trees(graph, table, matrix, len(weights))
        parts.append(graph.add("MatMul", sums, graph.constant(np.array(weights, dtype="float32")[:, None])))
    start = graph.f32(intercept + slope * fixed)
    if not parts:
        # The constant: zero for each row, whatever its columns hold.
        shape = graph.add("Shape", matrix)
        rows = graph.add("Slice", shape, *(graph.constant(np.array([n], dtype="int64")) for n in (0, 1)))
        wide = graph.add("Concat", rows, graph.constant(np.array([1], dtype="int64")), axis=0)
        return graph.add("Expand", start, wide)
    total = parts[0]
    for part in parts[1:]:
        total = graph.add("Add", total, part)
    return graph.add("Add", total, start)


def _network(graph: _Graph, member: MlpMember, columns: list[str]) -> str:
    """(n, 1) log-odds of the neural member."""
    state = {name: value.numpy() for name, value in member.network_.state_dict().items()}
    inside = []
    one = graph.f32(1.0)
    zero = graph.f32(0.0)
    for number, place in enumerate(member._codes):
        missing = graph.add("IsNaN", columns[place])
        code = graph.add("Where", missing, zero, graph.add("Add", columns[place], one))
        index = graph.add("Cast", code, to=TensorProto.INT64)
        flat = graph.add("Reshape", index, graph.constant(np.array([-1], dtype="int64")))
        inside.append(graph.add("Gather", graph.constant(state[f"embeddings.{number}.weight"]), flat))
    if member._numbers:
        numbers = graph.add("Concat", *(columns[place] for place in member._numbers), axis=1)
        missing = graph.add("IsNaN", numbers)
        scaled = graph.add(
            "Div",
            graph.add("Sub", numbers, graph.constant(state["center"])),
            graph.constant(state["scale"]),
        )
        held = graph.add("Clip", scaled, graph.f32(-_FURTHEST), graph.f32(_FURTHEST))
        inside.append(graph.add("Where", missing, zero, held))
        inside.append(graph.add("Cast", missing, to=TensorProto.FLOAT))
    hidden = graph.add("Concat", *inside, axis=1)
    for layer in ("first", "second"):
        hidden = graph.add(
            "Relu",
            graph.add(
                "Gemm",
                hidden,
                graph.constant(state[f"{layer}.weight"]),
                graph.constant(state[f"{layer}.bias"]),
                transB=1,
            ),
        )
    return graph.add(
        "Gemm", hidden, graph.constant(state["last.weight"]), graph.constant(state["last.bias"]), transB=1
    )


def _with_niches(graph: _Graph, model: CtrModel, matrix: str, columns: list[str], margin: str) -> str:
    """(n, 1) log-odds with each row's niche's trees added: all are summed, the row's own is picked."""
    boosters = model.niches.boosters_
    if not boosters:
        return margin
    table = TreeTable()
    for target, booster in enumerate(boosters.values()):
        table.add_xgboost(booster, target)
    names = model.encoder.levels_[COLUMN]
    codes = np.array([[float(names.index(niche)) for niche in boosters]], dtype="float32")
    own = graph.add("Equal", columns[model.encoder.columns_.index(COLUMN)], graph.constant(codes))
    picked = graph.add(
        "Mul", _trees(graph, table, matrix, len(boosters)), graph.add("Cast", own, to=TensorProto.FLOAT)
    )
    axes = graph.constant(np.array([1], dtype="int64"))
    return graph.add("Add", margin, graph.add("ReduceSum", picked, axes, keepdims=1))


def _trees(graph: _Graph, table: TreeTable, matrix: str, targets: int) -> str:
    output = graph._name("trees")
    graph.nodes.append(table.node(output, matrix, output, targets))
    return output
