"""People's data made unreadable: keyed HMACs of what joins, and masks over what texts may carry.

What is hashed is brought to one form first, so that the same person has one HMAC however they were typed.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from include.crm.errors import CrmNotConnected

_EMAIL = re.compile(r"[^\s@<>(),;:\"']+\s?@\s?[^\s@<>(),;:\"']+")
# Seven digits or more, with the signs people put between them.
_PHONE = re.compile(r"\+?\(?\d(?:[\s().\-/]{0,3}\d){6,}")
_LEAST_DIGITS = 5


class PeopleKey:
    """Makes keyed HMACs; its representation does not show the key.

    Raises:
        CrmNotConnected: the key is missing or too short.
    """

    def __init__(self, key: str, least_chars: int) -> None:
        if len(key) < least_chars:
            what = "lacks" if not key else "has too short"
            raise CrmNotConnected(
                f"connection hubspot_default {what} an hmac_key, without which e-mails and phones cannot be "
                f"made unreadable: set its extra hmac_key to {least_chars} or more random characters"
            )
        self._key = key.encode()

    def fingerprint(self) -> str:
        """Tells one key from another without telling the key."""
        return self._hmac("fingerprint of this key")[:16]

    def email(self, text: str | None) -> str | None:
        """HMAC of an e-mail address; None where there is none."""
        return self._of(normal_email(text))

    def phone(self, text: str | None) -> str | None:
        """HMAC of a phone number; None where there is none."""
        return self._of(normal_phone(text))

    def domain(self, text: str | None) -> str | None:
        """HMAC of a company's domain; None where there is none."""
        return self._of(normal_domain(text))

    def _of(self, normal: str | None) -> str | None:
        return None if normal is None else self._hmac(normal)

    def _hmac(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def normal_email(text: str | None) -> str | None:
    """Trimmed and lower-case.

    >>> normal_email("  Ada@Mail.Example ")
    'ada@mail.example'
    """
    normal = (text or "").strip().lower()
    return normal if "@" in normal else None


def normal_phone(text: str | None) -> str | None:
    """Its digits after a plus.

    >>> normal_phone("+1 (555) 100-0000"), normal_phone("0044 20 7946 0000"), normal_phone("n/a")
    ('+15551000000', '+442079460000', None)
    """
    digits = "".join(letter for letter in text or "" if letter.isascii() and letter.isdigit())
    if not (text or "").lstrip().startswith("+"):
        digits = digits.removeprefix("00")
    return f"+{digits}" if len(digits) >= _LEAST_DIGITS else None


def normal_domain(text: str | None) -> str | None:
    """Without scheme, `www.` and path.

    >>> normal_domain("https://WWW.Acme.example/about")
    'acme.example'
    """
    host = re.sub(r"^[a-z][a-z0-9+.-]*://", "", (text or "").strip().lower()).partition("/")[0]
    return host.removeprefix("www.") or None


def masked(text: str, limit: int) -> str:
    """A text in small letters without e-mail addresses and phone numbers, cut to `limit` characters.

    What cannot be printed becomes a space: a database refuses some of it.

    >>> masked("Too dear, says Ada@mail.example (+1 555 100 0000)", 80)
    'too dear, says [e-mail] ([phone])'
    """
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return _PHONE.sub("[phone]", _EMAIL.sub("[e-mail]", printable.strip().lower()))[:limit]


def has_email(text: str) -> bool:
    """Whether something in it looks like an e-mail address."""
    return _EMAIL.search(text) is not None
