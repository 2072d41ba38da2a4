"""Who asks the models on a simulated day, and what would be the right answers."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
from sqlalchemy import Engine, RowMapping, text

from include.config import Thresholds
from include.config.llm import Price
from include.llm.bodies import Endpoint
from include.llm.live import Completion
from include.llm.prices import Mode, Usage, cost_of, price_of
from include.llm.questions import Question
from include.llm.tasks import ENVELOPE
from include.simulator.vocabulary import HOOK_TEXTS

# Of the questions of a day.
SHARES = {
    "creative score": 0.45,
    "council, known persona": 0.225,
    "council, new persona": 0.025,
    "hook in use": 0.18,
    "hook in other words": 0.06,
    "hook nobody has seen": 0.06,
}
NEW_PERSONAS = ("gamer", "teacher", "small_business_owner", "caregiver")
NEW_THINGS = ("folding kayak", "tax course", "dog harness", "wall planner", "espresso grinder", "rain jacket")
NEW_KINDS = (
    "cheap", "tiny", "second-hand", "Danish", "waterproof", "silent", "handmade", "rented", "vegan", "heated",
    "wooden", "portable", "award-winning", "solar", "repairable", "bright red", "family-size", "local",
    "old-fashioned", "heavy-duty", "left-handed", "limited", "soft", "fast", "custom", "recycled", "vintage",
)  # fmt: skip
USAGE, LATENCY_MS = Usage(400, 120), 900
# How people retype a hook: none of it changes what kind of hook it is.
RETYPED: tuple[Callable[[str, np.random.Generator], str], ...] = (
    lambda words, drawn: words.lower(),
    lambda words, drawn: words.rstrip(".?!") + drawn.choice(["!", "...", ""]),
    lambda words, drawn: drawn.choice(["Hey, ", "Psst: ", "Listen. ", "OK so "]) + words,
    lambda words, drawn: re.sub(r"\b(this|the|your)\b", drawn.choice(["this", "the", "your", "our"]), words),
    lambda words, drawn: re.sub(r"\b(\d+) ", lambda found: f"{int(found[1]) + 2} ", words),
    lambda words, drawn: words + drawn.choice([" - see why", " (really)", " today", ", honestly"]),
    lambda words, drawn: _without_one_letter(words, drawn),
)


class Truth:
    """Models that answer what is true in the simulated world, without a vendor.

    A score hangs on niche, hook type, picture and persona of a creative; a council's score on what its hook
    means and on the persona; a hook's type on what it means. Wording and length change none of them.
    """

    def __init__(self, engine: Engine, settings: Thresholds) -> None:
        self._settings = settings
        with engine.connect() as conn:
            known = conn.execute(text("SELECT DISTINCT hook_text, hook_type FROM ads.creative")).all()
        # Of every wording: the type of hook, and what else it means the same as.
        self.meanings: dict[str, tuple[str, str]] = {
            row.hook_text: (row.hook_type, row.hook_text) for row in known
        }

    def price(self, provider: str, model: str) -> Price:
        """Of a model, today."""
        return price_of(self._settings.prices, provider, model, datetime.now(UTC).date())

    def answer(
        self, task: str, model: str, params: Mapping[str, Any], endpoint: Endpoint | str
    ) -> dict[str, Any]:
        """The right answer to a question."""
        data = _data(params, endpoint)
        if task == "creative_score":
            known = [data.get(name) for name in ("niche", "hook_type", "visual_pattern", "persona")]
            return {"score": float(_number(task, model, *known)), "critique": "Simulated."}
        if task == "council_score":
            overall = _number(task, model, *self.meanings[data["hook_text"]], data.get("persona"))
            names = ("hook", "persona_fit", "clarity", "credibility", "call_to_action", "overall")
            return {**dict.fromkeys(names, overall), "critique": "Simulated."}
        return {"hook_type": self.meanings[data["words"]][0], "confidence": 0.9}

    def complete(self, question: Question) -> Completion:
        """As `LiveModels` does, at the list's prices for a usual number of tokens."""
        answer = self.answer(question.task, question.model, question.params, question.endpoint)
        cost = cost_of(USAGE, self.price(question.provider, question.model), Mode.LIVE)
        return Completion(json.dumps(answer), USAGE, cost, "end_turn", LATENCY_MS)

    def live_usd(self, question: Question) -> Decimal:
        """What asking it live costs."""
        return cost_of(USAGE, self.price(question.provider, question.model), Mode.LIVE).paid_usd

    def close(self) -> None:
        """Nothing is open."""


