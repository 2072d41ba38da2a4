"""The properties that HubSpot's records have in the sandbox, with their types, before a test adds others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PropertyKind:
    """A property as `/crm/v3/properties` tells it."""

    name: str
    type: str = "string"
    field_type: str = "text"
    options: tuple[str, ...] = ()


_LAST = PropertyKind("hs_lastmodifieddate", "datetime", "date")
_CREATED = PropertyKind("createdate", "datetime", "date")
_ID = PropertyKind("hs_object_id", "number", "number")

PROPERTIES: dict[str, tuple[PropertyKind, ...]] = {
    "deals": (
        _ID,
        _CREATED,
        _LAST,
        PropertyKind("dealname"),
        PropertyKind("dealstage", "enumeration", "radio"),
        PropertyKind("pipeline", "enumeration", "select"),
        PropertyKind("amount", "number", "number"),
        PropertyKind("deal_currency_code", "enumeration", "select", ("USD", "EUR")),
        PropertyKind("dealtype", "enumeration", "radio", ("newbusiness", "existingbusiness")),
        PropertyKind("hubspot_owner_id", "enumeration", "select"),
        PropertyKind("closedate", "datetime", "date"),
        PropertyKind("closed_lost_reason", "string", "textarea"),
        PropertyKind("closed_won_reason", "string", "textarea"),
        PropertyKind("hs_is_closed", "bool", "calculation_equation"),
        PropertyKind("hs_is_closed_won", "bool", "calculation_equation"),
        PropertyKind("hs_merged_object_ids", "enumeration", "checkbox"),
        PropertyKind("description", "string", "textarea"),
        PropertyKind("hs_priority", "enumeration", "select", ("low", "medium", "high")),
    ),
    "contacts": (
        _ID,
        _CREATED,
        PropertyKind("lastmodifieddate", "datetime", "date"),
        PropertyKind("email"),
        PropertyKind("phone", "string", "phonenumber"),
        PropertyKind("firstname"),
        PropertyKind("lastname"),
        PropertyKind("hs_facebook_click_id"),
        PropertyKind("utm_source"),
        PropertyKind("utm_campaign"),
        PropertyKind("utm_content"),
        PropertyKind("hs_analytics_source", "enumeration", "select", ("PAID_SOCIAL", "OFFLINE")),
        PropertyKind("hs_analytics_source_data_2"),
    ),
    "companies": (_ID, _CREATED, _LAST, PropertyKind("name"), PropertyKind("domain")),
}

MODIFIED = {
    "deals": "hs_lastmodifieddate",
    "contacts": "lastmodifieddate",
    "companies": "hs_lastmodifieddate",
}
# What a read tells when nobody says which properties.
USUAL = {
    "deals": (
        "amount", "closedate", "createdate", "dealname", "dealstage", "hs_lastmodifieddate", "hs_object_id",
        "pipeline",
    ),
    "contacts": ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"),
    "companies": ("createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"),
}  # fmt: skip
