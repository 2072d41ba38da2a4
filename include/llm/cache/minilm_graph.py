"""Writes all-MiniLM-L6-v2 as an ONNX graph from its safetensors, so that neither torch nor a hub is needed.

The model is BERT (Devlin et al. 2019) with 6 layers, 12 heads and 384 dimensions; a text's vector is the mean
of its tokens', scaled to length 1 (Reimers and Gurevych 2019). Inputs: `input_ids` and `attention_mask`,
int64, (texts, tokens). Outputs: `vectors`, float32, (texts, 384), and `states`, each token's own, at length
1.
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

# Raised when the graph changes, so that an older file is not taken for it.
VERSION = 2
LAYERS, HEADS, WIDTH = 6, 12, 384
EPSILON = 1e-12
OPSET = 17
# Added to the scores of padding: far enough below zero that softmax gives it nothing.
MASKED = -1e4


def graph_file(weights: Path, folder: Path) -> Path:
    """The graph of these weights in `folder`, written there when it is not. Two writers do no harm."""
    with weights.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()[:16]
    target = folder / f"minilm-{digest}-v{VERSION}.onnx"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".minilm-", suffix=".onnx")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_model(weights).SerializeToString())
            Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)
    return target


def _model(weights: Path) -> Any:
    from onnx import TensorProto, helper
    from safetensors.numpy import load_file

    graph = _Graph(load_file(weights))
    graph.embed()
    for layer in range(LAYERS):
        graph.attend(f"encoder.layer.{layer}.attention.")
        graph.think(f"encoder.layer.{layer}.")
    graph.pool()
    shape = ["texts", "tokens"]
    built = helper.make_graph(
        graph.nodes,
        "all-minilm-l6-v2",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in graph.inputs],
        [
            helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["texts", WIDTH]),
            helper.make_tensor_value_info("states", TensorProto.FLOAT, [*shape, WIDTH]),
        ],
        graph.constants,
    )
    model = helper.make_model(built, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = 8
    return model


class _Graph:
    """Nodes in order; `x` names the value that flows from one part to the next."""

    inputs = ("input_ids", "attention_mask")

    def __init__(self, weights: dict[str, Any]) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.x = ""

    def embed(self) -> None:
        """Words, places and the one kind of sentence there is, added and normed."""
        words = self._op("Gather", self._weight("embeddings.word_embeddings.weight"), "input_ids")
        length = self._op("Shape", "input_ids", start=1, end=2)
        begin, one = self._const("zero", [0]), self._const("one", [1])
        places = self._weight("embeddings.position_embeddings.weight")
        here = self._op("Slice", places, begin, length, begin, one)
        kind = self._const("kind", self.weights["embeddings.token_type_embeddings.weight"][0])
        total = self._op("Add", self._op("Add", words, here), kind)
        self.x = self._norm(total, "embeddings.LayerNorm.")
        mask = self._op("Cast", "attention_mask", to=1)
        self.mask = self._op("Unsqueeze", mask, self._const("last", [2]))
        gone = self._op("Sub", self._const("whole", np.float32(1)), mask)
        bias = self._op("Mul", gone, self._const("masked", np.float32(MASKED)))
        self.bias = self._op("Unsqueeze", bias, self._const("heads_and_from", [1, 2]))

    def attend(self, at: str) -> None:
        """Self-attention, and the way round it."""
        q, k, v = (self._heads(f"{at}self.{name}.") for name in ("query", "key", "value"))
        turned = self._op("Transpose", k, perm=[0, 1, 3, 2])
        scale = self._const("scale", np.float32((WIDTH // HEADS) ** -0.5))
        scores = self._op("Add", self._op("Mul", self._op("MatMul", q, turned), scale), self.bias)
        mixed = self._op("MatMul", self._op("Softmax", scores, axis=-1), v)
        flat = self._op("Transpose", mixed, perm=[0, 2, 1, 3])
        flat = self._op("Reshape", flat, self._const("flat", [0, 0, WIDTH]))
        out = self._dense(flat, f"{at}output.dense.")
        self.x = self._norm(self._op("Add", out, self.x), f"{at}output.LayerNorm.")

    def think(self, at: str) -> None:
        """The feed-forward part with its exact GELU, and the way round it."""
        inner = self._dense(self.x, f"{at}intermediate.dense.")
        erf = self._op("Erf", self._op("Div", inner, self._const("root", np.float32(2**0.5))))
        grown = self._op("Mul", inner, self._op("Add", erf, self._const("whole", np.float32(1))))
        inner = self._op("Mul", grown, self._const("half", np.float32(0.5)))
        out = self._dense(inner, f"{at}output.dense.")
        self.x = self._norm(self._op("Add", out, self.x), f"{at}output.LayerNorm.")

    def pool(self) -> None:
        """The mean over what is no padding, at length 1."""
        tokens = self._const("tokens", [1])
        total = self._op("ReduceSum", self._op("Mul", self.x, self.mask), tokens, keepdims=0)
        count = self._op("ReduceSum", self.mask, tokens, keepdims=0)
        mean = self._op("Div", total, count)
        size = self._op("ReduceL2", mean, axes=[1], keepdims=1)
        self.nodes.append(_node("Div", [mean, size], "vectors"))
        lengths = self._op("ReduceL2", self.x, axes=[2], keepdims=1)
        self.nodes.append(_node("Div", [self.x, lengths], "states"))

    def _heads(self, at: str) -> str:
        wide = self._dense(self.x, at)
        split = self._op("Reshape", wide, self._const("split", [0, 0, HEADS, WIDTH // HEADS]))
        return self._op("Transpose", split, perm=[0, 2, 1, 3])

    def _dense(self, value: str, at: str) -> str:
        kernel = self._const(f"{at}kernel", np.ascontiguousarray(self.weights[f"{at}weight"].T))
        return self._op("Add", self._op("MatMul", value, kernel), self._weight(f"{at}bias"))

    def _norm(self, value: str, at: str) -> str:
        scale, bias = self._weight(f"{at}weight"), self._weight(f"{at}bias")
        return self._op("LayerNormalization", value, scale, bias, axis=-1, epsilon=EPSILON)

    def _weight(self, name: str) -> str:
        return self._const(name, self.weights[name])

    def _const(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        if name not in {constant.name for constant in self.constants}:
            array = np.asarray(value)
            self.constants.append(numpy_helper.from_array(array, name))
        return name

    def _op(self, kind: str, *values: str, **attributes: Any) -> str:
        output = f"v{len(self.nodes)}"
        self.nodes.append(_node(kind, list(values), output, **attributes))
        return output


def _node(kind: str, values: list[str], output: str, **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(kind, values, [output], **attributes)
