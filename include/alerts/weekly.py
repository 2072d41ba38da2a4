"""The weekly learning report as a Slack message: what was learnt, what it cost, where to look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date

from include.alerts.drift import DECISIONS
from include.alerts.message import (
    Block,
    SlackMessage,
    buttons,
    clip,
    code,
    context,
    escape,
    header,
    link,
    section,
)
from include.alerts.weekly_facts import (
    AdTotals,
    CacheWeek,
    Hook,
    PipelineWeek,
    ScoredCreative,
    Training,
    WeeklyFacts,
)

_SEVERITIES = ("critical", "high", "medium", "low", "none", "cannot_tell")
_WORDS = {"cannot_tell": "cannot tell", "none": "no drift"}


def weekly_key(scope: str, day: date) -> str:
    """The key of the report of the week that ends on `day`: one per scope and last day.

    Not the calendar week: a report asked for on a Tuesday must not keep Sunday's from being sent.
    """
    return f"weekly:{scope}:{day.isoformat()}"


def weekly_summary(facts: WeeklyFacts) -> str:
    """The week in one sentence."""
    if facts.is_empty:
        return f"Week to {facts.until}: nothing was trained, checked, asked or delivered."
    parts = []
    trained = len(facts.trainings) + facts.more_trainings
    parts.append(f"{trained} model version{'s' if trained != 1 else ''} trained")
    parts.append(_worst_drift(facts))
    parts.append(
        f"{_usd(_paid(facts))} spent and {_usd(_saved(facts))} saved on language models"
        if facts.money
        else "no language-model work"
    )
    return f"Week to {facts.until}: {', '.join(parts)}."


def weekly_message(
    facts: WeeklyFacts, *, run_url: str, model_url: Callable[[str, int], str | None]
) -> SlackMessage:
    """The report.

    Args:
        run_url: the page of the run that made it.
        model_url: page of a model version by name and version, `None` where there is none.
    """
    whose = "all accounts" if facts.scope == "all" else f"account {facts.scope}"
    summary = weekly_summary(facts)
    blocks: list[Block] = [
        header(f"🌙 What Nightshift learnt in the week to {facts.until:%-d %B}"),
        context(f"{facts.since:%a %-d %b} to {facts.until:%a %-d %b %Y}, {escape(whose)}"),
        section(escape(summary)),
    ]
    links = {"This run in Airflow": run_url}
    if facts.is_empty:
        blocks.append(
            section(
                "Either no data came in, or the nightly DAGs did not run: "
                "see in Airflow whether they are paused or failing."
            )
        )
    else:
        blocks += [section(text) for text in _paragraphs(facts, model_url)]
        newest = next(iter(facts.trainings), None)
        if newest and (url := model_url(newest.model_name, newest.version)):
            links = {"Newest model in MLflow": url, **links}
    blocks.append(buttons(links))
    return SlackMessage(escape(summary), tuple(blocks))


def _paragraphs(facts: WeeklyFacts, model_url: Callable[[str, int], str | None]) -> list[str]:
    models = [_training(training, model_url) for training in facts.trainings]
    if facts.more_trainings:
        models.append(f"… and {facts.more_trainings} more")
    paragraphs = [_titled("Models", models or ["none trained"]), _titled("Drift", _drift(facts))]
    asked = [_money(facts)] + ([_cache(facts.cache)] if facts.cache else [])
    paragraphs.append(_titled("Language models", asked))
    if facts.ads:
        paragraphs.append(_titled("Ads", [_ads(facts.ads)]))
    if facts.pipeline:
        paragraphs.append(_titled("Pipeline", _pipeline(facts.pipeline)))
    if facts.hooks:
        paragraphs.append(_titled("Hooks with the best CTR", [_hook(hook) for hook in facts.hooks]))
    if facts.best:
        paragraphs.append(_titled("Best-scoring creatives", [_creative(one) for one in facts.best]))
    if facts.worst:
        paragraphs.append(_titled("Worst-scoring creatives", [_creative(one) for one in facts.worst]))
    return paragraphs


def _titled(title: str, lines: list[str]) -> str:
    return "\n".join([f"*{title}*", *(f"•  {line}" for line in lines)])


def _training(training: Training, model_url: Callable[[str, int], str | None]) -> str:
    name, url = (
        f"{training.model_name} v{training.version}",
        model_url(training.model_name, training.version),
    )
    alias = f" ({escape(training.alias)})" if training.alias else ""
    before = training.previous_version
    measures = [
        _against("MAE", training.mae_pp, training.previous_mae_pp, before, "{:.3f} pp"),
        _against(
            "normalised entropy",
            training.normalized_entropy,
            training.previous_normalized_entropy,
            before,
            "{:.4f}",
        ),
    ]
    told = "; ".join(measure for measure in measures if measure) or "no metrics"
    return f"{link(url, name) if url else escape(name)}{alias}: {told}; {training.rows:,} rows"


def _against(name: str, now: float | None, before: float | None, version: int | None, shape: str) -> str:
    """A measure beside that of the version before, without a verdict: each saw other held-out days."""
    if now is None:
        return ""
    if before is None or version is None:
        return f"{name} {shape.format(now)} (the first version)" if version is None else f"{name} {now}"
    return f"{name} {shape.format(now)} (v{version} on its own held-out days: {shape.format(before)})"


def _worst_drift(facts: WeeklyFacts) -> str:
    if not facts.drift:
        return "no drift report"
    worst = min((verdict.severity for verdict in facts.drift), key=_SEVERITIES.index)
    return {"none": "no drift", "cannot_tell": "drift cannot be told"}.get(worst, f"{worst} drift at worst")


def _drift(facts: WeeklyFacts) -> list[str]:
    if not facts.drift:
        return ["no report was made"]
    counts = Counter(verdict.severity for verdict in facts.drift)
    days = ", ".join(
        f"{counts[severity]} x {_WORDS.get(severity, severity)}"
        for severity in _SEVERITIES
        if severity in counts
    )
    lines = [f"{len(facts.drift)} report{'s' if len(facts.drift) > 1 else ''}: {days}"]
    acted = [verdict for verdict in facts.drift if verdict.decision != "no_action"][:3]
    lines += [
        f"{verdict.day:%a %-d %b}, {escape(verdict.scope)}: {escape(clip(verdict.summary, 300))} "
        f"-> {escape(DECISIONS.get(verdict.decision, verdict.decision))}"
        for verdict in acted
    ]
    return lines


def _money(facts: WeeklyFacts) -> str:
    if not facts.money:
        return "no questions were answered"
    paid, saved = _paid(facts), _saved(facts)
    share = f" ({saved / (paid + saved):.0%} of the live price)" if paid + saved > 0 else ""
    requests = sum(day.requests for day in facts.money)
    return f"{requests:,} answers for {_usd(paid)}; batches saved {_usd(saved)}{share}"


def _cache(cache: CacheWeek) -> str:
    told = (
        f"cache: {cache.exact_hits / cache.lookups:.0%} exact and {cache.semantic_hits / cache.lookups:.0%} "
        f"semantic hits of {cache.lookups:,} questions; saved {_usd(cache.saved_usd)} and "
        f"{cache.saved_seconds / 60:,.0f} minutes of waiting"
    )
    if not cache.semantic_hits:
        return told
    if not cache.checked:
        return f"{told}; no semantic hit was checked yet"
    return f"{told}; {cache.wrong} of {cache.checked} checked semantic hits were wrong"


def _ads(ads: AdTotals) -> str:
    spend = " + ".join(f"{amount:,.2f} {escape(currency)}" for currency, amount in ads.spend.items())
    told = (
        f"{ads.impressions:,} impressions, {ads.clicks:,} clicks, "
        f"CTR {ads.clicks / ads.impressions:.2%}, spend {spend or 'none'}, {ads.ads:,} ads"
    )
    if not ads.dated:
        return f"{told} (all of an export without dates)"
    if not ads.impressions_before:
        return f"{told} (nothing to compare in the week before)"
    before = ads.clicks_before / ads.impressions_before
    change = ads.impressions / ads.impressions_before - 1
    return f"{told}; the week before: CTR {before:.2%}, impressions {change:+.0%} since"


def _pipeline(week: PipelineWeek) -> list[str]:
    value = week.won_value + week.expected_value
    back = f": {value / week.spend:.1f} times the ${week.spend:,.0f} spent" if week.spend else ""
    lines = [
        f"deals traced to ads: ${week.won_value:,.0f} won and ${week.expected_value:,.0f} expected from "
        f"{week.open_deals:,} open ones{back}"
    ]
    if week.best:
        rate = f"{week.best.shrunk_rate:.0%} of {week.best.deals:,} deals"
        lines.append(f"won most often after hook {code(week.best.value)}: {rate}")
    if week.fastest:
        days = f"half within {week.fastest.median_days:.0f} days"
        lines.append(f"closed fastest after hook {code(week.fastest.value)}: {days}")
    return lines


def _hook(hook: Hook) -> str:
    return (
        f"{code(hook.hook_type)} {hook.clicks / hook.impressions:.2%} over {hook.impressions:,} impressions"
    )


def _creative(creative: ScoredCreative) -> str:
    hook = f", {escape(creative.hook_type)}" if creative.hook_type else ""
    place = f"{code(creative.creative_id)} ({escape(creative.account)}{hook})"
    return f"*{creative.score:.0f}* {place}: {escape(clip(creative.critique, 140))}"


def _paid(facts: WeeklyFacts) -> float:
    return sum(day.paid_usd for day in facts.money)


def _saved(facts: WeeklyFacts) -> float:
    return sum(day.saved_usd for day in facts.money)


def _usd(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.4f}"
