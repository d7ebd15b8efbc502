"""Where the project's files are, and the programs of the server in use."""

import functools
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")

# The environment names the server in use to the programs that this one starts; `Installation.use` sets it.
IN_USE = "TEST_PG_CONFIG"


@functools.cache
def ask(program, what):
    """One answer of a pg_config, such as its `bindir`."""
    answer = subprocess.run([program, f"--{what}"], check=True, capture_output=True, text=True)
    return answer.stdout.strip()


def pg_config(what, program=None):
    """One path that a pg_config names, unless told which, the one of the server in use."""
    program = program or os.environ.get(IN_USE)
    if not program:
        raise RuntimeError("no server to test in: start this by make")
    return pathlib.Path(ask(program, what))


def pg_program(name, of=None):
    """The path of one of the server's programs; `of`: the pg_config of another server."""
    return pg_config("bindir", of) / name


def has_extension(name, of=None):
    """Whether `create extension` finds it in that server."""
    return (pg_config("sharedir", of) / "extension" / f"{name}.control").exists()


def has_tls(of=None):
    """Whether that server was built to encrypt connections."""
    return "ssl" in str(pg_config("configure", of))
