"""`make install` into a server that is running."""

import os
import pathlib
import subprocess

from harness.paths import IN_USE, ROOT, pg_config, pg_program
from release import history, scripts

LIBRARY = "marketing_automation.so"


def test_a_server_that_runs_goes_on_with_its_library_when_another_is_installed(shop, cluster, sink):
    shop.customers("Ada")
    shop.scenario()
    shop.tick()
    sink.wait_for(1)
    library = pg_config("pkglibdir") / LIBRARY
    files = [library, pg_config("sharedir") / "extension" / "marketing_automation.control"]
    files += map(pg_program, ("marketing-tracking-proxy", "marketing-mailer"))
    before = [file.stat().st_ino for file in files]
    log, server, worker = cluster.log_text(), cluster.process.pid, shop.wait_for_worker()

    install()

    assert all(file.stat().st_ino != inode for file, inode in zip(files, before, strict=True)), "written over in place"
    assert not list(library.parent.glob("*.new-*")), "something was left behind"
    assert f"{library} (deleted)" in pathlib.Path(f"/proc/{server}/maps").read_text()
    shop.customers("Bob")
    shop.tick()
    sink.wait_for(2)
    assert (cluster.process.pid, shop.worker()) == (server, worker)
    assert "terminated by signal" not in cluster.log_text().removeprefix(log)

    cluster.restart()
    assert f"{library} (deleted)" not in pathlib.Path(f"/proc/{cluster.process.pid}/maps").read_text()


def install():
    done = subprocess.run(
        [ROOT / ".ci" / "install"],
        env={**os.environ, "PG_CONFIG": os.environ[IN_USE], "PROFILE": "debug", "DESTDIR": ""},
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "until they are restarted" in done.stdout
    script = pg_config("sharedir") / "extension" / f"marketing_automation--{history.current_version()}.sql"
    assert script.read_text() == scripts.install_script()
