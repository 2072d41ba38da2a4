"""What the DAGs of this repository are to be: when they run, their tasks in order, their params."""

from __future__ import annotations

RETRAIN_WANTED = "nightshift://models/ctr/retrain_wanted"
RESULTS = "nightshift://llm/results"
PROMOTION_WANTED = "nightshift://models/promotion_wanted"
ADS_PERFORMANCE = "nightshift://ads/performance_metric"
ALIAS_MOVED = "nightshift://models/alias_moved"
CHAMPION_MOVED = "nightshift://models/champion_moved"
CTR_MODEL = "nightshift://models/ctr"
CRM_DEALS = "nightshift://crm/deals"
PIPELINE_MODEL = "nightshift://models/pipeline_value"
VISUAL_SCENES = "nightshift://visual/scenes"

# How a question about a promotion can end.
ENDS = {"promote", "reject", "time_out"}

# Started by people and by what happens to models, not by the night.
NOT_OF_THE_NIGHT = {"promote_model", "roll_back_model", "watch_registry"}

SCHEDULES = {
    "meta_insights_etl": "every day at 01:00 UTC",
    "hubspot_etl": "every day at 01:15 UTC",
    "mine_ad_features": f"on `{ADS_PERFORMANCE}`",
    "nightly_batch_api": "every day at 02:00 UTC",
    "visual_analysis_gpu": "every day at 03:00 UTC",
    "train_ctr_model": f"Sundays at 04:00 UTC, and on `{RETRAIN_WANTED}`",
    "train_pipeline_value": "Sundays at 04:30 UTC",
    "forecast_pipeline": f"on `{CRM_DEALS}`, `{PIPELINE_MODEL}`",
    "drift_report": "every day at 05:00 UTC",
    "weekly_learning_report": "Sundays at 09:00 UTC",
    "creative_effects": f"Sundays at 07:30 UTC, and on `{VISUAL_SCENES}`",
    "warm_caches": f"every day at 05:30 UTC, and on `{RESULTS}`, `{CHAMPION_MOVED}`",
    "evaluate_experiment": f"every day at 06:00 UTC, and on `{CTR_MODEL}`",
    "housekeeping": "every day at 06:30 UTC",
    "promote_model": f"on `{PROMOTION_WANTED}`",
    "roll_back_model": "by hand",
    "watch_registry": f"cron `*/15 * * * *` UTC, and on `{ALIAS_MOVED}`",
}

TOPOLOGY = {
    "hubspot_etl": {
        "read_directory": {"read_deals", "sum_up"},
        "read_deals": {"read_archived_deals", "sum_up"},
        "read_archived_deals": {"read_contacts", "sum_up"},
        "read_contacts": {"read_companies", "sum_up"},
        "read_companies": {"check", "sum_up"},
        "check": {"sum_up"},
        "sum_up": {"is_complete", "publish", "report"},
        "is_complete": {"publish"},
        "publish": {"report"},
        "report": set(),
    },
    "meta_insights_etl": {
        "choose_windows": {"load_accounts", "report"},
        "list_accounts": {"load_accounts"},
        "load_accounts": {"report"},
        "report": set(),
    },
    "mine_ad_features": {
        "choose_accounts": {"mine"},
        "mine": {"judge", "report"},
        "judge": {"report"},
        "report": set(),
    },
    "nightly_batch_api": {
        "queue_unscored_creatives": {"queue_questions_of_tomorrow"},
        "queue_questions_of_tomorrow": {"submit_batches"},
        "submit_batches": {"wait_for_batches", "collect_results"},
        "wait_for_batches": {"collect_results"},
        "collect_results": {"report"},
        "report": set(),
    },
    "visual_analysis_gpu": {
        "find_videos": {"analyse", "collect"},
        "analyse": {"collect", "report"},
        "collect": {"is_any_new", "publish", "report"},
        "is_any_new": {"publish"},
        "publish": {"report"},
        "report": set(),
    },
    "train_ctr_model": {
        "choose_window": {"train_and_register"},
        "train_and_register": {"report", "tell"},
        "tell": {"report"},
        "report": set(),
    },
    "train_pipeline_value": {
        "train_and_register": {"report"},
        "report": set(),
    },
    "forecast_pipeline": {
        "forecast": {"report"},
        "report": set(),
    },
    "drift_report": {
        "choose_models": {"assess"},
        "assess": {"decide", "no_action", "alert", "retrain", "report"},
        "decide": {"no_action", "alert", "retrain"},
        "no_action": {"report"},
        "alert": {"report"},
        "retrain": {"report"},
        "report": set(),
    },
    "warm_caches": {
        "keep_answers": {"ask_what_is_missing", "report"},
        "ask_what_is_missing": {"report"},
        "compute_predictions": {"report"},
        "report": set(),
    },
    "evaluate_experiment": {
        "evaluate": {"tell", "is_anything_better", "ask_for_promotion", "report"},
        "tell": {"report"},
        "is_anything_better": {"ask_for_promotion"},
        "ask_for_promotion": {"report"},
        "report": set(),
    },
    "housekeeping": {
        "keep_house": {"report"},
        "trim_predictions": {"report"},
        "trim_loads": {"report"},
        "report": set(),
    },
    "promote_model": {
        "gather_evidence": {
            "choose_path",
            "ask_a_person",
            "promote_automatically",
            "put_off",
            "report",
            *ENDS,
        },
        "choose_path": {"ask_a_person", "promote_automatically", "put_off"},
        "ask_a_person": {"act_on_answer", *ENDS},
        "act_on_answer": ENDS,
        "promote": {"report"},
        "promote_automatically": {"report"},
        "reject": {"report"},
        "time_out": {"report"},
        "put_off": {"report"},
        "report": set(),
    },
    "roll_back_model": {
        "roll_back": {"report"},
        "report": set(),
    },
    "watch_registry": {
        "look": {"tell", "has_a_champion_moved", "announce", "report"},
        "tell": {"report"},
        "has_a_champion_moved": {"announce"},
        "announce": {"report"},
        "keep_webhook": {"report"},
        "report": set(),
    },
    "creative_effects": {
        "estimate": {"report"},
        "report": set(),
    },
    "weekly_learning_report": {
        "gather": {"post", "report"},
        "post": {"report"},
        "report": set(),
    },
}

PARAMS = {
    "hubspot_etl": {"day", "mode", "since"},
    "meta_insights_etl": {"day", "since"},
    "mine_ad_features": {"day", "judge"},
    "nightly_batch_api": {"day", "limit"},
    "visual_analysis_gpu": {"day", "sampling", "account", "limit", "again"},
    "train_ctr_model": {"day", "scope", "reason", "mode"},
    "train_pipeline_value": {"day", "reason"},
    "forecast_pipeline": {"day"},
    "drift_report": {"day", "scope"},
    "weekly_learning_report": {"day", "scope"},
    "creative_effects": {"day", "scope"},
    "warm_caches": {"day"},
    "evaluate_experiment": {"day"},
    "housekeeping": {"day", "dry_run"},
    "promote_model": {"day", "model", "version", "reason"},
    "roll_back_model": {"day", "model", "champion", "reason"},
    "watch_registry": {"day"},
}
