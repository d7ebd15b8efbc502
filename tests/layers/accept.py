"""Takes what golden tests printed in the last run as what they are to print: `make test-regress-accept NAME="a b"`."""

import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.installation import server_version  # noqa: E402
from harness.paths import ROOT, TARGET  # noqa: E402


def main(names):
    runs = TARGET / "regress" / f"pg{server_version()}"
    if not names:
        print('which? make test-regress-accept NAME="events install"', file=sys.stderr)
        return 2
    for name in names:
        printed = next(runs.glob(f"*/results/{name}.out"), None)
        if printed is None:
            print(f"{name} has printed nothing yet; run it: make test-regress REGRESS={name}", file=sys.stderr)
            return 1
        golden = ROOT / "tests" / "regress" / "expected" / printed.name
        shutil.copyfile(printed, golden)
        print(f"{golden.relative_to(ROOT)} is what the last run printed; look at it: git diff")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
