"""The semantic cache: answers that were given before, for the same question or one that means the same.

`SemanticCache` (`store`) is its door. `promise` holds what keeps wrong answers rare, `upkeep` what a nightly
DAG does for it.
"""

from include.llm.cache.lookup import Answered, Lookup, LookupKind, Namespace, Neighbour, exact_key
from include.llm.cache.store import SemanticCache

__all__ = [
    "Answered",
    "Lookup",
    "LookupKind",
    "Namespace",
    "Neighbour",
    "SemanticCache",
    "exact_key",
]
