"""Requests as they come over the wire, which no library of HTTP sends: much in the head, tokens written in other ways, programs that load
images before anybody reads."""

import http.client
import socket

import pytest
from e2e.mails import links, open_image, unsubscribe_url

from harness import wait_until

GMAIL = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0"
)
SLACK = "Slack-ImgProxy (+https://api.slack.com/robots)"
READER = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"


@pytest.fixture
def mail(shop, sink, proxy):
    """A mail that has arrived."""
    shop.customers("Ada")
    shop.scenario(body='<p><a href="https://shop.example/a">a</a> <a href="unsubscribe">leave</a></p>')
    shop.tick()
    mail = sink.wait_for(1)[0]
    shop.wait_for_message("ada@example.org", "sent")
    return mail


@pytest.fixture
def ask(proxy):
    """Sends a head and a body as they are, in pieces if told to; the answer's status."""

    def ask(head, body=b"", pieces=1):
        request = head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body
        length = -(-len(request) // pieces)
        with socket.create_connection(("127.0.0.1", proxy.port), 30) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for start in range(0, len(request), length):
                connection.sendall(request[start : start + length])
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return answer.status

    return ask


def path(url):
    return "/" + url.split("/", 3)[3]


def written(url, how):
    """The path of a link with its token written as `how` says, a format of a letter's code."""
    route, _, token = path(url).rpartition("/")
    return f"{route}/" + "".join(how.format(ord(letter)) for letter in token)


@pytest.mark.parametrize("pieces", [1, 40])
def test_a_click_that_comes_with_all_cookies_of_the_shop_is_counted(shop, mail, ask, pieces):
    cookies = "\n".join(f"Cookie: basket{number}={'a' * 9_950}" for number in range(3))
    assert ask(f"GET {path(links(mail)[0])} HTTP/1.1\nHost: shop.example\nReferer: https://mail.example/{'r' * 1_500}\n{cookies}", pieces=pieces) == 302
    wait_until(lambda: dict(shop.events()).get("email_clicked") == 1, what="the click")


def test_a_token_in_percent_codes_is_the_same_token(shop, mail, ask):
    clicks = 0
    for how in ("%{:02X}", "%{:02x}"):
        for target in (written(links(mail)[0], how), "http://shop.example" + written(links(mail)[0], how)):
            assert ask(f"GET {target} HTTP/1.1\nHost: shop.example") == 302, target
            clicks += 1
    image, leave = written(open_image(mail), "%{:02X}"), written(unsubscribe_url(mail), "%{:02x}")
    assert ask(f"GET {image} HTTP/1.1\nHost: shop.example") == 200
    assert ask(f"GET {leave} HTTP/1.1\nHost: shop.example") == 200
    # Codes of codes are another token.
    assert ask(f"GET {written(links(mail)[0], '%25{:02X}')} HTTP/1.1\nHost: shop.example") == 404
    wait_until(lambda: dict(shop.events()).get("email_clicked") == clicks, what="the clicks")
    assert shop.value("select count(*) from marketing_automation.unsubscription") == 0
    body = b"List-Unsubscribe=One-Click"
    form = f"Content-Type: application/x-www-form-urlencoded\nContent-Length: {len(body)}"
    assert ask(f"POST {leave} HTTP/1.1\nHost: shop.example\n{form}", body) == 200
    assert shop.value("select count(*) from marketing_automation.unsubscription") == 1


def test_images_that_gmail_and_slack_load_were_read_by_nobody(shop, mail, ask):
    for agent in (GMAIL, SLACK):
        assert ask(f"GET {path(open_image(mail))} HTTP/1.1\nHost: shop.example\nUser-Agent: {agent}") == 200
    robots = "select robot from marketing_automation.event where kind = 'email_opened' and robot is not null order by robot"
    wait_until(lambda: shop.query(robots) == [("gmail_prefetch",), ("slack_image_proxy",)], what="both to be judged")
    assert shop.value("select opened_at from marketing_automation.record_activity") is None
    assert ask(f"GET {path(open_image(mail))} HTTP/1.1\nHost: shop.example\nUser-Agent: {READER}") == 200
    wait_until(lambda: shop.value("select opened_at from marketing_automation.record_activity"), what="the open")
    assert shop.query("select opened, robot_opens from marketing_automation.activity_report where activity = 'hello'") == [(1, 2)]
