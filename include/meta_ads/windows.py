"""Which days a run fetches: the night's window, or the slices of a backfill."""

from __future__ import annotations

from datetime import date, timedelta

from include.config.ads import AdsThresholds


def windows_of_run(
    day: date, since: str | None, latest: date | None, settings: AdsThresholds
) -> list[dict[str, str]]:
    """The windows a run fetches up to `day`, newest first: the night's one, or a backfill's from `since`.

    Args:
        day: the last day.
        since: ISO day to load everything from; None or empty for the night's window.
        latest: the newest day stored, `None` where there is none.
        settings: `thresholds().ads`.

    Raises:
        ValueError: `since` is no date, lies after `day`, or farther back than Meta remembers.
    """
    if not since:
        window = window_to_fetch(
            day,
            latest,
            restatement_days=settings.restatement_days,
            catch_up_days=settings.catch_up_days,
        )
        return [window]
    try:
        begin = date.fromisoformat(since)
    except ValueError as error:
        raise ValueError(f"param since is '{since}', not a date like 2026-01-31") from error
    return slices_to_fetch(
        begin, day, slice_days=settings.backfill_slice_days, months=settings.backfill_months
    )


def window_to_fetch(
    day: date, latest: date | None, *, restatement_days: int, catch_up_days: int
) -> dict[str, str]:
    """The days to fetch in the night of `day`: what is new, and the days before it that may be restated.

    Nights that were missed are made up for: the window reaches back to the days that could still be
    restated when the last night ran. Which days it does not reach is said.

    Args:
        day: the last day to fetch.
        latest: the newest day stored, `None` where there is none.
        restatement_days: for how long Meta restates a day.
        catch_up_days: how many missed nights are made up for at most.

    Returns:
        `since` and `until`, ISO days; `missed_since` and `missed_until` too where days stay missing.

    >>> window_to_fetch(date(2026, 5, 9), date(2026, 5, 6), restatement_days=3, catch_up_days=28)
    {'since': '2026-05-04', 'until': '2026-05-09'}
    """
    first_new = min(day, latest + timedelta(days=1)) if latest else day
    reached = max(first_new, day - timedelta(days=catch_up_days))
    window = {"since": reached - timedelta(days=restatement_days), "until": day}
    if first_new < window["since"]:
        window |= {"missed_since": first_new, "missed_until": window["since"] - timedelta(days=1)}
    return {name: end.isoformat() for name, end in window.items()}


def slices_to_fetch(since: date, day: date, *, slice_days: int, months: int) -> list[dict[str, str]]:
    """A backfill in slices, newest first, so that what matters most is there first.

    Args:
        since: the first day.
        day: the last day.
        slice_days: how many days a slice has at most.
        months: how far back Meta keeps insights.

    Raises:
        ValueError: `since` is after `day`, or Meta has nothing of it any more.

    >>> slices_to_fetch(date(2026, 5, 1), date(2026, 5, 5), slice_days=3, months=37)
    [{'since': '2026-05-03', 'until': '2026-05-05'}, {'since': '2026-05-01', 'until': '2026-05-02'}]
    """
    if since > day:
        raise ValueError(f"param since is {since}, after the last day {day}: give an earlier one")
    years, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    oldest = date(years, month + 1, 1)
    if since < oldest:
        raise ValueError(
            f"param since is {since}, but Meta keeps insights for {months} months: from {oldest} on"
        )
    slices = []
    until = day
    while until >= since:
        begin = max(since, until - timedelta(days=slice_days - 1))
        slices.append({"since": begin.isoformat(), "until": until.isoformat()})
        until = begin - timedelta(days=1)
    return slices
