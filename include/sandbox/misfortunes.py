"""Ordered faults turned into what goes wrong with a batch."""

from collections.abc import Iterable
from dataclasses import replace

from include.sandbox.batches import Misfortune
from include.sandbox.faults import Expire, Fault, PartialFailure, arguments_of


def misfortune_of(faults: Iterable[Fault], usual: Misfortune) -> Misfortune:
    """`usual`, changed by the faults that a batch suffers when it is created.

    An order that leaves the type of error to us takes that of `usual`.
    """
    faults = list(faults)
    failing, expiring = arguments_of(faults, PartialFailure), arguments_of(faults, Expire)
    told = usual
    if failing is not None:
        told = replace(told, errored_share=failing.share, error_type=failing.error_type or usual.error_type)
    if expiring is not None:
        told = replace(told, expired_share=expiring.share, expires_after=expiring.after_seconds)
    return told
