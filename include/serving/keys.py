"""Who may ask for whom: keys from NIGHTSHIFT_API_KEYS, a JSON object of tenant -> key.

A tenant is an account's id, or `*` for all of them. One key under several names may ask for each of them.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from include.errors import PermanentError

VARIABLE = "NIGHTSHIFT_API_KEYS"
EVERY_TENANT = "*"
SHORTEST = 16
EXAMPLE = '{"*": "<random word>"}'


class ApiKeysUnusable(PermanentError):
    """The service would start without a key, or with one that is none."""


@dataclass(frozen=True)
class Caller:
    """Whoever presented a key.

    Attributes:
        tenants: whom it may ask for; None is everybody.
    """

    tenants: frozenset[str] | None

    def may_ask_for(self, tenant: str) -> bool:
        """Whether its key is good for this tenant."""
        return self.tenants is None or tenant in self.tenants


class ApiKeys:
    """The keys the service accepts, kept as hashes.

    Raises:
        ApiKeysUnusable: there is none, or one is too short to be secret.
    """

    def __init__(self, keys: Mapping[str, str]) -> None:
        if not keys:
            raise ApiKeysUnusable(
                f"the service needs an API key: set {VARIABLE} to a JSON object such as {EXAMPLE}"
            )
        for tenant, key in keys.items():
            if not tenant or not isinstance(key, str) or len(key) < SHORTEST or not _is_one_word(key):
                raise ApiKeysUnusable(
                    f"{VARIABLE}: the key of '{tenant}' must be {SHORTEST} or more letters, digits and signs "
                    "without a space, and its tenant must have a name"
                )
        self._known = tuple((tenant, _digest(key)) for tenant, key in keys.items())

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "ApiKeys":
        """The keys in NIGHTSHIFT_API_KEYS.

        Raises:
            ApiKeysUnusable: the variable is empty, or no JSON object of tenant -> key.
        """
        text = environ.get(VARIABLE, "").strip()
        try:
            keys = json.loads(text, object_pairs_hook=_without_doubles) if text else {}
        except (ValueError, RecursionError) as error:
            # The text holds secrets, and so may the message of its parser.
            raise ApiKeysUnusable(
                f"{VARIABLE} is not a JSON object that names each tenant once, such as {EXAMPLE}"
            ) from error
        if not isinstance(keys, dict):
            raise ApiKeysUnusable(f"{VARIABLE} is JSON but not an object of tenant -> key")
        return cls(keys)

    def caller(self, presented: str) -> Caller | None:
        """Whose key this is; None where it is nobody's.

        Every known key is compared, each in a time that does not depend on where it differs.
        """
        digest = _digest(presented)
        tenants = {tenant for tenant, known in self._known if hmac.compare_digest(known, digest)}
        if not tenants:
            return None
        return Caller(None if EVERY_TENANT in tenants else frozenset(tenants))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _is_one_word(key: str) -> bool:
    return key.isascii() and key.isprintable() and " " not in key


def _without_doubles(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    pairs = list(pairs)
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name is there twice")
    return values
