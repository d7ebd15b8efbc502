"""A serialization failure is for the client, which begins again; it is no error of a scenario."""

import psycopg2
import pytest

STATUS = "select last_error from marketing_automation.scenario_status where last_error is not null"


def _old_snapshot(shop, level):
    """A transaction that sees what is there now."""
    connection = shop.connect(autocommit=False)
    connection.set_session(isolation_level=level)
    connection.cursor().execute("select count(*) from marketing_automation.record")
    return connection


LEVELS = pytest.mark.parametrize("level", ["repeatable read", "serializable"])


@LEVELS
def test_enrolling_says_that_it_could_not_be_serialized(shop, level):
    shop.customers("Ada")
    shop.scenario()
    old = _old_snapshot(shop, level)
    shop.query("select * from marketing_automation.enroll()")
    with pytest.raises(psycopg2.errors.SerializationFailure):
        old.cursor().execute("select * from marketing_automation.enroll('welcome')")
    old.rollback()
    assert shop.query(STATUS) == []
    old.cursor().execute("select * from marketing_automation.enroll('welcome')")


@LEVELS
def test_processing_says_that_it_could_not_be_serialized(shop, level):
    shop.customers("Ada")
    shop.scenario(action=None, subject=None, body=None)
    shop.query("select * from marketing_automation.enroll()")
    old = _old_snapshot(shop, level)
    shop.query("select marketing_automation.process_due()")
    with pytest.raises(psycopg2.errors.SerializationFailure):
        old.cursor().execute("select marketing_automation.process_due()")
    old.rollback()
    assert shop.query(STATUS) == []
    cursor = old.cursor()
    cursor.execute("select marketing_automation.process_due()")
    assert cursor.fetchone() == (0,)
