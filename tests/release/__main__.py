"""`make update-script` and `make release-freeze`; `check` is part of `make test-lint`."""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from release import history, scripts  # noqa: E402


def main():
    parser = argparse.ArgumentParser(prog="release")
    commands = parser.add_subparsers(dest="command", required=True)
    update = commands.add_parser("update-script", help="write the script that leads to the current version")
    update.add_argument("start", nargs="?", help="the release to update from; by default the latest")
    freeze = commands.add_parser("freeze", help="release the current version")
    freeze.add_argument("following", help="the version to go on with")
    commands.add_parser("check", help="say what is stale, has changed since its release, or cannot be run again")
    chosen = parser.parse_args()
    try:
        match chosen.command:
            case "update-script":
                print(f"wrote {history.write_update_script(chosen.start)}")
            case "freeze":
                print(*(f"wrote {path}" for path in history.freeze(chosen.following)), sep="\n")
            case "check":
                found = [*scripts.faults(), *history.faults()]
                print(*found or [f"{len(scripts.order())} files, releases: {', '.join(history.releases()) or 'none'}"], sep="\n")
                return bool(found)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
