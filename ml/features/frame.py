"""What every feature set hands to the models: a design matrix and the counts to learn from."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class FeatureFrame:
    """Features and outcomes of n rows, sorted by account, ad and day.

    Attributes:
        X: (n, k) features; numbers are float64, categories pandas categoricals of text, both may be missing.
        clicks, impressions: (n,) int64, 0 <= clicks <= impressions and impressions > 0.
        groups: (n,) text: the ad a row belongs to. Rows of one ad are not independent of each other.
        accounts, campaigns: (n,) text: where that ad belongs.
        spend: (n,) money, NaN where unknown. An outcome, never a feature.
        dates: (n,) datetime64[D], or None where the data has no dates.
        feature_set: name and version of the recipe that made `X`.
    """

    X: pd.DataFrame
    clicks: np.ndarray
    impressions: np.ndarray
    groups: np.ndarray
    accounts: np.ndarray
    campaigns: np.ndarray
    spend: np.ndarray
    dates: np.ndarray | None
    feature_set: str

    def __len__(self) -> int:
        return len(self.X)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns of `X`, in order."""
        return tuple(map(str, self.X.columns))

    @property
    def ctr(self) -> np.ndarray:
        """(n,) observed clicks per impression."""
        return np.asarray(self.clicks / self.impressions)

    def take(self, where: np.ndarray) -> "FeatureFrame":
        """The rows that `where` (a boolean mask or positions) picks, in its order."""
        return FeatureFrame(
            X=self.X.iloc[np.flatnonzero(where) if where.dtype == bool else where].reset_index(drop=True),
            clicks=self.clicks[where],
            impressions=self.impressions[where],
            groups=self.groups[where],
            accounts=self.accounts[where],
            campaigns=self.campaigns[where],
            spend=self.spend[where],
            dates=None if self.dates is None else self.dates[where],
            feature_set=self.feature_set,
        )

    def fingerprint(self) -> str:
        """SHA-256 of everything a model could learn from: equal data, equal text, on any machine."""
        digest = hashlib.sha256(f"{self.feature_set}|{','.join(self.feature_names)}".encode())
        content = self.X.assign(__clicks=self.clicks, __impressions=self.impressions, __group=self.groups)
        if self.dates is not None:
            content["__day"] = self.dates.astype("int64")
        digest.update(pd.util.hash_pandas_object(content, index=False).to_numpy().tobytes())
        return digest.hexdigest()
