"""Whose data a run works on, as a param."""

from airflow.sdk import Param


def scope_param() -> Param:
    """All accounts, or one."""
    return Param(
        "all",
        type="string",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$",
        title="Scope",
        description="'all' for every account an API feeds, or one account's id, also of an imported export.",
    )
