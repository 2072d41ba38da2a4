from __future__ import annotations

import socket
import time

import pytest
from sqlalchemy import make_url

from include.llm.cache.connections import Breaker, ImpatientPool
from include.llm.errors import CacheUnavailable


def pool_on(port: int, **changes) -> ImpatientPool:
    values = {"size": 2, "patience_s": 0.2, "failures": 3, "pause_s": 0.3, "settings": {}, **changes}
    return ImpatientPool(make_url(f"postgresql://u:p@127.0.0.1:{port}/d"), **values)


def test_a_server_that_accepts_and_says_nothing_costs_no_more_than_the_patience():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pool = pool_on(silent.getsockname()[1])
        began = time.monotonic()
        with pytest.raises(CacheUnavailable, match="within 200 ms"):
            pool.run("try", lambda conn: conn.execute("SELECT 1"))
        assert time.monotonic() - began < 0.4


def test_after_failures_in_a_row_nobody_waits_and_after_a_pause_one_tries():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    pool = pool_on(port)
    for _ in range(3):
        with pytest.raises(CacheUnavailable, match=r"failed \("):
            pool.run("try", lambda conn: conn.execute("SELECT 1"))
    with pytest.raises(CacheUnavailable, match="left alone"):
        pool.run("try", lambda conn: conn.execute("SELECT 1"))
    time.sleep(0.35)
    with pytest.raises(CacheUnavailable, match=r"failed \("):
        pool.run("try", lambda conn: conn.execute("SELECT 1"))
    with pytest.raises(CacheUnavailable, match="left alone"):
        pool.run("try", lambda conn: conn.execute("SELECT 1"))


def test_a_breaker_opens_again_when_one_went_well():
    breaker = Breaker(failures=2, pause_s=0.05)
    breaker.failed()
    breaker.failed()
    assert not breaker.lets_through()
    time.sleep(0.06)
    assert [breaker.lets_through(), breaker.lets_through()] == [True, False]
    breaker.went_well()
    assert breaker.lets_through()


def test_a_lost_connection_is_made_anew(db):
    pool = ImpatientPool(db.url, size=1, patience_s=5, failures=3, pause_s=1, settings={})
    (first,) = pool.run("try", lambda conn: conn.execute("SELECT pg_backend_pid()").fetchone())
    with db.begin() as conn:
        conn.exec_driver_sql(f"SELECT pg_terminate_backend({first})")
    with pytest.raises(CacheUnavailable):
        pool.run("try", lambda conn: conn.execute("SELECT 1"))
    assert pool.run("try", lambda conn: conn.execute("SELECT pg_backend_pid()").fetchone()) != (first,)
    pool.close()
