"""Recipients, as the proxy sees them: they only follow what is in the mails that they got."""

import html.parser
import re

import requests


class Mail:
    """A received mail: whose it is and what one can do with it."""

    def __init__(self, message):
        self.message = message
        self.address = message["To"].addresses[0].addr_spec
        self.name = message["To"].addresses[0].display_name
        self.sender = message["From"].addresses[0].addr_spec
        self.subject = message["Subject"]
        self.body = message.get_body(("html",)).get_content()
        found = _Links()
        found.feed(self.body)
        self.links = [link for link in found.links if "/c/" in link]
        self.images = [image for image in found.images if "/o/" in image]
        self.one_click = re.search(r"<(https?:[^>]+)>", message.get("List-Unsubscribe", ""))

    def pattern(self):
        """What is alike in the subjects of one kind of mail: words of some length that are not the recipient's name."""
        return " ".join(re.findall(r"\b[A-Za-zà-ÿ]{4,}\b", self.subject.replace(self.name.split()[0], "")))

    def open(self):
        """Shows the mail: a mail client fetches the image at its end."""
        answer = requests.get(self.images[0], headers={"User-Agent": "Thunderbird/128.0"}, timeout=10)
        if answer.status_code != 200 or answer.headers["Content-Type"] != "image/gif":
            raise RuntimeError(f"the open image answered {answer.status_code}")

    def click(self, number=0):
        """Follows a link and returns where it leads."""
        answer = requests.get(
            self.links[number], headers={"User-Agent": "Mozilla/5.0 Firefox/140.0"}, allow_redirects=False, timeout=10
        )
        if answer.status_code != 302:
            raise RuntimeError(f"a click answered {answer.status_code}")
        return answer.headers["Location"]

    def unsubscribe(self):
        """Does what a mail client's own unsubscribe button does (RFC 8058)."""
        if self.message["List-Unsubscribe-Post"] != "List-Unsubscribe=One-Click":
            raise RuntimeError("the mail offers no one-click unsubscription")
        answer = requests.post(
            self.one_click[1], data={"List-Unsubscribe": "One-Click"}, allow_redirects=False, timeout=10
        )
        if answer.status_code not in (200, 202, 204):
            raise RuntimeError(f"the unsubscription answered {answer.status_code}")


class _Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.images = [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        elif tag == "img" and attributes.get("src"):
            self.images.append(attributes["src"])
