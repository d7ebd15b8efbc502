"""Sessions that run statements side by side, of which no two may wait for each other."""

import threading
import time

import psycopg2

DEADLOCKS = "select deadlocks from pg_stat_database where datname = current_database()"


def run_at_once(shop, names, steps, execute, is_told, seconds=3):
    """Runs the statements `steps[name]` of each of the `names` in a session of its own, for so many seconds and once at least, and
    shows that nothing went wrong.

    `execute(cursor, statement)` runs one; `is_told(error)`: whether an error is no fault, but what is said to people.
    """
    deadlocks = shop.value(DEADLOCKS)
    end = time.monotonic() + seconds
    errors, turns = [], {}

    def loop(number, name):
        connection = shop.connect(options="-c statement_timeout=60s")
        cursor = connection.cursor()
        turn = 0
        # Once at least, whenever a machine that is busy lets it begin.
        while turn == 0 or time.monotonic() < end:
            for statement in steps[name]:
                try:
                    execute(cursor, statement)
                    turn += 1
                except psycopg2.Error as error:
                    if not is_told(error):
                        errors.append((name, statement, error))
        connection.close()
        turns[number] = turn

    threads = [threading.Thread(target=loop, args=item) for item in enumerate(names)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [], errors
    assert min(turns.values()) > 0
    assert shop.value(DEADLOCKS) == deadlocks
