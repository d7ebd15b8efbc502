"""The inbox: maildev, an SMTP server with a web page to read the mails on.

Chosen because it is the best-kept one that a package registry has (hundreds of thousands of
downloads a week, MIT), needs nothing but Node, shows HTML as a mail client does, and answers over
HTTP what it got. Version 2 rather than 3, as it runs on the Node 18 of Debian 12.
"""

import email
import email.policy
import json
import shutil
import subprocess

import requests

from harness import free_port
from harness.paths import TARGET
from harness.web_program import WebProgram

PACKAGE = "maildev"
VERSION = "2.2.1"
FOLDER = TARGET / "demo" / "inbox"


def install():
    """Installs the package under target/, unless it is there."""
    manifest = FOLDER / "node_modules" / PACKAGE / "package.json"
    if manifest.exists() and json.loads(manifest.read_text())["version"] == VERSION:
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "package.json").write_text('{"private": true}\n')
    subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", f"{PACKAGE}@{VERSION}"],
        cwd=FOLDER, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


class Inbox(WebProgram):
    """A running maildev on two free ports of 127.0.0.1."""

    def __init__(self, detached=False):
        self.smtp_port = free_port()
        self.web_port = free_port()
        self.web = f"http://127.0.0.1:{self.web_port}"
        self.smtp_url = f"smtp://127.0.0.1:{self.smtp_port}"
        super().__init__("inbox", self.web + "/healthz", detached)
        self._parsed = {}

    def start(self):
        """Starts it and returns when it answers."""
        return self.spawn(
            [
                shutil.which("node"), FOLDER / "node_modules" / PACKAGE / "bin" / "maildev",
                "--smtp", self.smtp_port, "--web", self.web_port, "--ip", "127.0.0.1", "--web-ip", "127.0.0.1",
                "--mail-directory", self.directory / "mail", "--silent",
            ]
        )  # fmt: skip

    def mails(self):
        """The mails in order of arrival, each parsed from what came over the wire."""
        for entry in requests.get(self.web + "/email", timeout=10).json():
            if entry["id"] not in self._parsed:
                source = requests.get(f"{self.web}/email/{entry['id']}/source", timeout=10).content
                self._parsed[entry["id"]] = email.message_from_bytes(source, policy=email.policy.default)
        return list(self._parsed.values())

    def count(self):
        """How many mails there are."""
        return len(requests.get(self.web + "/email", timeout=10).json())
