"""Slack messages as data, and their delivery.

A builder (`failure`, `drift`, `weekly`) turns facts into a `SlackMessage`: plain text and Block Kit blocks,
within Slack's limits and free of secrets. `delivery` posts one under a key, once.
"""

from include.alerts.delivery import (
    SlackChannel,
    SlackLedgerUnavailable,
    SlackPosting,
    SlackRefused,
    SlackUnavailable,
    post,
    post_once,
)
from include.alerts.message import Picture, SlackMessage

__all__ = [
    "Picture",
    "SlackChannel",
    "SlackLedgerUnavailable",
    "SlackMessage",
    "SlackPosting",
    "SlackRefused",
    "SlackUnavailable",
    "post",
    "post_once",
]
