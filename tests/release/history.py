"""Released versions: their scripts, which never change again, and what is on the way to the next one."""

import hashlib
import re

from . import pgxn, scripts
from .scripts import NAME, ROOT, SQL, install_script, update_script

RELEASES = SQL / "releases"
SUMS = RELEASES / "SHA256SUMS"
CARGO, LOCK = ROOT / "Cargo.toml", ROOT / "Cargo.lock"
VERSION = re.compile(r'(?m)^version = "([^"]+)"')
LOCKED = re.compile(rf'(?m)(^name = "{NAME}"\nversion = )"[^"]+"')


def current_version():
    """The version that Cargo.toml names; META.json repeats it, as PGXN wants, and nothing else does."""
    return VERSION.search(CARGO.read_text())[1]


def by_number(version):
    """Sorts 0.9.0 before 0.10.0."""
    return tuple(int(part) for part in version.split("."))


def releases():
    """The released versions, oldest first."""
    return sorted((path.stem.split("--")[1] for path in RELEASES.glob(f"{NAME}--*.sql")), key=by_number)


def install_path(version):
    """The frozen install script of a release."""
    return RELEASES / f"{NAME}--{version}.sql"


def update_path(start, to):
    """Where .ci/install and cargo-pgrx take an update script from."""
    return SQL / f"{NAME}--{start}--{to}.sql"


def write_update_script(start=None):
    """Writes the script that leads from a release, the latest by default, to the current version."""
    released = releases()
    if not released:
        raise ValueError("no version has been released: nothing to update from")
    start = start or released[-1]
    if start not in released:
        raise ValueError(f"{start} is no release; there are {', '.join(released)}")
    path = update_path(start, current_version())
    if _relative(path) in _sums():
        raise ValueError(f"{current_version()} is released: its scripts do not change any more")
    path.write_text(update_script(start, current_version()))
    return path


def freeze(following):
    """Releases the current version, and goes on as the following one."""
    version = current_version()
    if version in releases():
        raise ValueError(f"{version} is released already")
    if by_number(following) <= by_number(version):
        raise ValueError(f"{following} does not follow {version}")
    if found := [*scripts.faults(), *faults()]:
        raise ValueError("\n".join(found))
    for folder in (RELEASES, SQL / "updates"):
        folder.mkdir(exist_ok=True)
    install_path(version).write_text(install_script())
    frozen = [install_path(version), *sorted(SQL.glob(f"{NAME}--*--{version}.sql"))]
    with open(SUMS, "a", encoding="utf-8") as sums:
        sums.writelines(f"{_sum(path)}  {_relative(path)}\n" for path in frozen)
    CARGO.write_text(VERSION.sub(f'version = "{following}"', CARGO.read_text(), count=1))
    pgxn.set_version(following)
    LOCK.write_text(LOCKED.sub(rf'\1"{following}"', LOCK.read_text()))
    steps = SQL / "updates" / f"{version}--{following}.sql"
    steps.write_text(f"-- What tables need on the way from {version} to {following}: nothing yet.\n")
    return [*frozen, steps, write_update_script(version)]


def faults():
    """What is wrong with the scripts of releases and with those on the way to the next one."""
    version, released, sums = current_version(), releases(), _sums()
    yield from pgxn.faults(version)
    for name, checksum in sums.items():
        path = ROOT / name
        if not path.exists() or _sum(path) != checksum:
            yield f"{name}: a released script has changed or is gone; users have it as it was"
    for path in map(install_path, released):
        if _relative(path) not in sums:
            yield f"{_relative(path)}: not in {_relative(SUMS)}"
    if version in released:
        if install_path(version).read_text() != install_script():
            yield f"sql/ has changed since {version} was released: raise the version in Cargo.toml"
        return
    scripts = {path for path in SQL.glob(f"{NAME}--*--*.sql") if _relative(path) not in sums}
    if released:
        scripts.add(update_path(released[-1], version))
    for path in sorted(scripts):
        _, start, to = path.stem.split("--")
        if to != version or start not in released:
            yield f"{_relative(path)}: leads from no release to {version}"
        elif not path.exists() or path.read_text() != update_script(start, to):
            yield f"{_relative(path)}: not what sql/ says now; run `make update-script FROM={start}`"


def _sums():
    if not SUMS.exists():
        return {}
    return {name: checksum for checksum, name in (line.split("  ") for line in SUMS.read_text().splitlines())}


def _sum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _relative(path):
    return str(path.relative_to(ROOT))
