"""Client of HubSpot's CRM, as far as the nights need it, on HubSpot's own.

HubSpot's generated client gives paths, parameters and authorisation; its answers are read here as plain JSON,
because making objects of a hundred thousand deals takes many times as long as reading them. The token travels
in a header, redirects are not followed. What fails for a passing reason is tried again a few times here, with
HubSpot's own `Retry-After` where it is short, and is then left to Airflow.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import hubspot
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from include.config.crm import CrmThresholds
from include.crm.errors import CrmBusy, CrmNotConnected, CrmTokenRefused, CrmUnreachable
from include.crm.pacing import Pacing
from include.crm.refusals import refusal

# Read of every deal with its history: where it was, what it was worth, whose it was.
HISTORIES = ("dealstage", "amount", "hubspot_owner_id")
# When an object of a kind was last changed.
MODIFIED = {
    "deals": "hs_lastmodifieddate",
    "contacts": "lastmodifieddate",
    "companies": "hs_lastmodifieddate",
}

Object = dict[str, Any]
# Path, histories and cursor, generously.
_REST_OF_ADDRESS = 300
_log = logging.getLogger(__name__)


class HubSpotClient:
    """One authorised session with a portal.

    Args:
        base_url: `https://api.hubapi.com`, or the sandbox's `.../hubspot`.
        token: of a private app.
        settings: limits and pages.
        time_zone: of the portal; its calls of the day are renewed at midnight there.
        pause: waits that many seconds; a test may hand in its own.
        clock: seconds that only grow, which `pause` moves on.

    Attributes:
        calls: requests sent so far, tries counted each.

    Raises:
        CrmNotConnected: no address.
        CrmTokenRefused: no token, or one that no header can carry.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        settings: CrmThresholds,
        *,
        time_zone: str = "UTC",
        pause: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not base_url:
            raise CrmNotConnected("connection hubspot_default has no host: set it to https://api.hubapi.com")
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise CrmTokenRefused(
                "no usable token: set the password of connection hubspot_default to a private app's token"
            )
        self.calls = 0
        self.time_zone = time_zone
        self._base_url = base_url.rstrip("/")
        self._settings = settings
        self._pause = pause
        self._pacing = Pacing(
            settings.calls_per_ten_seconds, settings.searches_per_second, settings.limit_share, pause, clock
        )
        portal = hubspot.Client.create(
            access_token=token,
            host=self._base_url,
            # Errors as they come, redirects as answers: both are for us to judge.
            retry=Retry(total=False),
        )
        crm = portal.crm
        self._basic = {"deals": crm.deals.basic_api}
        self._batch = {
            "deals": crm.deals.batch_api,
            "contacts": crm.contacts.batch_api,
            "companies": crm.companies.batch_api,
        }
        self._search = {
            "deals": crm.deals.search_api,
            "contacts": crm.contacts.search_api,
            "companies": crm.companies.search_api,
        }
        self._pipelines = crm.pipelines.pipelines_api
        self._owners = crm.owners.owners_api
        self._properties = crm.properties.core_api
        self._associations = crm.associations.v4.batch_api

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what connections are open."""
        apis = (
            *self._basic.values(), *self._batch.values(), *self._search.values(),
            self._pipelines, self._owners, self._properties, self._associations,
        )  # fmt: skip
        for api in apis:
            api.api_client.rest_client.pool_manager.clear()

    def account(self) -> Object:
        """What HubSpot says about the portal: `portalId`, `timeZone` and more."""
        call = self._basic["deals"].api_client.call_api
        return self._get(
            "GET /account-info/v3/details",
            lambda **options: call(
                "/account-info/v3/details", "GET", header_params={}, auth_settings=["oauth2"], **options
            ),
        )

    def pipelines(self) -> list[Object]:
        """Every pipeline of deals with its stages."""
        return self._list("GET /crm/v3/pipelines/deals", self._pipelines.get_all, "deals")

    def owners(self) -> Iterator[Object]:
        """Everybody who owns or owned deals; those who left have `archived` true."""
        for archived in (False, True):
            after: str | None = None
            while True:
                more: dict[str, Any] = {"after": after} if after else {}
                page = self._get(
                    "GET /crm/v3/owners",
                    self._owners.get_page,
                    limit=self._settings.list_page,
                    archived=archived,
                    **more,
                )
                yield from _results("GET /crm/v3/owners", page)
                after = _next(page, after)
                if after is None:
                    break

    def properties(self, kind: str) -> list[Object]:
        """`name` and `type` of every property of objects of a kind."""
        return self._list(f"GET /crm/v3/properties/{kind}", self._properties.get_all, kind)

    def search(
        self,
        kind: str,
        filters: Sequence[Mapping[str, Any]],
        *,
        properties: Sequence[str] = (),
        newest_first: bool = False,
        limit: int | None = None,
    ) -> tuple[int, list[Object]]:
        """The first objects that pass all `filters` and how many pass in all.

        Args:
            filters: `propertyName`, `operator`, `value`; none for all objects.
            newest_first: in the order of their last change, instead of their ids.
        """
        order = (MODIFIED[kind], "DESCENDING") if newest_first else ("hs_object_id", "ASCENDING")
        body = {
            "filterGroups": [{"filters": list(filters)}] if filters else [],
            "sorts": [dict(zip(("propertyName", "direction"), order, strict=True))],
            "properties": list(properties),
            "limit": limit or self._settings.search_page,
        }
        asked = f"POST /crm/v3/objects/{kind}/search"
        page = self._get(asked, self._search[kind].do_search, body, search=True)
        total = page.get("total")
        if not isinstance(total, int):
            raise CrmUnreachable(f"{asked}: the answer has no number 'total'")
        return total, _results(asked, page)

    def list_deals(
        self,
        after: str | None,
        *,
        properties: Sequence[str],
        histories: bool,
        archived: bool = False,
    ) -> tuple[list[Object], str | None]:
        """One page of all deals, in HubSpot's order, from its store rather than its search index.

        Returns:
            The deals and where the next page begins, None at the end.
        """
        more: dict[str, Any] = {"after": after} if after else {}
        # Names in one parameter: the client would repeat it for each, and make the address twice as long.
        if histories:
            more["properties_with_history"] = [",".join(HISTORIES)]
        limit = self._settings.history_page if histories else self._settings.list_page
        asked = "GET /crm/v3/objects/deals"
        page = self._get(
            asked,
            self._basic["deals"].get_page,
            limit=limit,
            properties=[",".join(properties)],
            archived=archived,
            **more,
        )
        return _results(asked, page), _next(page, after)

    def fits_address(self, properties: Sequence[str]) -> bool:
        """Whether so many properties can be named in an address, as `list_deals` has to."""
        # A comma takes three letters there.
        names = sum(len(name) + 3 for name in properties)
        return len(self._base_url) + names + _REST_OF_ADDRESS <= self._settings.longest_url

    def read(
        self,
        kind: str,
        ids: Sequence[str],
        *,
        properties: Sequence[str],
        histories: bool = False,
        archived: bool = False,
    ) -> list[Object]:
        """The objects of these ids that exist, as they are now; those that do not are left out."""
        size = self._settings.history_page if histories else self._settings.list_page
        asked = f"POST /crm/v3/objects/{kind}/batch/read"
        found: list[Object] = []
        for begin in range(0, len(ids), size):
            body = {
                "inputs": [{"id": each} for each in ids[begin : begin + size]],
                "properties": list(properties),
                "propertiesWithHistory": list(HISTORIES) if histories else [],
            }
            page = self._get(asked, self._batch[kind].read, body, archived=archived)
            _check_partial(asked, page)
            found += _results(asked, page)
        return found

    def associations(self, to_kind: str, deal_ids: Sequence[str]) -> dict[str, set[tuple[str, str]]]:
        """What these deals are associated with: deal -> `{(id, type of association)}`."""
        asked = f"POST /crm/v4/associations/deals/{to_kind}/batch/read"
        found: dict[str, set[tuple[str, str]]] = {each: set() for each in deal_ids}
        wanted = [{"id": each} for each in deal_ids]
        size = self._settings.association_ids
        while wanted:
            inputs, wanted = wanted[:size], wanted[size:]
            page = self._get(asked, self._associations.get_page, "deals", to_kind, {"inputs": inputs})
            _check_partial(asked, page)
            for one in _results(asked, page):
                deal_id = str(one["from"]["id"])
                for target in one.get("to") or []:
                    kinds = target.get("associationTypes") or [{}]
                    other = str(target["toObjectId"])
                    found.setdefault(deal_id, set()).update(
                        (other, str(each.get("typeId") or "")) for each in kinds
                    )
                after = ((one.get("paging") or {}).get("next") or {}).get("after")
                if after:
                    wanted.append({"id": deal_id, "after": str(after)})
        return found

    def _list(self, asked: str, call: Callable[..., Any], *arguments: Any) -> list[Object]:
        return _results(asked, self._get(asked, call, *arguments))

    def _get(
        self, asked: str, call: Callable[..., Any], *arguments: Any, search: bool = False, **options: Any
    ) -> Object:
        attempts = self._settings.http_attempts
        for attempt in range(1, attempts + 1):
            pause = min(self._settings.http_longest_wait_s, 2.0 ** (attempt - 1))
            try:
                return self._try(asked, call, *arguments, search=search, **options)
            except (CrmBusy, CrmUnreachable) as error:
                wanted = error.retry_after_s if isinstance(error, CrmBusy) else None
                too_long = wanted is not None and wanted > self._settings.http_longest_wait_s
                if attempt == attempts or too_long:
                    raise
                _log.warning("%s; try %d of %d follows", error, attempt + 1, attempts)
                self._pause(pause if wanted is None else wanted)
        raise AssertionError("http_attempts is at least 1")

    def _try(
        self, asked: str, call: Callable[..., Any], *arguments: Any, search: bool, **options: Any
    ) -> Object:
        self._pacing.wait(search=search)
        self.calls += 1
        failed: Exception
        try:
            answer = call(
                *arguments,
                **options,
                _preload_content=False,
                _request_timeout=(self._settings.http_timeout_s, self._settings.http_timeout_s),
            )
            body = json.loads(answer.data)
            self._pacing.learn(answer.headers)
        except (HTTPError, OSError) as error:
            failed = CrmUnreachable(f"{asked}: no answer ({type(error).__name__})")
        except ValueError:
            failed = CrmUnreachable(f"{asked}: the answer is not JSON, or not all of it")
        except Exception as error:
            # Each part of HubSpot's client has exceptions of its own, with only their fields in common.
            status = getattr(error, "status", None)
            if not isinstance(status, int):
                raise
            if status == 0:
                failed = CrmUnreachable(f"{asked}: no secure connection")
            else:
                headers = getattr(error, "headers", None) or {}
                failed = refusal(asked, status, getattr(error, "body", None), headers, self.time_zone)
        else:
            if isinstance(body, dict):
                return body
            failed = CrmUnreachable(f"{asked}: the answer is no JSON object")
        # Without its cause, whose text would carry headers and body into the logs.
        raise failed from None


def _results(asked: str, page: Object) -> list[Object]:
    found = page.get("results")
    if not isinstance(found, list):
        raise CrmUnreachable(f"{asked}: the answer has no list 'results'")
    return found


def _next(page: Object, before: str | None) -> str | None:
    after = ((page.get("paging") or {}).get("next") or {}).get("after")
    if after is not None and str(after) == before:
        raise CrmUnreachable("a next page is promised but its cursor does not move on")
    return None if after is None else str(after)


def _check_partial(asked: str, page: Object) -> None:
    """Of a batch, what does not exist is left out; anything else that failed is a failure of the whole."""
    wrong = [each for each in page.get("errors") or [] if each.get("category") != "OBJECT_NOT_FOUND"]
    # The associations' own word for an object that has none, or is gone.
    wrong = [each for each in wrong if "NO_ASSOCIATIONS_FOUND" not in str(each.get("subCategory"))]
    if wrong:
        raise CrmBusy(f"{asked}: {len(wrong)} objects of the batch could not be read")
