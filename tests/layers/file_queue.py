"""A plugin of pytest: several runs at once share the files of tests, each of which is taken by one.

Each run is a whole pytest, with fixtures of its own and in its main thread. What it takes next it marks in the directory that FILE_QUEUE
names, so that a run that is quicker takes more.
"""

import os
import pathlib
from itertools import groupby

VARIABLE = "FILE_QUEUE"


def pytest_runtestloop(session):
    """Runs one file after the other, as long as there is one that nobody has taken."""
    if session.testsfailed and not session.config.option.continue_on_collection_errors:
        raise session.Interrupted(f"{session.testsfailed} errors during collection")
    files = (list(items) for path, items in groupby(session.items, lambda item: item.path) if _take(path))
    items = next(files, [])
    while items:
        # Known before the last test of this one ends: fixtures of the whole run stay if there is one.
        following = next(files, [])
        for item, after in zip(items, [*items[1:], *following[:1], None]):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
        items = following
    return True


def _take(path):
    try:
        (pathlib.Path(os.environ[VARIABLE]) / path.name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
