"""META.json, by which PGXN knows a distribution: https://pgxn.org/spec/ says what it must have."""

import json
import re

from .scripts import NAME, ROOT

META = ROOT / "META.json"
# A version as https://semver.org/ has it, which that page asks for.
SEMANTIC = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?")
REQUIRED = {"name": str, "version": str, "abstract": str, "maintainer": (str, list), "license": (str, list, dict), "provides": dict, "meta-spec": dict}
PHASES = {"configure", "build", "test", "runtime", "develop"}
RELATIONS = {"requires", "recommends", "suggests", "conflicts"}


def faults(version):
    """What PGXN would refuse, and a version that is not this one."""
    meta = json.loads(META.read_text())
    for key, kind in REQUIRED.items():
        if not isinstance(meta.get(key), kind) or not meta[key]:
            yield f"META.json: {key} is missing"
            return
    if meta["meta-spec"].get("version") != "1.0.0":
        yield "META.json: meta-spec must be version 1.0.0"
    if NAME not in meta["provides"]:
        yield f"META.json: provides lacks {NAME}"
    for name, extension in meta["provides"].items():
        for key in ("file", "version"):
            if not extension.get(key):
                yield f"META.json: {name} lacks {key}"
        for key in ("file", "docfile"):
            if key in extension and not (ROOT / extension[key]).exists():
                yield f"META.json: {key} of {name} does not exist: {extension[key]}"
    for named in (meta["version"], *(extension.get("version") for extension in meta["provides"].values())):
        if named != version or not SEMANTIC.fullmatch(named):
            yield f"META.json: is of version {named}, not {version}"
    for phase, relations in meta.get("prereqs", {}).items():
        if phase not in PHASES or not relations.keys() <= RELATIONS:
            yield f"META.json: prereqs has what PGXN does not know, in {phase}"
    if meta.get("release_status", "stable") not in ("stable", "testing", "unstable"):
        yield "META.json: release_status is none"


def set_version(version):
    """Names another version everywhere in META.json; the path of it."""
    META.write_text(re.sub(r'(?m)^(\s*"version": )"[^"]+"', rf'\1"{version}"', META.read_text()))
    return META
