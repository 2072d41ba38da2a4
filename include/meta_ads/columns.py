"""Names that exports give to their columns, and what we call them.

Names are compared without regard to case. The first name of a field that a file has is the one that counts:
all clicks before link clicks (as Insights' `clicks`), purchases before the results of whatever goal was set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FIELDS: dict[str, tuple[str, ...]] = {
    "ad_id": ("ad id", "ad_id"),
    "ad_name": ("ad name", "ad_name"),
    "ad_set_name": ("ad set name", "adset name", "ad set id", "adset_name"),
    "campaign_id": ("campaign id", "campaign_id", "xyz_campaign_id"),
    "campaign_name": ("campaign name", "campaign_name"),
    "day": ("day", "date"),
    "starts": ("reporting starts", "date_start"),
    "ends": ("reporting ends", "date_stop"),
    "impressions": ("impressions",),
    "clicks": ("clicks (all)", "clicks", "link clicks"),
    "spend": ("amount spent", "spend", "spent"),
    "conversions": ("purchases", "website purchases", "results", "approved_conversion", "conversions"),
    "conversion_value": (
        "purchases conversion value",
        "website purchases conversion value",
        "purchase conversion value",
        "conversion value",
    ),
    "currency": ("currency", "account currency"),
    "reach": ("reach",),
    "frequency": ("frequency",),
}

# Columns that break an ad's day into cells, and Insights' names for them.
BREAKDOWNS = {
    "age": "age",
    "gender": "gender",
    "interest": "interest",
    "platform": "publisher_platform",
    "placement": "platform_position",
    "device platform": "device_platform",
    "impression device": "impression_device",
    "country": "country",
    "region": "region",
}

_CURRENCY = re.compile(r"^(?P<name>.*?)\s*\((?P<currency>[a-z]{3})\)$")


@dataclass(frozen=True)
class Columns:
    """Where the fields stand in a file.

    Attributes:
        at: position of each field found.
        breakdowns: (our name, position) of each breakdown column, sorted by name.
        currency: of the amount spent, where its name tells.
    """

    at: dict[str, int]
    breakdowns: tuple[tuple[str, int], ...]
    currency: str | None

    @property
    def identity(self) -> tuple[str, ...]:
        """The fields that tell one ad from another: its id, or in a file without ids the names it has."""
        if "ad_id" in self.at:
            return ("ad_id",)
        campaign = "campaign_id" if "campaign_id" in self.at else "campaign_name"
        return tuple(field for field in (campaign, "ad_set_name", "ad_name") if field in self.at)


def find_columns(header: tuple[str, ...]) -> tuple[Columns, list[str]]:
    """Recognise the columns of a header; returns what is wrong with it beside them."""
    problems: list[str] = []
    plain: dict[str, int] = {}
    currencies: set[str] = set()
    for position, title in enumerate(header):
        name = title.lower()
        if priced := _CURRENCY.match(name):
            name = priced["name"]
            if name == "amount spent":
                currencies.add(priced["currency"].upper())
        if not name:
            problems.append(f"column {position + 1} has no name")
        elif name in plain:
            problems.append(
                f"column '{title}' is there twice, as columns {plain[name] + 1} and {position + 1}"
            )
        plain.setdefault(name, position)
    at = {
        field: next(plain[name] for name in names if name in plain)
        for field, names in FIELDS.items()
        if any(name in plain for name in names)
    }
    if len(currencies) > 1:
        problems.append(
            f"amounts are in several currencies ({', '.join(sorted(currencies))}): one file, one currency"
        )
    if "ad_id" not in at and "ad_name" not in at:
        problems.append("no column 'Ad ID' or 'Ad name': export at the level of ads")
    for field, wanted in (
        ("impressions", "'Impressions'"),
        ("clicks", "'Clicks (all)' or 'Link clicks'"),
        ("spend", "'Amount spent (USD)'"),
    ):
        if field not in at:
            problems.append(f"no column {wanted}")
    breakdowns = sorted((ours, plain[theirs]) for theirs, ours in BREAKDOWNS.items() if theirs in plain)
    return Columns(at, tuple(breakdowns), next(iter(currencies), None)), problems
