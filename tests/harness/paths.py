"""Where the built files and the server's programs are."""

import functools
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
PG_CONFIG = os.environ.get("PG_CONFIG") or "/usr/lib/postgresql/15/bin/pg_config"


@functools.cache
def pg_config(what):
    """One answer of pg_config, such as `bindir`."""
    return pathlib.Path(
        subprocess.run([PG_CONFIG, f"--{what}"], check=True, capture_output=True, text=True).stdout.strip()
    )


def pg_program(name):
    """The path of one of the server's programs."""
    return pg_config("bindir") / name