class People:
    """Draws what is asked on one day.

    Args:
        creatives, hooks: those that spend on the day, with `spend`: who spends more is asked about more.
    """

    def __init__(
        self,
        creatives: Sequence[RowMapping],
        hooks: Sequence[RowMapping],
        truth: Truth,
        settings: Thresholds,
        drawn: np.random.Generator,
    ) -> None:
        self._creatives, self._hooks, self._drawn = creatives, hooks, drawn
        self._meanings = truth.meanings
        self._members = settings.llm.council.members
        self._personas = settings.llm.warm.personas
        self._of_creatives, self._of_hooks = _by_spend(creatives), _by_spend(hooks)

    def ask(self) -> tuple[str, dict[str, Any]]:
        """A kind of `SHARES`, and what is asked about."""
        drawn = self._drawn
        kind = str(drawn.choice(list(SHARES), p=list(SHARES.values())))
        if kind == "creative score":
            return kind, dict(self._creatives[drawn.choice(len(self._creatives), p=self._of_creatives)])
        hook = dict(self._hooks[drawn.choice(len(self._hooks), p=self._of_hooks)])
        if kind.startswith("council"):
            persona = drawn.choice(NEW_PERSONAS if kind.endswith("new persona") else self._personas)
            creative = {"hook_text": hook["hook_text"], "persona": str(persona), "niche": hook["niche"]}
            member = self._members[drawn.integers(len(self._members))]
            return kind, {"creative": creative, "account_id": hook["account_id"], "member": member}
        if kind == "hook in other words":
            meant = self._meanings[hook["hook_text"]]
            for way in drawn.choice(len(RETYPED), size=drawn.integers(1, 3), replace=False):
                hook["hook_text"] = " ".join(RETYPED[way](hook["hook_text"], drawn).split())
            self._meanings.setdefault(hook["hook_text"], meant)
        if kind == "hook nobody has seen":
            hook_type = str(drawn.choice(list(HOOK_TEXTS)))
            variant = str(drawn.choice(HOOK_TEXTS[hook_type]))
            who = str(drawn.choice(["dog owners", "climbers", "landlords", "bakers"]))
            thing = f"{drawn.choice(NEW_KINDS)} {drawn.choice(NEW_THINGS)}"
            hook["hook_text"] = variant.format(thing=thing, who=who)
            self._meanings.setdefault(hook["hook_text"], (hook_type, hook["hook_text"]))
        return kind, hook


def answer_queue(engine: Engine, truth: Truth) -> Decimal:
    """Answer all that is queued, as batches would have; returns what it cost."""
    paid = Decimal(0)
    with engine.begin() as conn:
        found = conn.execute(
            text("""
            SELECT request_id, purpose, provider, model, params, endpoint
            FROM llm.llm_request WHERE state = 'queued'""")
        ).mappings()
        for row in found.all():
            answer = truth.answer(row["purpose"], row["model"], row["params"], row["endpoint"])
            price = truth.price(row["provider"], row["model"])
            paid += cost_of(USAGE, price, Mode.BATCH).paid_usd
            conn.execute(
                text("""
                UPDATE llm.llm_request SET state = 'succeeded', answer = CAST(:answer AS jsonb),
                       answered_from = 'batch', finished_at = now()
                WHERE request_id = :request_id"""),
                {"answer": json.dumps(answer), "request_id": row["request_id"]},
            )
    return paid


def _data(params: Mapping[str, Any], endpoint: Endpoint | str) -> dict[str, Any]:
    """The JSON that travels in the user's turn."""
    turn = params["input" if endpoint == Endpoint.RESPONSES else "messages"][-1]["content"]
    words = turn if isinstance(turn, str) else turn[0]["text"]
    found = ENVELOPE.fullmatch(words)
    assert found is not None, words[:80]
    return dict(json.loads(found[2]))


def _number(*parts: Any) -> int:
    """A score that is always the same for the same things."""
    told = json.dumps(parts, default=str)
    return int.from_bytes(hashlib.sha256(told.encode()).digest()[:4]) % 101


def _by_spend(rows: Sequence[RowMapping]) -> np.ndarray[Any, np.dtype[np.float64]]:
    spend = np.array([float(row["spend"]) for row in rows])
    return spend / spend.sum()


def _without_one_letter(words: str, drawn: np.random.Generator) -> str:
    at = int(drawn.integers(1, len(words)))
    return words[:at] + words[at + 1 :]
