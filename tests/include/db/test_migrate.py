import threading

import pytest
from sqlalchemy import create_engine, text

from include.db import make_engine
from include.db.migrate import current_revision, downgrade, main, upgrade

SCHEMAS = {"ads", "llm", "ml", "alerts", "crm", "visual"}


@pytest.fixture
def empty(postgres):
    postgres.make_database("migrating", vector=True)
    engine = make_engine(postgres.dsn("migrating"))
    yield engine
    engine.dispose()
    with create_engine(
        postgres.dsn().replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
    ).connect() as server:
        server.execute(text("DROP DATABASE migrating WITH (FORCE)"))


def shape(engine):
    """Every column, index and constraint of our schemas."""
    with engine.connect() as connection:
        return {
            str(row)
            for query in (
                "SELECT table_schema, table_name, column_name, data_type, is_nullable, column_default "
                "FROM information_schema.columns WHERE table_schema = ANY(:schemas)",
                "SELECT schemaname, indexname, indexdef FROM pg_indexes WHERE schemaname = ANY(:schemas)",
                "SELECT connamespace::regnamespace::text, conname, pg_get_constraintdef(oid) "
                "FROM pg_constraint WHERE connamespace::regnamespace::text = ANY(:schemas)",
            )
            for row in connection.execute(text(query), {"schemas": sorted(SCHEMAS)})
        }


def test_up_down_and_up_again_ends_where_it_began(empty):
    upgrade(empty)
    first, revision = shape(empty), current_revision(empty)
    assert {schema for schema in SCHEMAS if any(f"'{schema}'" in line for line in first)} == SCHEMAS
    downgrade(empty)
    assert shape(empty) == set()
    assert current_revision(empty) is None
    upgrade(empty)
    assert shape(empty) == first
    assert current_revision(empty) == revision


def test_upgrading_twice_changes_nothing(empty):
    upgrade(empty)
    first = shape(empty)
    upgrade(empty)
    assert shape(empty) == first


def test_two_upgrades_at_once_do_not_collide(empty):
    failures = []

    def migrate():
        try:
            upgrade(empty)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert current_revision(empty) is not None


def test_a_database_of_another_kind_is_refused_with_the_variable_to_set():
    with pytest.raises(ValueError, match="AIRFLOW_CONN_NIGHTSHIFT_DB"):
        make_engine("sqlite:///somewhere.db")


def test_the_command_says_in_a_sentence_where_the_database_ended(db, monkeypatch, capsys):
    assert main() == 0
    assert f"is at {current_revision(db)}" in capsys.readouterr().out
    nowhere = '{"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "schema": "nightshift"}'
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTSHIFT_DB", nowhere)
    assert main() == 1
    assert "migrate: the nightshift database does not answer (" in capsys.readouterr().err
