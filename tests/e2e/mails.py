"""What a mail offers its reader."""

import re


def links(mail):
    """The tracked links of a mail, in order."""
    return re.findall(r'<a [^>]*href="([^"]+/c/[^"]+)"', mail.html)


def open_image(mail):
    """The address of the open image."""
    return re.search(r'<img [^>]*src="([^"]+/o/[^"]+)"', mail.html)[1]


def unsubscribe_url(mail):
    """The address in the List-Unsubscribe header."""
    return re.search(r"<(http[^>]+)>", mail.message["List-Unsubscribe"])[1]
