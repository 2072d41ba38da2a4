from datetime import date
from decimal import Decimal

import pytest

from include.config.llm import Price
from include.llm.errors import PriceUnknown
from include.llm.prices import Mode, Usage, cost_of, price_of


def price(since="2026-01-01", **changes):
    values = {
        "provider": "anthropic", "model": "m", "since": since, "input": "1", "output": "5",
        "cache_write": "1.25", "cache_write_1h": "2", "cache_read": "0.1", "batch_factor": "0.5",
    }  # fmt: skip
    return Price.model_validate({**values, **changes})


def test_the_price_is_the_one_in_force_on_the_day():
    prices = [price("2026-01-01"), price("2026-06-01", input="2")]
    assert price_of(prices, "anthropic", "m", date(2026, 5, 31)).input == 1
    assert price_of(prices, "anthropic", "m", date(2026, 6, 1)).input == 2


@pytest.mark.parametrize(("provider", "model"), [("anthropic", "other"), ("openai", "m")])
def test_an_unknown_model_is_an_error_and_never_free(provider, model):
    with pytest.raises(PriceUnknown, match=model):
        price_of([price()], provider, model, date(2026, 5, 1))


def test_a_day_before_the_first_price_is_an_error():
    with pytest.raises(PriceUnknown, match="only from 2026-01-01"):
        price_of([price()], "anthropic", "m", date(2025, 12, 31))


def test_a_batch_costs_half_and_the_bill_knows_what_live_would_have_cost():
    cost = cost_of(Usage(input_tokens=1_000_000, output_tokens=200_000), price(), Mode.BATCH)
    assert (cost.paid_usd, cost.live_usd) == (Decimal("1.00"), Decimal("2.00"))
    live = cost_of(Usage(input_tokens=1_000_000, output_tokens=200_000), price(), Mode.LIVE)
    assert live.paid_usd == live.live_usd == Decimal(2)


def test_cached_tokens_are_charged_as_what_they_are():
    usage = Usage.of_message(
        {
            "input_tokens": 10, "output_tokens": 1, "cache_creation_input_tokens": 300,
            "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100},
            "cache_read_input_tokens": 1000,
        }
    )  # fmt: skip
    assert usage == Usage(10, 1, cache_write_tokens=200, cache_write_1h_tokens=100, cache_read_tokens=1000)
    assert cost_of(usage, price(), Mode.BATCH).live_usd == Decimal("0.000565")


def test_a_single_cached_token_is_not_rounded_away():
    assert cost_of(Usage(0, 0, cache_read_tokens=1), price(), Mode.BATCH).paid_usd == Decimal("0.00000005")


def test_usage_without_cache_fields_has_no_cached_tokens():
    assert Usage.of_message({"input_tokens": 3, "output_tokens": 4}) == Usage(3, 4)
