"""Every feature mined from Meta's raw data, each defined once: name, formula, unit, meaning, and computation.

The code, the table in docs/features.md, the page *Browse > Features*, the columns of `ads.mined_feature`
and the verdicts all come from this list. A week is the seven days that end with the day described; a model
is given the description of an earlier day, `lag` days back, never the day's own (`ml.features.mined_inputs`).
Purchases arrive for a week after the click, so what is made of them is given to models eight days late: by
then it says what will be stored for good.
"""

from __future__ import annotations

import numpy as np

from ml.features.mined_facts import concentration, evenness, ratio
from ml.features.mined_formulas import (
    DEVICE,
    EVENING,
    HOUR,
    NIGHT,
    PEOPLE,
    PLACEMENT,
    SETTLED_DAYS,
    MinedFeature,
    audience_share,
    ctr_decline,
    device_gap,
    gender_gap,
    placement_lift,
    placement_share,
    purchase_lift,
    ranking,
    retention,
    spend_pacing,
    unallocated_share,
    watch_share,
)

# Changes whenever a stored value would come out differently; everything is then mined again.
RECIPE = "mined-2"

MINED_FEATURES: tuple[MinedFeature, ...] = (
    placement_share(
        "feed",
        "Facebook's and Instagram's feeds",
        "The dearest and steadiest placement: a high share means Meta finds buyers there, or was told to.",
    ),
    placement_share(
        "stories", "stories", "Full-screen vertical pictures; a square creative wastes money here."
    ),
    placement_share(
        "reels", "reels", "Cheap vertical video reach. A jump means that Meta moved the budget there."
    ),
    placement_share("instagram", "Instagram", "Which of the two platforms Meta prefers for the ad."),
    MinedFeature(
        "placement_entropy", "placement", "−Σ p ln p over the shares p of the placements", "nats",
        "week",
        "breakdown by placement",
        "How widely the ad is spread: 0 is all in one place, about 2.2 is evenly everywhere.",
        lambda facts: evenness(facts.shares(PLACEMENT)),
    ),
    placement_lift("feed", "the feeds",
    "Above 1: the creative works better in the feed than elsewhere."),
    placement_lift("stories", "stories", "Below 1: make a vertical version, or leave stories out."),
    placement_lift("reels", "reels", "Below 1: cheap impressions that are not clicked."),
    MinedFeature(
        "reels_cpm_lift", "placement", "CPM in reels ÷ the ad's CPM, shrunk to 1", "ratio", "week",
        "breakdown by placement",
        "What reels cost against the ad's average; weigh it against `reels_ctr_lift`.",
        lambda facts: facts.price_lift(PLACEMENT, "reels"),
    ),
    MinedFeature(
        "feed_cpm_lift", "placement", "CPM in the feeds ÷ the ad's CPM, shrunk to 1", "ratio", "week",
        "breakdown by placement", "What the feed costs against the ad's average.",
        lambda facts: facts.price_lift(PLACEMENT, "feed"),
    ),
    MinedFeature(
        "unallocated_share", "delivery", "impressions in no named cell ÷ all, mean over the breakdowns",
        "share", "week", "any breakdown",
        "How much Meta does not tell: where it is high, read the other breakdown features with care.",
        unallocated_share,
    ),
    MinedFeature(
        "audience_hhi", "audience", "Σ p² over the shares p of age × gender", "index 0.04 to 1", "week",
        "breakdown by age and gender", "How narrow the real audience is: 1 is a single group.",
        lambda facts: concentration(facts.shares(PEOPLE)),
    ),
    MinedFeature(
        "top_segment_share", "audience", "largest share of age × gender", "share", "week",
        "breakdown by age and gender", "How much hangs on one group; it tires first.",
        lambda facts: facts.shares(PEOPLE).max(axis=1),
    ),
    audience_share("age_18_24_share",
    "18 to 24 year olds", ("18-24",), "The young: cheap, clicking, buying less."),
    audience_share("age_25_34_share",
    "25 to 34 year olds", ("25-34",), "The usual core of most shops."),
    audience_share("age_35_54_share", "35 to 54 year olds", ("35-44",
    "45-54"), "Fewer clicks, fuller baskets."),
    audience_share("age_55_up_share", "people from 55", ("55-64",
    "65+"), "Where clicks by mistake are most frequent."),
    audience_share("female_share",
    "women", ("female",), "Whom Meta shows the ad, whatever was targeted."),
    MinedFeature(
        "gender_ctr_gap", "audience", "ln(CTR lift of women) − ln(CTR lift of men), each shrunk",
        "log ratio", "week",
        "breakdown by age and gender",
        "Above 0: women click more. Far from 0: two creatives would do better.",
        gender_gap,
    ),
    MinedFeature(
        "ios_share", "device", "impressions on iPhones and iPads ÷ impressions on all named devices",
        "share",
        "week", "breakdown by device",
        "What part of the purchases is hard to see: iOS hides most of them.",
        lambda facts: facts.share(DEVICE, "ios"),
    ),
    MinedFeature(
        "ios_android_ctr_gap", "device", "ln(CTR lift on iOS) − ln(CTR lift on Android), each shrunk",
        "log ratio",
        "week", "breakdown by device",
        "Far from 0: the landing page or the offer suits one kind of phone.",
        device_gap,
    ),
    MinedFeature(
        "desktop_ctr_lift", "device", "CTR on desktops ÷ the ad's CTR, shrunk to 1", "ratio", "week",
        "breakdown by device", "Below 1 as a rule; above, think of a desktop campaign.",
        lambda facts: facts.lift(DEVICE, "clicks", "impressions", "desktop"),
    ),
    MinedFeature(
        "hour_hhi", "hour", "Σ p² over the shares p of the 24 hours", "index 0.04 to 1", "week",
        "breakdown by hour", "Delivery crammed into few hours: a small budget, or a schedule.",
        lambda facts: concentration(facts.shares(HOUR)),
    ),
    MinedFeature(
        "night_share", "hour", "impressions from 00:00 to 05:59 ÷ all, in the advertiser's time",
        "share", "week",
        "breakdown by hour", "Money spent while nobody answers enquiries.",
        lambda facts: facts.share(HOUR, *NIGHT),
    ),
    MinedFeature(
        "evening_ctr_lift", "hour", "CTR from 18:00 to 22:59 ÷ the ad's CTR, shrunk to 1", "ratio",
        "week",
        "breakdown by hour", "Above 1: give the evening more of the budget.",
        lambda facts: facts.lift(HOUR, "clicks", "impressions", *EVENING),
    ),
    MinedFeature(
        "frequency", "fatigue", "Meta's frequency, else impressions ÷ reach", "impressions a person",
        "day",
        "`frequency` or `reach`", "How often one person saw the ad that day.",
        lambda facts: facts.frequency,
    ),
    MinedFeature(
        "frequency_slope", "fatigue", "least-squares rise of the daily frequency", "a day", "week",
        "`frequency` or `reach`", "Rising: the audience is used up; widen it.",
        lambda facts: facts.windows.slope(facts.frequency),
    ),
    MinedFeature(
        "ctr_decline", "fatigue",
        "ln(CTR of the week) − ln(CTR of the ad's first 7 days), each shrunk to the account's",
        "log ratio", "week; first days of the last 90", "-",
        "−0.3 means a quarter of the first clicks' rate is gone: time for a new creative.",
        ctr_decline,
    ),
    MinedFeature(
        "days_since_peak", "fatigue", "days since the shrunken CTR of a week was highest", "days",
        "28 days", "-",
        "Small: at its best. Large: the best is over.",
        lambda facts: facts.windows.days_since_peak(facts.rate),
    ),
    ranking("quality_rank", "quality_ranking", "perceived quality", "Low: annoying or misleading."),
    ranking("engagement_rank", "engagement_rate_ranking", "expected engagement",
    "Low: the hook does not work."),
    ranking("conversion_rank", "conversion_rate_ranking", "expected conversions",
    "Low: look at the landing page."),
    MinedFeature(
        "spend_pacing", "delivery", "spend of the day ÷ mean daily spend of the six days before",
        "ratio", "week", "-",
        "1 is steady. Far above: Meta found cheap people or a budget was raised; below: losing auctions.",
        spend_pacing,
    ),
    MinedFeature(
        "link_click_share", "delivery", "`inline_link_clicks` ÷ clicks (all), days that have both",
        "share", "week",
        "`inline_link_clicks`", "Clicks that lead to the shop; the rest opens comments and profiles.",
        lambda facts: np.minimum(
            ratio(facts.week_where("inline_link_clicks", "inline_link_clicks"),
                  facts.week_where("clicks", "inline_link_clicks")), 1.0),
    ),
    MinedFeature(
        "cost_per_unique_click", "delivery", "spend ÷ `unique_clicks`, days that have it",
        "account currency",
        "week", "`unique_clicks`", "What one more person who clicks costs, repeated clicks left out.",
        lambda facts: ratio(facts.week_where("spend", "unique_clicks"), facts.week("unique_clicks")),
    ),
    MinedFeature(
        "purchases_per_click", "conversion", "purchases ÷ clicks, shrunk to the account's", "share",
        "week",
        "`actions`", "How good the clicks are.",
        lambda facts: facts.windows.shrunk(facts.day["purchases"], facts.day["clicks"]),
        SETTLED_DAYS,
    ),
    MinedFeature(
        "value_per_purchase", "conversion", "value of purchases ÷ purchases", "account currency", "week",
        "`action_values`", "Basket size of the people the ad brings.",
        lambda facts: ratio(
            facts.week("purchase_value"), facts.week_where("purchases", "purchase_value")
        ),
        SETTLED_DAYS,
    ),
    MinedFeature(
        "reels_conversion_lift", "conversion", "purchases per click in reels ÷ the ad's, shrunk to 1",
        "ratio",
        "week", "purchases by placement", "Below 1: reels clicks are cheap for a reason.",
        purchase_lift("clicks", "reels"), SETTLED_DAYS,
    ),
    MinedFeature(
        "feed_conversion_lift", "conversion",
        "purchases per click in the feeds ÷ the ad's, shrunk to 1", "ratio",
        "week", "purchases by placement", "Above 1: feed clicks buy more often.",
        purchase_lift("clicks", "feed"), SETTLED_DAYS,
    ),
    MinedFeature(
        "reels_cpa_lift", "conversion", "cost per purchase in reels ÷ the ad's, shrunk to 1", "ratio",
        "week",
        "purchases by placement", "Above 1: a purchase from reels costs more than the average one.",
        lambda facts: 1.0 / purchase_lift("spend", "reels")(facts),
        SETTLED_DAYS,
    ),
    MinedFeature(
        "view_through_share", "conversion",
        "purchases by `1d_view` ÷ (those by `7d_click` + `1d_view`)", "share",
        "week", "attribution windows in `actions`",
        "Purchases claimed by mere views: a high share flatters the ad.",
        lambda facts: ratio(facts.week("purchases_1d_view"),
                            facts.week("purchases_7d_click") + facts.week("purchases_1d_view")),
        SETTLED_DAYS,
    ),
    MinedFeature(
        "hook_rate", "video", "video plays ÷ impressions, days that have plays", "share", "week",
        "video actions", "Whether the first frame stops the thumb.",
        lambda facts: np.minimum(ratio(facts.week("plays"), facts.week_where("impressions",
        "plays")), 1.0),
    ),
    retention("quarter_retention", "p25", "plays", "watched to 25 % ÷ plays",
    "Whether the hook holds."),
    retention("half_retention", "p50", "p25", "watched to 50 % ÷ watched to 25 %",
               "Whether the middle keeps its promise."),
    retention("three_quarter_retention", "p75", "p50", "watched to 75 % ÷ watched to 50 %",
               "Where the story drags."),
    retention("full_retention", "p100", "p25", "watched to the end ÷ watched to 25 %",
               "Whether the call to action at the end is seen at all."),
    retention("thruplay_rate", "thruplay", "plays", "ThruPlays (15 s or the whole) ÷ plays",
               "What Meta charges for when it optimises for views."),
    MinedFeature(
        "watch_share", "video", "average watch time ÷ length of the video, weighted by plays",
        "share", "week",
        "`video_avg_time_watched_actions` and the creative's length",
        "How much of the film is worth making.",
        watch_share,
    ),
)  # fmt: skip

MINED_NAMES: tuple[str, ...] = tuple(feature.name for feature in MINED_FEATURES)
BY_NAME: dict[str, MinedFeature] = {feature.name: feature for feature in MINED_FEATURES}
