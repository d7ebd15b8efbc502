"""What the demo says: one line a step, with the time it took."""

import contextlib
import sys
import time

WIDTH = 92
_colour = sys.stdout.isatty()
_number = 0


def _styled(code, text):
    return f"\033[{code}m{text}\033[0m" if _colour else text


def title(text):
    """A headline."""
    print("\n" + _styled("1", text) + "\n")


def note(text=""):
    """A line that belongs to the step before."""
    for line in text.splitlines() or [""]:
        print("        " + line if line else "")


@contextlib.contextmanager
def step(text):
    """A numbered step; what it yields may be called with what came out, to be shown below."""
    global _number
    _number += 1
    label = f"  {_number:2}.  {text} "
    print(label, end="", flush=True)
    notes = []
    started = time.monotonic()
    try:
        yield notes.append
    except BaseException:
        print(_styled("31", " failed"))
        raise
    seconds = f" {time.monotonic() - started:.1f} s"
    print(_styled("2", "." * max(3, WIDTH - len(label) - len(seconds)) + seconds))
    for text in notes:
        note(_styled("2", text))
