"""Postfix from Debian's package, unpacked and not installed, with a configuration and accounts of its own: these are mounted over the
system's in a mount namespace, which needs root."""

import os
import pathlib
import pwd
import shutil
import socket
import tempfile

from . import lifetime
from .lifetime import free_port
from .paths import TARGET

PACKAGE = TARGET / "packages/postfix"
# As its files say, which nobody has installed.
MAIN = """
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
meta_directory = {directory}/conf
daemon_directory = {package}/usr/lib/postfix/sbin
command_directory = {package}/usr/sbin
shlib_directory = {package}/usr/lib/postfix
import_environment = MAIL_CONFIG LD_LIBRARY_PATH LANG=C
maillog_file = {directory}/log
maillog_file_prefixes = {directory}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.shop.example
mydestination = shop.example
alias_maps =
smtpd_recipient_restrictions = reject_unauth_destination
minimal_backoff_time = 1s
queue_run_delay = 1s
"""
MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
local unix - n n - - local
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
ACCOUNTS = {"postfix": 5151, "postdrop": 5152}


class Postfix:
    """Listens on `port` for shop.example; main and master are added to its configuration, accounts to those of the system."""

    def __init__(self, main, master, accounts):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="ma-postfix-", dir="/tmp"))
        self.directory.chmod(0o755)
        self.port = free_port()
        self.log = self.directory / "log"
        self.process = None
        names = {"directory": self.directory, "package": PACKAGE, "port": self.port}
        (self.directory / "conf").mkdir()
        (self.directory / "conf/main.cf").write_text(MAIN.format(**names) + main)
        (self.directory / "conf/master.cf").write_text(MASTER.format(**names) + master)
        self._accounts({**ACCOUNTS, **accounts})
        self._queue()

    def replace(self, old, new):
        """Other words in master.cf, which must have them."""
        path = self.directory / "conf/master.cf"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, str(new)))

    def start(self):
        lifetime.stop_at_exit(self.stop)
        mounts = " ".join(f"mount --bind {self.directory}/{name} /etc/{name};" for name in ("passwd", "group"))
        self.process = lifetime.spawn(
            ["unshare", "-m", "sh", "-c", f"{mounts} exec {PACKAGE}/usr/lib/postfix/sbin/master -d -c {self.directory}/conf"],
            log=self.directory / "master.log",
            env={**os.environ, "LD_LIBRARY_PATH": str(PACKAGE / "usr/lib/postfix")},
        )
        lifetime.wait_until(self._listens, 30, what="Postfix to listen")
        return self

    def log_text(self):
        """All that it has logged."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self):
        lifetime.cancel_stop(self.stop)
        lifetime.end(self.process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _listens(self):
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def _accounts(self, added):
        passwd = "".join(f"{name}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin\n" for name, number in added.items())
        group = "".join(f"{name}:x:{number}:\n" for name, number in added.items())
        for name, lines in (("passwd", passwd), ("group", group)):
            (self.directory / name).write_text(pathlib.Path("/etc", name).read_text() + lines)

    def _queue(self):
        """Its directories, as post-install makes them."""
        owner, group = ACCOUNTS["postfix"], ACCOUNTS["postdrop"]
        (self.directory / "data").mkdir()
        os.chown(self.directory / "data", owner, -1)
        (self.directory / "queue").mkdir()
        (self.directory / "queue/pid").mkdir()
        private = "active bounce corrupt defer deferred flush hold incoming private saved trace".split()
        for name, mode in [*((name, 0o700) for name in private), ("maildrop", 0o730), ("public", 0o710)]:
            path = self.directory / "queue" / name
            path.mkdir()
            path.chmod(mode)
            os.chown(path, owner, -1 if name in private else group)


def can_run():
    """Whether this process may mount, and nobody else has these numbers."""
    return os.geteuid() == 0 and not {account.pw_uid for account in pwd.getpwall()} & set(ACCOUNTS.values())
