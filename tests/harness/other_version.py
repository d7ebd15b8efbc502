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
    # Not in the names of directories, where dependencies of the same version are built: these have a hyphen before it.
    ours = re.compile(rb"(?<![-.0-9])" + re.escape(VERSION.encode()) + rb"(?![.0-9])")
    changed, places = ours.subn(version.encode(), compiled.read_bytes())
    assert len(version) == len(VERSION) and places, f"{compiled} does not say its version"
    copy = directory / compiled.name
    copy.write_bytes(changed)
    copy.chmod(0o755)
    return copy
