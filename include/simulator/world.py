"""A simulated ad platform: what exists, what happened, and what is true about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from include.simulator.catalogue import Catalogue, build_catalogue
from include.simulator.config import WorldConfig
from include.simulator.delivery import Delivery, deliver
from include.simulator.detail import Detail, tell_detail
from include.simulator.insights import insight_rows


@dataclass(frozen=True)
class SimulatedWorld:
    """A generated world. Make one with `generate`; treat its frames as read-only.

    The truth behind the clicks is told in `include.simulator.truth`; `daily.true_ctr` is its value for each
    ad-day, and `truth.oracle_mae_pp(world.daily)` the error no model can beat.
    """

    config: WorldConfig
    catalogue: Catalogue
    delivery: Delivery

    @classmethod
    def generate(cls, config: WorldConfig) -> SimulatedWorld:
        """Make the world of `config`. The same configuration always makes the same world."""
        catalogue = build_catalogue(config)
        return cls(config=config, catalogue=catalogue, delivery=deliver(config, catalogue))

    def reaching(self, until: date) -> SimulatedWorld:
        """This world if it reaches `until`, else the same one lived on to that day."""
        return self if until <= self.config.until else self.generate(self.config.reaching(until))

    @property
    def accounts(self) -> pd.DataFrame:
        """account_id, name, niche, currency, daily_budget, cpm_factor."""
        return self.catalogue.accounts

    @property
    def campaigns(self) -> pd.DataFrame:
        """account_id, campaign_id, name, status, daily_budget."""
        return self.catalogue.campaigns

    @property
    def creatives(self) -> pd.DataFrame:
        """account_id, creative_id and what is known of each creative; see `Catalogue`."""
        return self.catalogue.creatives

    @property
    def ads(self) -> pd.DataFrame:
        """account_id, ad_id, campaign_id, creative_id, name, launched_on, life_days, attributes."""
        return self.catalogue.ads

    @property
    def daily(self) -> pd.DataFrame:
        """One row per ad and day it lived, with the true CTR; see `Delivery`."""
        return self.delivery.daily

    def insights(self, account_id: str, since: date, until: date, as_of: date) -> Iterator[dict[str, Any]]:
        """Ad-days of one account as Meta's Insights would tell them; see `insight_rows`."""
        return insight_rows(self, account_id, since, until, as_of)

    def rows_of(self, account_id: str, since: date, until: date) -> npt.NDArray[np.int64]:
        """Positions in `daily` of one account's ad-days from `since` to `until`, by day and ad."""
        rows = self._rows_by_account.get(account_id, np.empty(0, np.int64))
        dates = self.daily["date"].to_numpy()[rows]
        return np.asarray(rows[(dates >= np.datetime64(since, "s")) & (dates <= np.datetime64(until, "s"))])

    @cached_property
    def detail(self) -> Detail:
        """Hours, buyers, watching and rankings of all ad-days, worked out when first asked for."""
        return tell_detail(self.config, self.catalogue, self.delivery)

    @cached_property
    def account_ids(self) -> frozenset[str]:
        """Ids of all accounts."""
        return frozenset(self.accounts["account_id"])

    @cached_property
    def campaign_names(self) -> dict[str, str]:
        """Name of each campaign id."""
        return dict(zip(self.campaigns["campaign_id"], self.campaigns["name"], strict=True))

    @cached_property
    def ad_names(self) -> dict[str, str]:
        """Name of each ad id."""
        return dict(zip(self.ads["ad_id"], self.ads["name"], strict=True))

    @cached_property
    def _rows_by_account(self) -> dict[Any, npt.NDArray[np.int64]]:
        groups = self.daily.groupby("account_id", sort=False).indices
        return {account: np.asarray(rows, np.int64) for account, rows in groups.items()}
