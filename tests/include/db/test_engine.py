import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from include.db import make_engine


def test_an_error_of_the_database_does_not_tell_what_was_to_be_stored(db):
    with pytest.raises(DBAPIError) as failed, db.connect() as conn:
        conn.execute(text("SELECT :words, 1 / 0"), {"words": "somebody@example.org"})
    assert "division by zero" in str(failed.value)
    assert "somebody" not in str(failed.value)


def test_an_address_of_another_database_is_refused_without_its_password():
    with pytest.raises(ValueError, match="AIRFLOW_CONN_NIGHTSHIFT_DB") as refusal:
        make_engine("mysql://me:hidden@there/nightshift")
    assert "hidden" not in str(refusal.value)
