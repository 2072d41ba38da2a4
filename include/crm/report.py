"""Says in a sentence what a night's reading of the CRM did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Streams in the order they are read.
STREAMS = ("directory", "deals", "archived_deals", "contacts", "companies", "check")


def summarise(done: Mapping[str, Mapping[str, Any]], notes_shown: int) -> dict[str, Any]:
    """Add up what the streams did.

    Args:
        done: by stream of `STREAMS`, what its function returned; `stopped` (a sentence) where HubSpot's daily
            limit ended it.
        notes_shown: sentences of a kind that the summary quotes.

    Returns:
        Numbers, `warnings` and `notes` (sentences), `complete`, and `summary`.
    """
    deals, check = done.get("deals", {}), done.get("check", {})
    stopped = next((str(each["stopped"]) for each in done.values() if each.get("stopped")), None)
    busy = [stream for stream in STREAMS if done.get(stream, {}).get("busy")]
    warnings = [str(each) for each in check.get("warnings", [])]
    notes = [str(each) for each in done.get("directory", {}).get("notes", [])]
    told = {
        "deals_read": _sum(done, "read", "deals", "archived_deals"),
        "deals_new": _sum(done, "inserted", "deals", "archived_deals"),
        "deals_changed": _sum(done, "changed", "deals", "archived_deals"),
        "deals_gone": _sum(done, "gone", "deals"),
        "deals_live": int(check.get("deals", 0)),
        "contacts": _sum(done, "read", "contacts"),
        "companies": _sum(done, "read", "companies"),
        "quarantined": int(check.get("quarantined", 0)),
        "requests": _sum(done, "requests", *STREAMS),
        "warnings": warnings[:notes_shown],
        "notes": notes[:notes_shown],
        "complete": stopped is None and not busy,
    }
    parts = [
        f"{told['deals_read']:,} deals read, {told['deals_new']:,} new, {told['deals_changed']:,} changed",
        f"{told['deals_live']:,} live" if check.get("deals") is not None else "",
        f"{told['deals_gone']:,} gone from HubSpot" if told["deals_gone"] else "",
        f"{deals['differences']:,} differed from what was stored" if deals.get("differences") else "",
        f"{told['contacts']:,} contacts and {told['companies']:,} companies",
        "went on with a run that was stopped" if deals.get("resumed") else "",
    ]
    sentences = [", ".join(part for part in parts if part)]
    if busy:
        sentences.append(f"another run was reading {', '.join(busy)}: nothing was done there")
    if stopped:
        sentences.append(stopped)
    ended = int(done.get("directory", {}).get("ended", 0))
    if ended:
        sentences.append(f"{ended} pipelines or stages were deleted in HubSpot and are kept as they were")
    if check.get("behind"):
        sentences.append(
            f"{check['behind']:,} deals changed too recently for HubSpot's search to show them as they are"
        )
    if told["quarantined"]:
        first = check.get("quarantined_shown") or ["see crm.quarantine"]
        sentences.append(f"{told['quarantined']:,} values could not be read, the first: {first[0]}")
    for kind, found in (("warning", warnings), ("note", notes)):
        more = f" and {len(found) - notes_shown} more" if len(found) > notes_shown else ""
        if found:
            sentences.append(f"{kind}: {'; '.join(found[:notes_shown])}{more}")
    return {**told, "summary": "; ".join(sentences)}


def _sum(done: Mapping[str, Mapping[str, Any]], name: str, *streams: str) -> int:
    return sum(int(done.get(stream, {}).get(name, 0)) for stream in streams)
