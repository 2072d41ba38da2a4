"""A program that asks one question through the cache: `asker.py FOLDER ANTHROPIC_URL KEY DB_URL TEXT`.

It prints how it was answered. `crash` as a sixth argument ends it while the model is thinking.
"""

import os
import sys
import threading
from pathlib import Path

from include.db import make_engine
from include.llm.bill import Bill
from include.llm.cache import SemanticCache
from include.llm.cache.embedder import default_embedder
from include.llm.cached import CachedLLM
from include.llm.flights import Claims
from include.llm.live import LiveModels
from include.llm.vendors.anthropic import anthropic_client
from tests.include.llm.clients import settings_with, talk


def main(folder: str, url: str, key: str, database: str, text: str, crash: str = "") -> None:
    """Ask."""
    settings = settings_with({"flight_wait_s": 20.0})
    engine = make_engine(database)
    models = LiveModels(
        {"anthropic": anthropic_client(url, key, timeout_s=20)},
        Bill(engine, settings, Path(folder)),
        settings,
    )
    cache = SemanticCache(engine, default_embedder(), settings.llm.cache)
    with CachedLLM(cache, models, Claims(engine, settings), settings) as llm:
        if crash:
            threading.Timer(float(crash), os._exit, [1]).start()
        print(llm.ask(talk(text)).how.value)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
