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


def pg_config(what):
    """One path that the pg_config of the server in use names."""
    program = os.environ.get(IN_USE)
    if not program:
        raise RuntimeError("no server to test in: start this by make")
    return pathlib.Path(ask(program, what))


def pg_program(name):
    """The path of one of the server's programs."""
    return pg_config("bindir") / name


def has_extension(name):
    """Whether `create extension` finds it in the server in use."""
    return (pg_config("sharedir") / "extension" / f"{name}.control").exists()
