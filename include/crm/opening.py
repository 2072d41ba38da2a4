"""Connection `hubspot_default` as an open client and a key, or as one sentence about what it lacks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine

from include.config.crm import CrmThresholds
from include.crm.client import HubSpotClient
from include.crm.directory import time_zone_of
from include.crm.people import PeopleKey

KEY_VARIABLE = "NIGHTSHIFT_CRM_HMAC_KEY"


def open_crm(
    engine: Engine,
    settings: CrmThresholds,
    *,
    host: str | None,
    token: str | None,
    extra: Mapping[str, Any],
) -> tuple[HubSpotClient, PeopleKey]:
    """A client of the portal, to be closed, and what makes people's data unreadable.

    The key is the connection's extra `hmac_key`, else the environment's `NIGHTSHIFT_CRM_HMAC_KEY`.

    Raises:
        CrmNotConnected, CrmTokenRefused: the connection lacks something; nothing was asked of HubSpot.
    """
    key = PeopleKey(
        str(extra.get("hmac_key") or os.environ.get(KEY_VARIABLE) or ""), settings.least_key_chars
    )
    client = HubSpotClient(host or "", token or "", settings, time_zone=time_zone_of(engine))
    return client, key
