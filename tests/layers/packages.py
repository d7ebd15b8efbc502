"""The layer that makes Debian packages, and installs them in a copy of this machine whose changes go nowhere."""

import hashlib
import os
import pathlib
import re
import shutil
import tempfile

from harness import Cluster, wait_until
from harness.installation import FETCHED, PG_CONFIG, Installation, server_version
from harness.paths import ROOT, TARGET, pg_config

DEBS = TARGET / "deb"
TRIAL = ROOT / "tests" / "layers" / "package_trial.sh"
# Any date, the same for both.
MAKE = {"PROFILE": "debug", "SOURCE_DATE_EPOCH": "1795000000"}
SUDO = () if os.geteuid() == 0 else ("sudo",)
# The first upload to Debian itself closes a bug there.
NOT_FOR_DEBIAN = "initial-upload-closes-no-bugs"
# What the package has instead of the manual's place and options.
IN_THE_PACKAGE = re.compile(r"^(Documentation|ExecStart|Environment)=.*\n", re.M)


# What Debian's package postgresql-NN has where.
DEBIANS = {"bindir": "/usr/lib/postgresql/{}/bin", "pkglibdir": "/usr/lib/postgresql/{}/lib", "sharedir": "/usr/share/postgresql/{}"}


def package(log):
    """Packages are the same each time, lintian has nothing to say, and who installs them has his first mail."""
    log.run(".ci/setup", "package")
    version = server_version()
    is_debians = FETCHED not in pathlib.Path(PG_CONFIG).parents
    program = PG_CONFIG if is_debians else str(_like_debians(version))
    digests = []
    for built in ("", "1"):
        log.run(".ci/deb", environment={**MAKE, "BUILT": built, "PG_CONFIG": program})
        digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in DEBS.glob("*.deb")})
    log.expect(len(digests[0]) == 2 and digests[0] == digests[1], f"not the same each time: {digests}")
    log.check("lintian", "--fail-on", "error,warning", "--suppress-tags", NOT_FOR_DEBIAN, "--info", *sorted(DEBS.glob("*.deb")))
    _files(log, version)
    for page, unit in (("proxy", "marketing-tracking-proxy"), ("mailer", "marketing-mailer")):
        shown = re.search(r"^```ini\n(\[Unit\].*?)^```$", (ROOT / "docs" / f"{page}.md").read_text(), re.M | re.S)[1]
        packaged = (ROOT / "packaging" / f"{unit}.service").read_text()
        is_same = IN_THE_PACKAGE.sub("", shown) == IN_THE_PACKAGE.sub("", packaged)
        log.expect(is_same, f"docs/{page}.md shows another unit than {unit}.service")
    if is_debians and version == 15:
        log.check(*SUDO, "unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "bash", TRIAL, DEBS, ROOT / "README.md")
    else:
        log.leave_out(f"dpkg and the programs: there is no postgresql-{version} here; its files run in a copy of another build")
        _first_mail(log, version)


def _like_debians(version):
    """A pg_config that says where Debian's server of that version has its files, and takes all else from the fetched one."""
    program = TARGET / "debians" / str(version) / "pg_config"
    program.parent.mkdir(parents=True, exist_ok=True)
    answers = "".join(f"    --{what}) echo {place.format(version)} ;;\n" for what, place in DEBIANS.items())
    program.write_text(f'#!/bin/sh\ncase "$1" in\n{answers}    *) exec {PG_CONFIG} "$@" ;;\nesac\n')
    program.chmod(0o755)
    return program


def _extension(version):
    return next(DEBS.glob(f"postgresql-{version}-marketing-automation_*.deb"))


def _files(log, version):
    """The package of the extension is for that server, and its files are where it looks."""
    name = f"postgresql-{version}-marketing-automation"
    said = log.run("dpkg-deb", "--field", _extension(version), "Package", "Depends", "Suggests")[1]
    fields = rf"^Package: {name}\nDepends: postgresql-{version}, libc6 .*\nSuggests: postgresql-{version}-cron, "
    log.expect(bool(re.search(fields, said)), f"control: {said}")
    paths = re.findall(r" \./(\S+[^/\s])$", log.run("dpkg-deb", "--contents", _extension(version))[1], re.M)
    places = (
        rf"usr/lib/postgresql/{version}/lib/marketing_automation\.so",
        rf"usr/share/postgresql/{version}/extension/marketing_automation(\.control|--[\d.]+(--[\d.]+)?\.sql)",
        rf"usr/share/doc/{name}/.+",
    )
    elsewhere = [path for path in paths if not re.fullmatch("|".join(places), path)]
    log.expect(not elsewhere and len(paths) > 10, f"files elsewhere: {elsewhere}")


def _first_mail(log, version):
    """The files of the package, put into a copy of the server, are enough for README's first mail."""
    installation = Installation().use()
    with tempfile.TemporaryDirectory() as unpacked:
        log.run("dpkg-deb", "--extract", _extension(version), unpacked)
        for what in ("pkglibdir", "sharedir"):
            shutil.copytree(unpacked + DEBIANS[what].format(version), pg_config(what), dirs_exist_ok=True)
    cluster = Cluster(preload="marketing_automation")
    mails = cluster.directory / "mail"
    mails.mkdir()
    os.chown(mails, *cluster.owner())
    try:
        with open(cluster.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(f"marketing_automation.smtp_url = 'file://{mails}'\n")
            conf.write("marketing_automation.automation_base = 'https://track.shop.example'\n")
        cluster.start().query("create database shop")
        cluster.psql(re.search(r"^```sql\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)[1], dbname="shop")
        wait_until(lambda: any("Welcome" in mail.read_text() for mail in mails.glob("*.eml")), what="the first mail")
        log.count(1, 0)
    finally:
        cluster.destroy()
        installation.remove()
