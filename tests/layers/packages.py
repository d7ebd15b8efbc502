"""The layer that makes Debian packages, and installs them in a copy of this machine whose changes go nowhere."""

import hashlib
import os
import pathlib
import re

from harness.installation import FETCHED, PG_CONFIG, server_version
from harness.paths import ROOT, TARGET

DEBS = TARGET / "deb"
TRIAL = ROOT / "tests" / "layers" / "package_trial.sh"
# Any date, the same for both.
MAKE = {"PROFILE": "debug", "SOURCE_DATE_EPOCH": "1795000000"}
SUDO = () if os.geteuid() == 0 else ("sudo",)
# The first upload to Debian itself closes a bug there.
NOT_FOR_DEBIAN = "initial-upload-closes-no-bugs"
# What the package has instead of the manual's place and options.
IN_THE_PACKAGE = re.compile(r"^(Documentation|ExecStart|Environment)=.*\n", re.M)


def package(log):
    """Packages are the same each time, lintian has nothing to say, and who follows README has his first mail."""
    if FETCHED in pathlib.Path(PG_CONFIG).parents or server_version() != 15:
        log.leave_out("packages: README has those of Debian's own server")
        return
    log.run(".ci/setup", "package")
    digests = []
    for built in ("", "1"):
        log.run(".ci/deb", environment={**MAKE, "BUILT": built})
        digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in DEBS.glob("*.deb")})
    log.expect(len(digests[0]) == 2 and digests[0] == digests[1], f"not the same each time: {digests}")
    log.check("lintian", "--fail-on", "error,warning", "--suppress-tags", NOT_FOR_DEBIAN, "--info", *sorted(DEBS.glob("*.deb")))
    for page, unit in (("proxy", "marketing-tracking-proxy"), ("mailer", "marketing-mailer")):
        shown = re.search(r"^```ini\n(\[Unit\].*?)^```$", (ROOT / "docs" / f"{page}.md").read_text(), re.M | re.S)[1]
        packaged = (ROOT / "packaging" / f"{unit}.service").read_text()
        log.expect(IN_THE_PACKAGE.sub("", shown) == IN_THE_PACKAGE.sub("", packaged), f"docs/{page}.md shows another unit than {unit}.service")
    log.check(*SUDO, "unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "bash", TRIAL, DEBS, ROOT / "README.md")
