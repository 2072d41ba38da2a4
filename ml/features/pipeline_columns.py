"""The columns that tell a day of an ad what had come of its deals; `pipeline_daily` makes them."""

RECIPE = "pipeline-1"
PREFIX = "pipeline_"
# Value of an open deal is what the CRM's stage table makes of its amount; the rest counts events.
DAILY_FEATURES = (
    "pipeline_deals",
    "pipeline_won",
    "pipeline_lost",
    "pipeline_open",
    "pipeline_won_value",
    "pipeline_open_value",
    "pipeline_days_to_close",
)
