"""The neural member: embeddings of categories and scaled numbers through two hidden layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ml.ctr.baseline import ShrunkConstant
from ml.ctr.encoding import FrameEncoder
from ml.ctr.member import EncodedRows, log_odds_of
from ml.ctr.settings import MlpSettings

FILE = "mlp.safetensors"

_WIDEST_EMBEDDING = 16
# Scaled numbers are cut here: one absurd value must not swing a prediction.
_FURTHEST = 6.0


class Network(nn.Module):
    """Log-odds of a click from an encoded matrix.

    Each category has an embedding with row 0 for "unknown"; each number is scaled by what training rows
    showed, with a flag beside it where it is missing. The last layer starts at zero and its bias at the
    pooled log-odds, so that an untrained network is the constant.
    """

    center: torch.Tensor
    scale: torch.Tensor

    def __init__(self, levels: list[int], numbers: int, hidden: int) -> None:
        super().__init__()
        widths = [min(_WIDEST_EMBEDDING, round(count**0.5) + 1) for count in levels]
        self.tables = [nn.Embedding(count + 1, width) for count, width in zip(levels, widths, strict=True)]
        self.embeddings = nn.ModuleList(self.tables)
        self.first = nn.Linear(sum(widths) + 2 * numbers, hidden)
        self.second = nn.Linear(hidden, max(hidden // 2, 1))
        self.last = nn.Linear(max(hidden // 2, 1), 1)
        self.register_buffer("center", torch.zeros(numbers))
        self.register_buffer("scale", torch.ones(numbers))
        for table in self.tables:
            nn.init.normal_(table.weight, std=0.05)
        nn.init.zeros_(self.last.weight)

    def forward(self, codes: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """(n,) log-odds from (n, c) codes, 0 for unknown, and (n, m) numbers, NaN for missing."""
        embedded = [table(codes[:, place]) for place, table in enumerate(self.tables)]
        missing = torch.isnan(numbers)
        scaled = ((numbers - self.center) / self.scale).clamp(-_FURTHEST, _FURTHEST)
        scaled = torch.where(missing, torch.zeros_like(scaled), scaled)
        inside = torch.cat([*embedded, scaled, missing.float()], dim=1)
        hidden = torch.relu(self.second(torch.relu(self.first(inside))))
        return self.last(hidden).squeeze(1)


class MlpMember:
    """A small network trained on the binomial loss of clicks out of impressions.

    Attributes:
        network_: the fitted network.
        rounds_: epochs it ran.
    """

    name: ClassVar[str] = "mlp"

    def __init__(self, settings: MlpSettings, encoder: FrameEncoder, seed: int) -> None:
        self.settings = settings
        self.encoder = encoder
        self.seed = seed
        named = list(enumerate(encoder.columns_))
        self._codes = [place for place, name in named if name in encoder.levels_]
        self._numbers = [place for place, name in named if name not in encoder.levels_]

    def fit(
        self, train: EncodedRows, validation: EncodedRows | None = None, rounds: int | None = None
    ) -> Self:
        """Train on `train`; see `Member.fit`."""
        torch.manual_seed(self.seed)
        self.network_ = self._network()
        with torch.no_grad():
            rate = ShrunkConstant().fit(train.clicks, train.impressions).rate_
            self.network_.last.bias.fill_(float(log_odds_of(rate)))
            numbers = train.matrix[:, self._numbers].astype("float64")
            known = np.isfinite(numbers)
            count = np.maximum(known.sum(axis=0), 1)
            center = np.where(known, numbers, 0).sum(axis=0) / count
            spread = np.sqrt(np.where(known, (numbers - center) ** 2, 0).sum(axis=0) / count)
            self.network_.center.copy_(torch.from_numpy(center))
            self.network_.scale.copy_(torch.from_numpy(np.where(spread > 0, spread, 1.0)))
        with _threads(self.settings.threads):
            self.rounds_ = self._train(
                train,
                validation,
                self.settings.epochs if rounds is None else rounds,
                self.settings.learning_rate,
            )
        return self

    def extended(self, new: EncodedRows, rounds: int) -> Self:
        """Further epochs on newer rows at a tenth of the learning rate; see `Member.extended`."""
        longer = type(self)(self.settings, self.encoder, self.seed)
        torch.manual_seed(self.seed)
        longer.network_ = self._network()
        longer.network_.load_state_dict(self.network_.state_dict())
        with _threads(self.settings.threads):
            ran = longer._train(new, None, rounds, self.settings.learning_rate / 10)
        longer.rounds_ = self.rounds_ + ran
        return longer

    def log_odds(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) log-odds."""
        self.network_.eval()
        with torch.inference_mode(), _threads(self.settings.threads):
            return self.network_(*self._tensors(matrix)).numpy().astype("float64")

    def importances(self) -> Mapping[str, float]:
        """Share of each column in the absolute weights of the first layer, over what each input varies."""
        weight = self.network_.first.weight.detach().abs().sum(dim=0).numpy()
        shares: dict[str, float] = {}
        begin = 0
        for place, table in zip(self._codes, self.network_.tables, strict=True):
            values = table.weight.detach().numpy()[1:]
            spread = values.std(axis=0) if len(values) else np.zeros(table.embedding_dim)
            end = begin + table.embedding_dim
            shares[self.encoder.columns_[place]] = float((weight[begin:end] * spread).sum())
            begin = end
        for offset, place in enumerate(self._numbers):
            shares[self.encoder.columns_[place]] = float(weight[begin + offset])
        total = sum(shares.values()) or 1.0
        return {name: value / total for name, value in shares.items()}

    def save(self, folder: Path) -> None:
        """Write the weights as safetensors."""
        save_file(
            {name: value.contiguous() for name, value in self.network_.state_dict().items()}, folder / FILE
        )

    def restore(self, folder: Path) -> Self:
        """Take the weights that `save` wrote."""
        self.network_ = self._network()
        self.network_.load_state_dict(load_file(folder / FILE))
        return self

    def _network(self) -> Network:
        levels = [len(self.encoder.levels_[self.encoder.columns_[place]]) for place in self._codes]
        return Network(levels, len(self._numbers), self.settings.hidden)

    def _train(self, rows: EncodedRows, validation: EncodedRows | None, epochs: int, rate: float) -> int:
        """Run up to `epochs` passes; the network ends at its best one. Returns how many that was."""
        settings = self.settings
        codes, numbers = self._tensors(rows.matrix)
        clicks, shown = _counts(rows)
        judged = None if validation is None else (*self._tensors(validation.matrix), *_counts(validation))
        draw = torch.Generator().manual_seed(self.seed)
        optimizer = torch.optim.AdamW(self.network_.parameters(), lr=rate, weight_decay=settings.weight_decay)
        best, best_loss, best_epoch = self._state(), self._loss(judged), 0
        for epoch in range(1, epochs + 1):
            self.network_.train()
            for batch in torch.randperm(len(rows), generator=draw).split(settings.batch_rows):
                hidden = torch.rand(codes[batch].shape, generator=draw) < settings.unknown_share
                seen = codes[batch].masked_fill(hidden, 0)
                loss = _binomial_loss(self.network_(seen, numbers[batch]), clicks[batch], shown[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if judged is None:
                continue
            now = self._loss(judged)
            if now < best_loss:
                best, best_loss, best_epoch = self._state(), now, epoch
            elif epoch - best_epoch >= settings.patience:
                break
        if judged is None:
            return epochs
        self.network_.load_state_dict(best)
        return best_epoch

    def _loss(self, judged: tuple[torch.Tensor, ...] | None) -> float:
        if judged is None:
            return float("inf")
        codes, numbers, clicks, shown = judged
        self.network_.eval()
        with torch.inference_mode():
            return float(_binomial_loss(self.network_(codes, numbers), clicks, shown))

    def _state(self) -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in self.network_.state_dict().items()}

    def _tensors(self, matrix: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        codes = np.nan_to_num(matrix[:, self._codes] + 1, nan=0.0).astype("int64")
        return torch.from_numpy(codes), torch.from_numpy(np.ascontiguousarray(matrix[:, self._numbers]))


def _counts(rows: EncodedRows) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(rows.clicks.astype("float32")), torch.from_numpy(
        rows.impressions.astype("float32")
    )


def _binomial_loss(log_odds: torch.Tensor, clicks: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """Mean log loss of an impression."""
    return (shown * nn.functional.softplus(log_odds) - clicks * log_odds).sum() / shown.sum()


@contextmanager
def _threads(count: int) -> Iterator[Any]:
    """PyTorch's threads are the whole process's: set for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
