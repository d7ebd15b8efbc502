"""The demo: a campaign from `create extension` to the follow-ups, on real parts.

`python3 tests/demo` plays it, with KEEP=1 in the environment it is left running at the end, and
`python3 tests/demo stop` ends one that was left. `python3 tests/demo year` plays a year of a shop.
"""

import os
import pathlib
import sys
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from demo import kept, story, year  # noqa: E402
from harness.paths import TARGET  # noqa: E402


def main(arguments):
    if arguments == ["stop"]:
        print("The demo has been stopped." if kept.stop() else "No demo is running.")
        return 0
    if arguments == ["year"]:
        return _played(lambda: year.play(year.days_to_play()))
    if kept.stop():
        print("The demo that was left running has been stopped; this one replaces it.")
    return _played(lambda: story.play(keep=os.environ.get("KEEP", "") not in ("", "0")))


def _played(play):
    """Plays it; what to exit with."""
    try:
        play()
    except KeyboardInterrupt:
        print("\nStopped, nothing is left running.")
        return 130
    except Exception as error:  # a person reads this: one line, the rest is in the files
        with open(TARGET / "demo" / "failure.log", "w", encoding="utf-8") as log:
            traceback.print_exc(file=log)
        print(f"\nThe demo failed: {error}\nSee failure.log and server.log in {TARGET / 'demo'}. Nothing is left running.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
