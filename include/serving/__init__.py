"""The house's HTTP service: applications ask it, and know nothing of queues, batches or models behind it.

`app.py` puts it together from subjects, each a router of its own; `door.py` checks key and size before a
body is taken in, with the keys of `keys.py`; `errors.py` words every refusal.
- language-model requests for tonight: `llm_routes.py` (routes), `llm_bodies.py` (what may be asked and what
  is answered), `llm_questions.py` (turns it into requests of the queue, or says what is wrong), `schemas.py`
  (JSON schemas that strangers send)
- click rates of ads, and experiments on them: `predictions/`
- `python -m include.serving` serves it
"""

from include.serving.app import Subject, create_app
from include.serving.keys import ApiKeys, ApiKeysUnusable

__all__ = ["ApiKeys", "ApiKeysUnusable", "Subject", "create_app"]
