"""The manual's examples for systemd, nginx and Caddy, as they stand there but for ports and paths."""

import getpass
import http.client
import re
import shlex
import socket
import ssl
import subprocess
import urllib.parse

import pytest
from e2e.mails import links, open_image, unsubscribe_url

from harness import Proxy, free_port, self_signed, wait_until
from harness.paths import ROOT, TARGET
from harness.proxy import BINARY
from harness.web_program import WebProgram

HOST = "mail.example.org"
# Another network than the servers', so that each address tells whose it is.
READER, NETWORK = "127.0.7.1", "127.0.7.0/24"
FORGED = {"X-Forwarded-For": "198.51.100.77", "Forwarded": "for=198.51.100.77", "X-Real-Ip": "198.51.100.77"}
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
BREVO = "0123456789abcdef0123456789abcdef"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def example(language, changes):
    """The manual's example in a language, a web server's with what providers need, and with some passages changed, each of which it must have."""

    def block(page):
        return re.search(rf"^```{language}\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.M | re.S)[1]

    text = block("proxy.md")
    end = {"nginx": "    location / {", "caddy": "    respond 404"}.get(language)
    if end:
        assert text.count(end) == 1
        text = text.replace(end, block("providers.md") + end)
    for old, new in changes.items():
        assert old in text, f"the example for {language} has no {old!r}"
        text = text.replace(old, new)
    return text


def nginx(directory, port):
    """How to run nginx with the manual's example."""
    server = example("nginx", {
        "unix:/run/marketing-tracking/http.sock": f"unix:{directory}/http.sock",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "# ssl_certificate …; ssl_certificate_key …;": f"ssl_certificate {directory}/chain.pem; ssl_certificate_key {directory}/key.pem;",
    })  # fmt: skip
    temporary = "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    # As in Debian's configuration, an access log is kept unless a server says otherwise.
    (directory / "nginx.conf").write_text(
        f"daemon off; pid {directory}/nginx.pid; user {getpass.getuser()}; error_log stderr; events {{}}\n"
        f"http {{ access_log {directory}/access.log;\n{temporary}{server} }}"
    )
    return [TARGET / "packages/nginx/usr/sbin/nginx", "-p", directory, "-c", directory / "nginx.conf"], {}


def caddy(directory, port):
    """How to run Caddy with the manual's example."""
    server = example("caddy", {
        "unix//run/marketing-tracking/http.sock": f"unix/{directory}/http.sock",
        f"{HOST} {{": f"{HOST}:{port} {{\n bind 127.0.0.1\n tls {directory}/chain.pem {directory}/key.pem",
    })  # fmt: skip
    (directory / "Caddyfile").write_text(f"{{\n admin off\n auto_https disable_redirects\n}}\n{server}")
    command = [TARGET / "packages/caddy/usr/bin/caddy", "run", "--adapter", "caddyfile", "--config", directory / "Caddyfile"]
    return command, {"HOME": str(directory), "XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}


@pytest.fixture(params=[nginx, caddy], ids=["nginx", "caddy"])
def web(request, shop):
    """The reader's way in: a web server before the proxy, which listens on a Unix socket."""
    server = Web(request.param, shop)
    yield server
    server.stop()


class Web(WebProgram):
    """nginx or Caddy, and the proxy behind it."""

    def __init__(self, kind, shop):
        super().__init__(kind.__name__, None)
        self.port = free_port()
        self._certificate = self_signed(self.directory, f"DNS:{HOST}")
        (self.directory / "brevo").write_text(BREVO)
        options = ("--brevo-credential-file", self.directory / "brevo")
        self.proxy = Proxy(shop.tracking_url(), listen=f"unix:{self.directory}/http.sock", arguments=options).start(wait=False)
        self.spawn(*kind(self.directory, self.port), wait=False)
        wait_until(lambda: self.answers("/o/x") == 404, what=f"{self.name} and the proxy")

    def stop(self):
        self.proxy.stop()
        super().stop()

    def answers(self, path):
        """The status, or None while nobody listens."""
        try:
            return self.ask("GET", path)[0].status
        except OSError:
            return None

    def ask(self, method, url, body=None, headers=None):
        """A request for the path of an URL, as from a browser far away; the answer and its text."""
        context = ssl.create_default_context(cadata=self._certificate)
        connection = http.client.HTTPSConnection(HOST, timeout=60)
        plain = socket.create_connection(("127.0.0.1", self.port), 20, (READER, 0))
        connection.sock = context.wrap_socket(plain, server_hostname=HOST)
        connection.request(method, urllib.parse.urlsplit(url).path, body, BROWSER | (headers or {}))
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        connection.close()
        return answer, text


@pytest.fixture
def mail(cluster, shop, sink):
    """A mail that has arrived."""
    with cluster.having(marketing_automation__hit_details="full"):
        shop.customers("Ada")
        shop.scenario(body='<p><a href="https://shop.example/a?b=1&amp;c=2">a</a> <a href="unsubscribe">leave</a></p>')
        shop.tick()
        [mail] = sink.wait_for(1)
        shop.wait_for_message("ada@example.org", "sent")
        yield mail


def test_a_web_server_before_the_proxy(shop, web, mail):
    click, opened, leave = links(mail)[0], open_image(mail), unsubscribe_url(mail)
    answer, _ = web.ask("GET", click, headers=FORGED)
    assert (answer.status, answer.headers["Location"]) == (302, "https://shop.example/a?b=1&c=2")
    answer, pixel = web.ask("GET", opened, headers=FORGED)
    assert answer.status == 200 and pixel.startswith("GIF89a") and "no-store" in answer.headers["Cache-Control"]
    assert web.ask("HEAD", opened)[0].status == 200
    hits = "select kind, method, address::text from marketing_automation.event where robot is null or method = 'HEAD' order by occurred_at"
    wait_until(lambda: len(shop.query(hits)) == 3, what="the hits in the log")
    assert shop.query(hits) == [("email_clicked", "GET", NETWORK), ("email_opened", "GET", NETWORK), ("email_opened", "HEAD", NETWORK)]

    left = "select count(*) from marketing_automation.unsubscription"
    _, page = web.ask("GET", leave)
    assert "<button" in page and shop.value(left) == 0
    answer, page = web.ask("POST", leave, "", FORM)
    assert answer.status == 200 and "<button" in page and shop.value(left) == 1
    undo = re.search(r'name="(\w+)" value="(\w+)"', page)
    web.ask("POST", leave, f"{undo[1]}={undo[2]}", FORM)
    assert shop.value(left) == 0
    answer, text = web.ask("POST", leave, "List-Unsubscribe=One-Click", FORM)
    assert answer.status == 200 and "<" not in text and shop.value(left) == 1

    for inside in ("/metrics", "/healthz", "/readyz", "/bounce", "/", "/c/../metrics", "/c/%2e%2e/metrics", "//metrics"):
        assert web.answers(inside) == 404, inside
    assert web.ask("POST", "/bounce", "mail")[0].status == 404
    assert web.ask("POST", "/bounce/sendgrid", "[]")[0].status == 404
    # As large as they come.
    answer, text = web.ask("POST", "/bounce/brevo", "[" + " " * 800_000 + "]", {"Authorization": f"Bearer {BREVO}"})
    assert answer.status == 200 and text == '{"events":0,"recorded":0}\n'
    assert web.ask("POST", "/bounce/brevo", "[]")[0].status == 401
    for url in (click, opened, leave):
        token = url.rpartition("/")[2]
        assert not [file for file in web.directory.rglob("*") if file.is_file() and token in file.read_text(errors="replace")]


def test_the_unit_is_one_that_systemd_understands(shop, tmp_path):
    program = TARGET / "debug" / BINARY
    unit = tmp_path / "marketing-tracking.service"
    unit.write_text(example("ini", {
        f"/usr/lib/postgresql/15/bin/{BINARY}": str(program),
        "/run/marketing-tracking": str(tmp_path),
        "/var/lib/marketing-tracking": str(tmp_path / "spool"),
        "dbname=shop user=tracking_proxy": shop.tracking_url(),
    }))  # fmt: skip
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit], capture_output=True, text=True, timeout=60)
    assert verified.returncode == 0, verified.stderr
    command = re.search(r"^ExecStart=(.*)", unit.read_text(), re.M)[1]
    environment = re.search(r'^Environment="(.*)=(.*://.*)"', unit.read_text(), re.M)
    checked = subprocess.run([*shlex.split(command), "--check"], capture_output=True, text=True, env={environment[1]: environment[2]}, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr
