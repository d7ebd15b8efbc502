"""Processor time of processes: where the time of a stage goes. On a machine that others use these figures can be compared, and rates cannot."""

import os
import pathlib

TICKS = os.sysconf("SC_CLK_TCK")


def time(pid):
    """Seconds of processor time of a process so far."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def times(processes):
    """The same of several, by the names that they go by."""
    return {name: time(pid) for name, pid in processes.items()}


def tree(pid):
    """The same of a process, of all that it has started, and of those of them that have ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            fields = stat.read().rpartition(")")[2].split()
        children = [child for listing in pathlib.Path(f"/proc/{pid}/task").glob("*/children") for child in listing.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):  # it has ended, and its time is its parent's
        return 0
    return sum(map(int, fields[11:15])) / TICKS + sum(map(tree, children))


def since(before, processes):
    """What they have spent since `times()` said `before`."""
    return {name: time(pid) - before[name] for name, pid in processes.items()}


def note(results, each, count, seconds, spent):
    """Writes under the last result what `each` of `count` cost; spent: seconds by process."""
    total = sum(spent.values()) / count * 1e6
    of_each = ", ".join(f"{name} {cpu / count * 1e6:.0f}" for name, cpu in spent.items())
    results.note(f"{total:.0f} µs of processor time {each} ({of_each}), {seconds / count * 1e6:.0f} µs by the clock")
