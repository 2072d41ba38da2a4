"""What a soundtrack is like: how loud, and whether somebody speaks in the opening.

Loudness is that of ITU-R BS.1770-4 (K-weighting, gated blocks of 400 ms), its filters applied to the blocks'
spectra. Speech is told by ear-and-throat facts, not by a model: it has its energy between 200 and 4,000 Hz,
is harmonic rather than noise, and swells three to eight times a second with the syllables. Singing over music
can pass for it, and whispering can be missed; transcripts would need weights (docs/visual.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RATE = 16_000
_BLOCK, _HOP = 6_400, 1_600
_FRAME, _STEP = 512, 160
_SILENCE_LUFS = -70.0
_SECOND = 100  # steps


@dataclass(frozen=True)
class Soundtrack:
    """Loudness in LUFS (None: silence throughout), and shares of the seconds with speech-like sound."""

    loudness_lufs: float | None
    loudness_early_lufs: float | None
    speech_share: float
    speech_early_share: float
    silence_share: float


def listen(samples: np.ndarray, early_s: float) -> Soundtrack:
    """Measure a soundtrack.

    Args:
        samples: (n,) mono at `RATE`, -1 to 1.
        early_s: the opening, seconds.
    """
    speech, silent = _speech_seconds(samples)
    opening = max(1, round(early_s))
    return Soundtrack(
        loudness_lufs=loudness(samples),
        loudness_early_lufs=loudness(samples[: int(early_s * RATE)]),
        speech_share=float(speech.mean()) if len(speech) else 0.0,
        speech_early_share=float(speech[:opening].mean()) if len(speech) else 0.0,
        silence_share=float(silent.mean()) if len(silent) else 1.0,
    )


def loudness(samples: np.ndarray) -> float | None:
    """Integrated loudness, LUFS; None where all is below the absolute gate of -70."""
    if len(samples) < _BLOCK:
        samples = np.pad(samples, (0, _BLOCK - len(samples)))
    weights = _k_weighting()
    starts = range(0, len(samples) - _BLOCK + 1, _HOP)
    power = np.empty(len(starts))
    for n, start in enumerate(starts):
        spectrum = np.abs(np.fft.rfft(samples[start : start + _BLOCK].astype(np.float64))) ** 2
        spectrum[1:-1] *= 2
        power[n] = float(spectrum @ weights) / _BLOCK**2
    kept = power[_lufs(power) > _SILENCE_LUFS]
    if not len(kept):
        return None
    kept = kept[_lufs(kept) > _lufs(kept.mean()) - 10]
    return float(_lufs(kept.mean()))


def _lufs(power: np.ndarray | float) -> np.ndarray:
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-12))


def _k_weighting() -> np.ndarray:
    """|H|^2 of the head and the high-pass filter of BS.1770, at the frequencies of a block."""
    turn = np.exp(-2j * np.pi * np.fft.rfftfreq(_BLOCK))
    weights = np.ones(len(turn))
    for gain_db, quality, corner in ((3.999843853973347, 0.7071752369554196, 1681.974450955533),
                                     (None, 0.5003270373238773, 38.13547087602444)):  # fmt: skip
        k = np.tan(np.pi * corner / RATE)
        below = np.array([1 + k / quality + k * k, 2 * (k * k - 1), 1 - k / quality + k * k])
        if gain_db is None:
            above = np.array([1.0, -2.0, 1.0]) * below[0]
        else:
            high = 10 ** (gain_db / 20)
            band = high**0.4996667741545416
            above = np.array(
                [high + band * k / quality + k * k, 2 * (k * k - high), high - band * k / quality + k * k]
            )
        weights *= np.abs(np.polyval(above[::-1], turn) / np.polyval(below[::-1], turn)) ** 2
    return weights


def _speech_seconds(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each second, whether it is speech-like, and whether it is silent."""
    if len(samples) < _FRAME:
        return np.zeros(0, bool), np.zeros(0, bool)
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_STEP]
    frequency = np.fft.rfftfreq(_FRAME, 1 / RATE)
    voice = (frequency >= 200) & (frequency <= 4000)
    energy, voiced, flatness = [], [], []
    for begin in range(0, len(frames), 4096):  # a block at a time: ten minutes would take a gigabyte
        power = np.abs(np.fft.rfft(frames[begin : begin + 4096] * np.hanning(_FRAME), axis=1)) ** 2 + 1e-12
        energy.append(power.sum(axis=1))
        voiced.append(power[:, voice].sum(axis=1))
        flatness.append(np.exp(np.log(power[:, voice]).mean(axis=1)) / power[:, voice].mean(axis=1))
    total, inside, flat = (np.concatenate(part) for part in (energy, voiced, flatness))
    seconds = max(1, round(len(total) / _SECOND))
    speech, silent = np.zeros(seconds, bool), np.zeros(seconds, bool)
    for n in range(seconds):
        part = slice(n * _SECOND, min((n + 1) * _SECOND, len(total)))
        if part.stop - part.start < _SECOND // 2:
            continue
        loud = total[part] / (_FRAME**2 / 4)
        silent[n] = np.median(loud) < 1e-7
        if silent[n]:
            continue
        in_band = inside[part].sum() / total[part].sum()
        harmonic = np.average(flat[part], weights=total[part]) < 0.3
        speech[n] = in_band > 0.6 and harmonic and _syllables(np.sqrt(loud)) > 0.3
    return speech, silent


def _syllables(envelope: np.ndarray) -> float:
    """Share of the envelope's movement that lies at the pace of syllables, times how deep it is (at most
    1)."""
    moved = envelope - envelope.mean()
    spectrum = np.abs(np.fft.rfft(moved * np.hanning(len(moved)))) ** 2
    pace = np.fft.rfftfreq(len(moved), _STEP / RATE)
    share = spectrum[(pace >= 2) & (pace <= 9)].sum() / max(spectrum[pace > 0.5].sum(), 1e-18)
    depth = min(1.0, envelope.std() / max(envelope.mean(), 1e-9) / 0.4)
    return float(share * depth)
