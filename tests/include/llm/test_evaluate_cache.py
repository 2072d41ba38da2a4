from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest

from include.llm.cache.embedder import default_embedder
from include.llm.cache.evaluation import evaluate_pairs, in_first_half
from include.llm.cache.evaluation_files import (
    EvaluationFileInvalid,
    read_pairs,
    read_paraphrases,
    read_stream,
)
from include.llm.cache.promise.learning import groups_of
from include.llm.evaluate_cache import main
from tests.benchmarks.cache_questions import PHRASINGS, composed, labelled


def csv_file(path: Path, rows) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def test_pairs_keep_the_promise_on_unseen_halves_and_beat_fixed_thresholds(tmp_path, capsys):
    rows = [(pair.a, pair.b, int(pair.is_same)) for pair in labelled(1_200)]
    file = csv_file(tmp_path / "pairs.csv", [("question1", "question2", "is_duplicate"), *rows])
    assert main(["--pairs", str(file), "--delta", "0.05"]) == 0
    told = capsys.readouterr().out
    assert "promise kept on 2 of 2 halves" in told
    assert "more hits than the best fixed threshold that is wrong as rarely on 2 of 2" in told
    for fixed in ("0.80", "0.99"):
        assert f"\n{fixed} " in told


def test_real_question_pairs_keep_the_promise_where_they_are_at_hand(shared_data):
    pairs = read_pairs(shared_data / "semantic_pairs" / "question_pairs_dev.csv")[:4_000]
    found = evaluate_pairs(pairs, default_embedder(), [0.05], confidence=0.95)
    for half in found.promised[0.05]:
        assert 0 < half.learnt.wrong_rate <= 0.05
        assert half.learnt.hits > half.best_at_same_rate.hits


def test_halves_share_no_question():
    pairs = [("a", "b"), ("b", "c"), ("d", "e"), ("f", "g"), ("g", "h"), ("i", "j")] * 3
    groups = groups_of(pairs)
    first = in_first_half(groups, seed=1)
    questions = [{text for pair, here in zip(pairs, first == side, strict=True) if here for text in pair}
                 for side in (True, False)]  # fmt: skip
    assert questions[0]
    assert not questions[0] & questions[1]


def test_a_stream_is_replayed_with_exact_hits_and_learns_as_it_goes(tmp_path, capsys):
    texts, intents = composed(900)
    drawn = random.Random(2)
    asked = [(text, "/".join(intent)) for text, intent in zip(texts, intents, strict=True)]
    asked += drawn.choices(asked, k=100)
    file = csv_file(tmp_path / "stream.csv", [("text", "class"), *asked])
    assert main(["--stream", str(file), "--delta", "0.05"]) == 0
    told = capsys.readouterr()
    assert "1000 questions of" in told.out
    assert "exact hits 1" in told.out or "exact hits 9" in told.out
    assert "the promise of 5.0% was kept" in told.out
    assert "after 200 observations" in told.err


def test_paraphrases_are_measured_as_gptcache_does(tmp_path, capsys):
    told = [
        {"origin": PHRASINGS[0].format(product=p, audience=a, aspect="price"),
         "similar": PHRASINGS[1].format(product=p, audience=a, aspect="price")}
        for p in ("shoes", "solar panels", "cheese") for a in ("students", "founders", "nurses")
    ]  # fmt: skip
    file = tmp_path / "mock.json"
    file.write_text(json.dumps(told))
    assert main(["--paraphrases", str(file)]) == 0
    assert "learnt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty; expected a header text_a,text_b,is_duplicate"),
        ("text_a,other,is_duplicate\n", "column text_b is missing"),
        ("text_a,text_b,is_duplicate\n", "has a header but no rows"),
        ("text_a,text_b,is_duplicate\na,b,1\nc,d,maybe\n", "row 3, column is_duplicate: 'maybe' is no label"),
        ("text_a,text_b,is_duplicate\na,b\n", "row 2: has 2 columns, but the header has 3"),
        ('text_a,text_b,is_duplicate\n"a,b,1\n', "is not CSV"),
    ],
)
def test_a_bad_file_of_pairs_is_refused_in_one_sentence(tmp_path, capsys, content, said):
    file = tmp_path / "pairs.csv"
    file.write_text(content)
    assert main(["--pairs", str(file)]) == 1
    told = capsys.readouterr().err
    assert str(file) in told
    assert said in told
    assert len(told.strip().splitlines()) == 1


def test_other_bad_files_are_refused_too(tmp_path, capsys):
    assert main(["--stream", str(tmp_path / "none.csv")]) == 1
    assert "cannot be read (No such file" in capsys.readouterr().err
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"text,class\n\xff\xfe,1\n")
    with pytest.raises(EvaluationFileInvalid, match="not UTF-8"):
        read_stream(binary)
    empty = csv_file(tmp_path / "stream.csv", [("text", "class"), ("Why?", " ")])
    with pytest.raises(EvaluationFileInvalid, match="row 2, column class"):
        read_stream(empty)
    shape = tmp_path / "mock.json"
    shape.write_text('[{"origin": "a"}]')
    with pytest.raises(EvaluationFileInvalid, match="element 1: 'similar'"):
        read_paraphrases(shape)


def test_a_promise_that_is_no_share_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--pairs", "x.csv", "--delta", "5"])
    assert "no share between 0 and 1" in capsys.readouterr().err
