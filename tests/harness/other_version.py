"""A program or library of another version, without compiling it again.

The version is one constant of five or so characters in what was compiled, and nothing else depends on it. A copy in which it is
written over by another of the same length is, to all that it meets, the program of that version.
"""

import re

from .paths import ROOT

VERSION = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
# No version of this project is older or newer than these.
OLDEST, NEWEST = re.sub(r"\d", "0", VERSION), re.sub(r"\d", "9", VERSION)


def of_version(compiled, version, directory):
    """Writes a copy of what was compiled into a directory, as of that version, which is as long as ours; the path of the copy."""
    before = compiled.read_bytes()
    # All of them, whatever stands beside: constants have no end, so that another one, or the name of a dependency, may follow or precede.
    # What is no version of ours names files of dependencies, in messages.
    assert len(version) == len(VERSION) and VERSION.encode() in before, f"{compiled} does not say its version"
    changed = before.replace(VERSION.encode(), version.encode())
    copy = directory / compiled.name
    copy.write_bytes(changed)
    copy.chmod(0o755)
    return copy
