"""Which ad, campaign and creative a deal came from: click id first, then UTM, then first touch.

The surest trace wins. What no trace leads to an ad stays unattributed and is shown as that: spreading it over
the ads would make up a return for them.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import pandas as pd

from ml.features.pipeline_frames import CrmFrames

ORIGIN = ("account_id", "campaign_id", "ad_id", "creative_id")


class MatchedBy(StrEnum):
    """How a deal was matched, surest first."""

    CLICK = "click"
    UTM_AD = "utm_ad"
    UTM_CAMPAIGN = "utm_campaign"
    FIRST_TOUCH = "first_touch"
    UNATTRIBUTED = "unattributed"


def attribute(frames: CrmFrames) -> pd.DataFrame:
    """The origin of every deal, known since its contact came.

    Returns:
        One row a deal, in the order of `frames.deals`: deal_id, matched_by, account_id, campaign_id, ad_id,
        creative_id (None where the trace does not lead so far), first_source, and the ad's niche, hook_type,
        format, visual_pattern and persona (of the campaign only the niche).
    """
    ads = frames.ads.drop_duplicates("ad_id", keep=False)
    contacts = frames.contacts.drop_duplicates("contact_id")
    deals = frames.deals[["deal_id", "contact_id"]].merge(contacts, on="contact_id", how="left")
    clicked = frames.conversions.dropna(subset=["click_id", "ad_id"])
    # A click id that names two ads names none.
    clicked = clicked.drop_duplicates(["click_id", "ad_id"]).drop_duplicates("click_id", keep=False)
    by_click = deals["click_id"].map(clicked.set_index("click_id")["ad_id"]).astype("object")
    by_click = by_click.where(by_click.isin(ads["ad_id"]), None)
    by_utm = deals["utm_content"].where(deals["utm_content"].isin(ads["ad_id"]), None).astype("object")
    ad = by_click.where(by_click.notna(), by_utm)
    campaigns = frames.ads.drop_duplicates(["account_id", "campaign_id"])
    campaign_ids = campaigns.drop_duplicates("campaign_id", keep=False).set_index("campaign_id")
    names = campaigns.drop_duplicates("campaign_name", keep=False).dropna(subset=["campaign_name"])
    ids_of_names = names.set_index("campaign_name")["campaign_id"]
    utm = deals["utm_campaign"]
    # Whoever builds links by hand writes the campaign's name; it counts where only one campaign has it.
    by_campaign = utm.where(utm.isin(campaign_ids.index), utm.map(ids_of_names)).astype("object")
    by_name = deals["first_detail"].map(ids_of_names).astype("object")
    campaign = by_campaign.where(by_campaign.notna(), by_name)
    of_ad = ads.set_index("ad_id")
    made = pd.DataFrame({"deal_id": deals["deal_id"], "ad_id": ad.where(ad.notna(), None)})
    made["campaign_id"] = ad.map(of_ad["campaign_id"]).where(ad.notna(), campaign)
    made["account_id"] = ad.map(of_ad["account_id"]).where(
        ad.notna(), campaign.map(campaign_ids["account_id"])
    )
    made["creative_id"] = ad.map(of_ad["creative_id"])
    for name in ("hook_type", "format", "visual_pattern", "persona"):
        made[name] = ad.map(of_ad[name])
    made["niche"] = made["account_id"].map(
        frames.ads.drop_duplicates("account_id").set_index("account_id")["niche"]
    )
    made["first_source"] = deals["first_source"].to_numpy()
    made["matched_by"] = np.select(
        [by_click.notna(), by_utm.notna(), by_campaign.notna(), by_name.notna()],
        [each.value for each in list(MatchedBy)[:4]],
        MatchedBy.UNATTRIBUTED.value,
    )
    for name in (*ORIGIN, "niche", "hook_type", "format", "visual_pattern", "persona", "first_source"):
        made[name] = made[name].astype("object").where(made[name].notna(), None)
    return made
