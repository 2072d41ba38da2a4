from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from include.config import thresholds
from include.llm.cache.embedder import (
    LONGEST,
    MiniLmEmbedder,
    OpenAIEmbedder,
    embedder_of,
    model_folder,
)
from include.llm.cache.minilm_graph import graph_file
from include.llm.errors import EmbedderUnavailable
from include.llm.vendors.openai import openai_client

TEXTS = [
    "Why does this hook win?",
    "How do I learn Python quickly?",
    "",
    "Zürich – größer, 東京 🚀",
    "long " * 600,
]


def by_torch(text: str) -> np.ndarray:
    """all-MiniLM-L6-v2 written once more, from the paper and the weights' names."""
    weights = load_file(model_folder() / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    ids = torch.tensor(tokenizer.encode(text or " ").ids)

    def dense(x, name):
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(x, name):
        return F.layer_norm(x, (384,), weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-12)

    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(6):
        at = f"encoder.layer.{layer}"
        heads = [
            dense(x, f"{at}.attention.self.{part}").view(-1, 12, 32).transpose(0, 1)
            for part in ("query", "key", "value")
        ]
        seen = F.scaled_dot_product_attention(*heads).transpose(0, 1).reshape(-1, 384)
        x = norm(dense(seen, f"{at}.attention.output.dense") + x, f"{at}.attention.output.LayerNorm")
        inner = F.gelu(dense(x, f"{at}.intermediate.dense"))
        x = norm(dense(inner, f"{at}.output.dense") + x, f"{at}.output.LayerNorm")
    return F.normalize(x.mean(dim=0), dim=0).numpy()


def test_vectors_are_those_of_an_independent_forward_pass(embedder):
    expected = np.stack([by_torch(text) for text in TEXTS])
    assert np.abs(embedder.embed(TEXTS) - expected).max() < 1e-5


def test_a_text_alone_and_in_a_batch_has_the_same_vector(embedder):
    alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
    assert np.abs(embedder.embed(TEXTS) - alone).max() < 1e-5
    assert np.allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-5)


def test_paraphrases_are_nearer_than_other_questions(embedder):
    asked, paraphrase, other = embedder.embed(
        ["How do I learn Python quickly?", "What is the fastest way to learn Python?", "The price of tea"]
    )
    assert asked @ paraphrase > 0.85
    assert abs(asked @ other) < 0.2


def test_text_without_letters_or_with_broken_characters_has_a_vector(embedder):
    for odd in ("", "   ", "\x00", "a\ud800b", "\U0001f680" * 300):
        vector = embedder.embed([odd])[0]
        assert np.isfinite(vector).all()
        assert abs(np.linalg.norm(vector) - 1) < 1e-5


def test_what_comes_after_the_longest_text_is_not_read(embedder):
    words = "word " * 400
    assert np.array_equal(embedder.embed([words + "cat"]), embedder.embed([words + "dog"]))


def test_no_texts_have_no_vectors(embedder):
    assert embedder.embed([]).shape == (0, 384)


def test_builders_at_the_same_time_leave_one_whole_graph(tmp_path):
    made: list[Path] = []
    weights = model_folder() / "model.safetensors"
    builders = [threading.Thread(target=lambda: made.append(graph_file(weights, tmp_path))) for _ in range(3)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert len(set(made)) == 1
    assert [file.name for file in tmp_path.iterdir()] == [made[0].name]


def test_one_embedder_serves_many_threads():
    shared, found = MiniLmEmbedder(threads=1), []
    threads = [threading.Thread(target=lambda: found.append(shared.embed(TEXTS[:2]))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert all(np.array_equal(found[0], each) for each in found)


def test_openai_embeds_by_configuration(sandbox):
    settings = thresholds().llm.cache.model_copy(update={"embedder": "openai", "openai_dimensions": 384})
    with openai_client(sandbox.openai_url, sandbox.api_key, timeout_s=10) as client:
        embedder = embedder_of(settings, client)
        assert isinstance(embedder, OpenAIEmbedder)
        vectors = embedder.embed(["one", "", "one"])
    assert vectors.shape == (3, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors[0], vectors[2])
    assert embedder.name == "openai/text-embedding-3-small/384"


def test_openai_without_a_connection_says_what_to_set():
    settings = thresholds().llm.cache.model_copy(update={"embedder": "openai"})
    with pytest.raises(EmbedderUnavailable, match="openai_default"):
        embedder_of(settings)
