"""Which registered model a run is about, and why, as params."""

from airflow.sdk import Param

MODEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,149}$"


def model_param() -> Param:
    """A registered model."""
    return Param(
        "ctr",
        type="string",
        pattern=MODEL_PATTERN,
        title="Model",
        description="The registered model in MLflow, such as ctr, ctr_<account>, or pipeline_value.",
    )


def reason_param() -> Param:
    """Why, or nothing."""
    return Param(
        None,
        # Null, not "": an empty text counts as missing in the form, which then cannot be sent.
        type=["null", "string"],
        maxLength=500,
        title="Reason",
        description="Why, in a few words; kept with the version and shown on Slack.",
    )


def version_param(title: str, description: str) -> Param:
    """A version's number, or empty."""
    return Param(
        None, type=["null", "integer"], minimum=1, maximum=2_000_000_000, title=title, description=description
    )
