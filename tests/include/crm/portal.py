"""The sandbox's HubSpot as tests steer it, and whole nights of reading it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from math import ceil
from types import TracebackType
from typing import Any, Self

import httpx
from sqlalchemy import Engine, text

from include.config.crm import CrmThresholds
from include.crm.checks import check_deals
from include.crm.client import HubSpotClient
from include.crm.contacts import COMPANIES, CONTACTS, load_linked
from include.crm.deals import load_archived_deals, load_deals
from include.crm.directory import load_directory
from include.crm.people import PeopleKey
from include.crm.report import summarise

HMAC_KEY = "a key for tests alone, not for people"
# Id of the first deal of a seeded portal.
FIRST = "1000000000"

# What differs between two runs that read the same: our own clock. A stage has no time of its end but ours.
_OUR_CLOCK = {"fetched_at", "noted_at", "first_seen_at", "vanished_at", "valid_to"}
TABLES = (
    "deal", "deal_stage_event", "deal_property_event", "association", "contact", "company", "owner",
    "pipeline", "stage", "quarantine", "property",
)  # fmt: skip


@dataclass(frozen=True)
class Portal:
    """HubSpot, changed as people there would change it."""

    sandbox: Any

    def control(self, what: str, **order: Any) -> dict[str, Any]:
        """One of the routes below `/control/hubspot`."""
        answer = self.sandbox.client.post(f"/control/hubspot/{what}", json=order)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def set(self, deal_id: str, **values: str | None) -> None:
        """Set properties of a deal."""
        for name, value in values.items():
            self.control("set", id=int(deal_id), property=name, value=value)

    def fault(self, kind: str, route: str = "*", times: int | None = 1, after: int = 0, **args: Any) -> None:
        """Have something go wrong."""
        order = {
            "vendor": "hubspot", "route": route, "kind": kind, "times": times, "after": after, "args": args,
        }  # fmt: skip
        self.sandbox.client.post("/control/faults", json=order).raise_for_status()

    def clear_faults(self) -> None:
        """Have all go well."""
        self.sandbox.client.delete("/control/faults").raise_for_status()

    def forward(self, seconds: float) -> None:
        """Move HubSpot's clock on."""
        self.sandbox.client.post("/control/clock", json={"advance_seconds": seconds}).raise_for_status()

    def settle(self) -> None:
        """Let the search index catch up."""
        self.forward(60)

    def requests(self) -> int:
        """How many requests arrived, failed ones included."""
        told = self.sandbox.client.get("/control/state").json()["requests"].get("hubspot", {})
        return sum(told.values())

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """Ask HubSpot itself."""
        answer: httpx.Response = self.sandbox.client.get(f"/hubspot{path}", params=params)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def deals(self, **params: Any) -> list[dict[str, Any]]:
        """All deals, as HubSpot lists them."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = self.get("/crm/v3/objects/deals", limit=100, after=after, **params)
            found += page["results"]
            if "paging" not in page:
                return found
            after = page["paging"]["next"]["after"]


@dataclass
class Nights:
    """Runs of the whole, as the DAG makes them."""

    engine: Engine
    portal: Portal
    settings: CrmThresholds
    pauses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.key = PeopleKey(HMAC_KEY, self.settings.least_key_chars)
        self.client = self.connect()

    def connect(self, token: str | None = None) -> HubSpotClient:
        """A client whose pauses move HubSpot's clock on instead of waiting."""
        sandbox = self.portal.sandbox
        return HubSpotClient(
            sandbox.hubspot_url,
            sandbox.api_key if token is None else token,
            self.settings,
            pause=self._pause,
            clock=lambda: time.monotonic() + sum(self.pauses),
        )

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.portal.forward(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.__exit__(kind, error, trace)

    def directory(self, **options: Any) -> dict[str, Any]:
        """Pipelines, owners, properties."""
        return load_directory(self.engine, self.client, self.key, **options)

    def deals(self, **options: Any) -> dict[str, Any]:
        """Deals, after the directory."""
        return load_deals(self.engine, self.client, self.settings, **options)

    def linked(self, **options: Any) -> dict[str, dict[str, Any]]:
        """Contacts and companies."""
        return {
            kind.stream: load_linked(self.engine, self.client, self.key, self.settings, kind, **options)
            for kind in (CONTACTS, COMPANIES)
        }

    def check(self) -> dict[str, Any]:
        """Hold it against HubSpot."""
        return check_deals(self.engine, self.client, self.settings)

    def run(self, **options: Any) -> dict[str, Any]:
        """All of it in the DAG's order; returns the report."""
        done: dict[str, Any] = {"directory": self.directory(new_key=options.get("mode") == "full")}
        done["deals"] = self.deals(**options)
        done["archived_deals"] = load_archived_deals(self.engine, self.client, self.settings)
        done |= self.linked(**options)
        done["check"] = self.check()
        return summarise(done, self.settings.notes_shown) | {"done": done}

    def rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query), values)]

    def value(self, query: str, **values: Any) -> Any:
        """One value from the database."""
        return self.rows(query, **values)[0][0]


def tables(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """All that is stored about the CRM, without the times of our own clock."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    with engine.connect() as connection:
        for table in TABLES:
            columns = connection.execute(
                text("""
                    SELECT column_name FROM information_schema.columns
                    WHERE table_schema = 'crm' AND table_name = :table ORDER BY ordinal_position
                """),
                {"table": table},
            ).scalars()
            names = ", ".join(f'"{name}"::text' for name in columns if name not in _OUR_CLOCK)
            rows = connection.execute(text(f"SELECT {names} FROM crm.{table} ORDER BY {names}"))
            found[table] = [tuple(row) for row in rows]
    return found


def least_for_everything(nights: Nights, deals: int, contacts: int, companies: int) -> int:
    """Requests without which a first night cannot be: each page of each list once.

    Directory (account, pipelines, owners twice, three catalogues), where each stream's newest change is
    (three), the pages of deals, their associations with two kinds by whole steps, contacts and companies in
    batches, the archived deals, and a count of each of three pipelines.
    """
    at = nights.settings
    batches = sum(
        ceil(len_step / at.list_page)
        for count in (contacts, companies)
        for len_step in _steps(count, at.deals_per_step)
    )
    links = 2 * sum(ceil(step / at.association_ids) for step in _steps(deals, at.deals_per_step))
    return 7 + 3 + ceil(deals / at.history_page) + links + batches + 1 + 3


def _steps(count: int, size: int) -> list[int]:
    return [min(size, count - begin) for begin in range(0, count, size)]
