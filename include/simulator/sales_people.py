"""Who buys and who sells in a simulated CRM: made-up names, and addresses at `example`, that reach nobody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from include.simulator import sales_truth as truth
from include.simulator.draws import stream

FIRST_NAMES = (
    "Ada", "Boris", "Chiara", "Dmitri", "Elif", "Farid", "Grete", "Hana", "Igor", "Jonna", "Kwame", "Lena",
    "Mateo", "Nadia", "Oskar", "Priya",
)  # fmt: skip
LAST_NAMES = (
    "Abara", "Berg", "Costa", "Dahl", "Eriksen", "Fontaine", "Garcia", "Hoffmann", "Ivanova", "Jansen",
    "Keller", "Lindqvist", "Moreau", "Novak", "Okafor", "Petrov",
)  # fmt: skip
COMPANY_WORDS = ("Alder", "Birch", "Cedar", "Dune", "Ember", "Fjord", "Glade", "Heron")
COMPANY_KINDS = ("Works", "Systems", "Partners", "Labs", "Group", "Supply")

OWNERS_PER_PIPELINE = 6
TEAMS = ("North", "South")
# An owner takes deals of one favourite niche this many times as often as others.
_PREFERENCE = 4.0


@dataclass(frozen=True)
class Owners:
    """The people who sell.

    Attributes:
        table: owner_id, user_id, email, first_name, last_name, team, archived.
        pipeline: (n,) the pipeline each works in.
        favourite: (n,) the niche each prefers.
        skill: (n,) log-odds each adds to a deal.
    """

    table: pd.DataFrame
    pipeline: np.ndarray
    favourite: np.ndarray
    skill: np.ndarray

    def assigned(
        self, deals: pd.DataFrame, first: np.ndarray, second: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions of each deal's first and last owner, from two uniform draws per deal."""
        chosen = np.empty(len(deals), np.int64)
        other = np.empty(len(deals), np.int64)
        for niche, rows in deals.groupby("niche", sort=False).indices.items():
            where = np.flatnonzero(self.pipeline == truth.NICHE_SALES[str(niche)].pipeline_id)
            weights = np.where(self.favourite[where] == niche, _PREFERENCE, 1.0)
            edges = np.cumsum(weights / weights.sum())[:-1]
            chosen[rows] = where[np.searchsorted(edges, first[rows], side="right")]
            again = np.minimum(second[rows] / truth.REASSIGNED, 1 - 1e-9)
            other[rows] = where[np.searchsorted(edges, again, side="right")]
        return chosen, np.where(second < truth.REASSIGNED, other, chosen)


def make_owners(seed: int) -> Owners:
    """Six owners of two teams in every pipeline; one of all has left the company."""
    draw = stream(seed, "owners")
    rows, pipelines, favourites, skills = [], [], [], []
    for number, pipeline in enumerate(truth.PIPELINES):
        niches = [n for n, s in truth.NICHE_SALES.items() if s.pipeline_id == pipeline.pipeline_id]
        of_team = truth.TEAM_SPREAD * draw.standard_normal(len(TEAMS))
        for nth in range(OWNERS_PER_PIPELINE):
            position = number * OWNERS_PER_PIPELINE + nth
            first = FIRST_NAMES[position % len(FIRST_NAMES)]
            last = LAST_NAMES[(position * 5 + seed) % len(LAST_NAMES)]
            team = nth % len(TEAMS)
            rows.append(
                {
                    "owner_id": str(70_000_000 + position),
                    "user_id": str(9_000_000 + position),
                    "email": f"{first}.{last}@sales.example".lower(),
                    "first_name": first,
                    "last_name": last,
                    "team": f"{pipeline.label} {TEAMS[team]}",
                    "archived": position == OWNERS_PER_PIPELINE - 1,
                }
            )
            pipelines.append(pipeline.pipeline_id)
            favourites.append(niches[nth % len(niches)])
            skills.append(of_team[team] + truth.OWNER_SPREAD * draw.standard_normal())
    return Owners(pd.DataFrame(rows), np.array(pipelines), np.array(favourites), np.array(skills))


def make_companies(seed: int, deals: pd.DataFrame, number: np.ndarray) -> pd.DataFrame:
    """The companies that buy in the pipeline of business customers, about one for two deals."""
    business = (deals["pipeline_id"] == truth.PIPELINES[0].pipeline_id).to_numpy()
    company = _company_number(seed, number)[business]
    found = pd.DataFrame({"number": company, "created_at": deals["created_at"][business].to_numpy()})
    found["created_at"] = pd.to_datetime(found["created_at"], utc=True)
    found = found.groupby("number")["created_at"].min().reset_index()
    of = found["number"].to_numpy()
    words, kinds = np.array(COMPANY_WORDS), np.array(COMPANY_KINDS)
    name = pd.Series(words[of % len(words)]) + " " + pd.Series(kinds[of // len(words) % len(kinds)])
    return pd.DataFrame(
        {
            "company_id": of.astype(str).astype(object),
            "name": name + " " + pd.Series(of % 100_000).astype(str),
            "domain": "company" + pd.Series(of % 10**7).astype(str) + ".example",
            "created_at": found["created_at"],
        }
    )


def make_contacts(
    seed: int, deals: pd.DataFrame, number: np.ndarray, draw: np.ndarray, companies: pd.DataFrame
) -> pd.DataFrame:
    """One contact per deal, in the order of the deals, with what the CRM knows of how they came."""
    names = stream(seed, "names").random((number.max(initial=-1) + 1, 2))[number]
    first = np.array(FIRST_NAMES)[(names[:, 0] * len(FIRST_NAMES)).astype(int)]
    last = np.array(LAST_NAMES)[(names[:, 1] * len(LAST_NAMES)).astype(int)]
    known_company = deals["pipeline_id"].to_numpy() == truth.PIPELINES[0].pipeline_id
    company = _company_number(seed, number).astype(str).astype(object)
    contacts = pd.DataFrame(
        {
            "contact_id": (5 * 10**11 + (seed % 10_000) * 10**7 + number).astype(str).astype(object),
            "company_id": pd.Series(company).where(known_company, None),
            "email": pd.Series(first).str.lower() + "." + pd.Series(last).str.lower()
            + pd.Series(number).astype(str) + "@mail.example",
            "phone": "+1 555 " + pd.Series(1_000_000 + number % 9_000_000).astype(str),
            "first_name": first,
            "last_name": last,
            "created_at": deals["created_at"],
        }
    )  # fmt: skip
    traceable = draw[:, 0] >= truth.UNTRACEABLE
    utm = traceable & (draw[:, 2] < truth.HAS_UTM)
    touched = traceable & (draw[:, 3] < truth.HAS_FIRST_TOUCH)
    contacts["click_id"] = deals["click_id"].where(traceable & (draw[:, 1] < truth.HAS_CLICK_ID), None)
    contacts["utm_source"] = pd.Series("facebook", index=contacts.index).where(utm, None)
    contacts["utm_campaign"] = deals["campaign_id"].where(utm, None)
    contacts["utm_content"] = deals["ad_id"].where(utm, None)
    contacts["first_source"] = np.where(touched, "PAID_SOCIAL", "OFFLINE")
    contacts["first_detail"] = deals["campaign_name"].where(touched, None)
    return contacts


def _company_number(seed: int, number: np.ndarray) -> np.ndarray:
    return np.asarray(6 * 10**11 + (seed % 10_000) * 10**7 + number // 2)
