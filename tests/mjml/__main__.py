"""Compares our MJML with that of the npm package mjml, which is asked again: text and elements by the test of this folder, and
pictures in Chromium. `make compare-mjml`; KEEP=1 takes over what the package makes as `expected`."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.paths import ROOT, TARGET  # noqa: E402

HERE = ROOT / "tests" / "mjml"
# The version whose attributes src/mail/mjml/elements has; the others compare pictures, in the last versions that are CommonJS.
PACKAGES = {"mjml": "4.18.0", "pngjs": "7.0.0", "pixelmatch": "5.3.0"}
FOLDER = TARGET / "mjml"
# Where the test writes ours.
OURS = TARGET / "tmp" / "mjml"
# A phone, and the width of the mails.
WIDTHS = (375, 600)
# Of the half million of a picture.
FEW_PIXELS = 50


def main():
    install()
    passed = failed = 0

    def check(holds, otherwise):
        nonlocal passed, failed
        passed, failed = passed + bool(holds), failed + (not holds)
        if not holds:
            print(otherwise)

    names = sorted(template.stem for template in (HERE / "templates").glob("*.mjml"))
    for name in names:
        html = node("html", HERE / "templates" / f"{name}.mjml")
        expected = HERE / "expected" / f"{name}.html"
        if os.environ.get("KEEP"):
            expected.write_text(html)
        (FOLDER / f"{name}.theirs.html").write_text(html)
    subprocess.run(["cargo", "test", "-q", "--no-default-features", "--features", "proxy", "--test", "mjml"], cwd=ROOT, check=True)
    for name in names:
        for width in WIDTHS:
            ours, theirs = picture(OURS / f"{name}.html", width), picture(FOLDER / f"{name}.theirs.html", width)
            different = int(node("picture", ours, theirs))
            check(different <= FEW_PIXELS, f"{name}, {width} pixels wide: {different} differ, see {ours} and {theirs}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def install():
    manifest = FOLDER / "package.json"
    if manifest.exists() and json.loads(manifest.read_text()).get("dependencies") == PACKAGES:
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    manifest.write_text('{"private": true}\n')
    wanted = [f"{name}@{version}" for name, version in PACKAGES.items()]
    options = ("--save-exact", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    subprocess.run(["npm", "install", *options, *wanted], cwd=FOLDER, check=True, stdout=subprocess.DEVNULL)


def node(*arguments):
    """What npm.mjs prints."""
    return subprocess.run(["node", HERE / "npm.mjs", *arguments], cwd=FOLDER, check=True, capture_output=True, text=True).stdout


def picture(page, width):
    """What a browser shows of a page; nothing is fetched."""
    into = FOLDER / f"{page.stem}-{width}.png"
    # A window is at least 500 pixels wide, and a frame as narrow as it is told.
    frame = into.with_suffix(".html")
    frame.write_text(f'<body style="margin:0"><iframe src="{page.as_uri()}" style="border:0;width:{width}px;height:1600px"></iframe>')
    subprocess.run(
        [
            "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={FOLDER / 'browser'}", f"--window-size={max(WIDTHS)},1600", f"--screenshot={into}", frame.as_uri(),
        ],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return into


if __name__ == "__main__":
    sys.exit(main())
