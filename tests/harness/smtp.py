"""An SMTP server on a socket that keeps what it gets and misbehaves when told to."""

import asyncio
import base64
import email
import email.policy
import fnmatch
import threading
import time
from dataclasses import dataclass, field

from aiosmtpd.smtp import SMTP, AuthResult

from . import lifetime


@dataclass
class Received:
    """One mail as it came over the wire."""

    sender: str
    recipients: list
    raw: bytes
    at: float = field(default_factory=time.time)

    @property
    def message(self):
        """The mail, parsed."""
        return email.message_from_bytes(self.raw, policy=email.policy.default)

    @property
    def subject(self):
        """Its decoded subject."""
        return self.message["Subject"]

    @property
    def html(self):
        """Its decoded HTML part."""
        return self.message.get_body(("html",)).get_content()

    @property
    def text(self):
        """Its decoded plain-text part."""
        return self.message.get_body(("plain",)).get_content()


class SmtpSink:
    """Listens on a free port of 127.0.0.1 from a thread of its own. `login`: user and password of those whom AUTH
    lets in; None: no AUTH. `token`: user and access token of those whom AUTH XOAUTH2 lets in, when it is set."""

    def __init__(self, port=None, login=None):
        self.token = None
        self.login = login and tuple(part.encode() for part in login)
        self.port = port or lifetime.free_port()
        self.url = f"smtp://127.0.0.1:{self.port}"
        self.mails = []
        self.connections = 0
        self.most_open = 0  # connections at the same time
        self.hanging = 0  # sessions that wait for an answer in vain
        self._answers = []
        self._data_answers = []
        self._sender_answer = None
        self._greeting = None
        self._delay = 0
        self._hang_at = None
        self._hang_for = "*"
        self._drop_at = None
        self._listener = None
        self._open = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self):
        """Starts to listen."""
        if not self._thread.is_alive():
            self._thread.start()
        self._call(self._listen())
        lifetime.stop_at_exit(self.refuse)
        return self

    def refuse(self):
        """Closes the port and every connection: who connects is refused, until `start`."""
        lifetime.cancel_stop(self.refuse)
        if self._listener is not None:
            self._call(self._close())

    def answer(self, recipient, reply):
        """Answers `reply` (such as "450 4.2.1 later") to RCPT for addresses like `recipient` (with * and ?)."""
        self._answers.insert(0, (recipient.lower(), reply))

    def answer_data(self, recipient, reply):
        """Answers `reply` after the final dot of a mail for addresses like `recipient`."""
        self._data_answers.insert(0, (recipient.lower(), reply))

    def answer_senders(self, reply, sender="*"):
        """Answers `reply` to MAIL FROM of addresses like `sender`."""
        self._sender_answer = (sender.lower(), reply)

    def greet(self, reply):
        """Greets with `reply` (such as "421 4.7.0 later") and closes the connection."""
        self._greeting = reply

    def delay(self, seconds):
        """Takes its time for each mail."""
        self._delay = seconds

    def hang(self, stage, recipient="*"):
        """Never answers at `stage`: "connect", "mail", "rcpt" or "data" (after the final dot), at "rcpt" only for
        addresses like `recipient`."""
        self._hang_at, self._hang_for = stage, recipient

    def drop(self, stage):
        """Closes the connection at `stage` instead of answering; at "data" the mail has been kept."""
        self._drop_at = stage

    def behave(self):
        """Takes back all that was asked for."""
        self._answers, self._data_answers, self._hang_at, self._drop_at = [], [], None, None
        self._sender_answer, self._greeting, self._delay = None, None, 0

    def clear(self):
        """Forgets the mails so far, and behaves."""
        self.mails, self.most_open = [], 0
        self.behave()

    def open(self):
        """How many connections are open."""
        return len(self._open)

    def to(self, recipient):
        """The mails for one address."""
        return [mail for mail in self.mails if recipient in mail.recipients]

    def wait_for(self, count, timeout=60, recipient=None):
        """The mails, once there are at least `count` (for `recipient`)."""

        def enough():
            mails = self.to(recipient) if recipient else self.mails
            return mails if len(mails) >= count else None

        return lifetime.wait_until(enough, timeout, what=f"{count} mails at the SMTP server")

    # -- the handler's side, called by aiosmtpd --------------------------------------------------

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        """EHLO: offers PIPELINING, which aiosmtpd can do but does not say."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def auth_XOAUTH2(self, server, args):
        """AUTH XOAUTH2 with an initial response; who is refused is told why before."""
        said = base64.b64decode(args[1]).decode()
        if self.token and said == "user={}\x01auth=Bearer {}\x01\x01".format(*self.token):
            return AuthResult(success=True)
        await server.challenge_auth('{"status":"400","schemes":"Bearer"}')
        return AuthResult(success=False, handled=False)

    async def handle_MAIL(self, server, session, envelope, address, options):
        """MAIL FROM."""
        await self._misbehave("mail", server)
        if self._sender_answer and fnmatch.fnmatchcase(address.lower(), self._sender_answer[0]):
            return self._sender_answer[1]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(self, server, session, envelope, address, options):
        """RCPT TO, with the answer that a test asked for."""
        if self._hang_at != "rcpt" or fnmatch.fnmatch(address.lower(), self._hang_for):
            await self._misbehave("rcpt", server)
        if reply := _asked_for(self._answers, address):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):
        """The mail itself, up to the final dot."""
        self.mails.append(Received(envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content))
        await self._misbehave("data", server)
        await asyncio.sleep(self._delay)
        if reply := _asked_for(self._data_answers, envelope.rcpt_tos[0]):
            return reply
        return f"250 2.0.0 Ok: queued as {len(self.mails):08X}"

    async def _misbehave(self, stage, server):
        if self._drop_at == stage:
            server.transport.abort()
        if stage in (self._hang_at, self._drop_at):
            self.hanging += 1
            try:
                while stage in (self._hang_at, self._drop_at):
                    await asyncio.sleep(0.05)
            finally:
                self.hanging -= 1
            server.transport.abort()

    # -- the thread ------------------------------------------------------------------------------

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self):
        self._listener = await self._loop.create_server(self._connection, "127.0.0.1", self.port)

    async def _close(self):
        self._listener.close()
        await self._listener.wait_closed()
        self._listener = None
        for transport in list(self._open):
            transport.abort()

    def _connection(self):
        self.connections += 1
        if self._hang_at == "connect":
            return asyncio.Protocol()
        if self._greeting:
            return _Refusal(self._greeting)
        return _Session(self)


def _asked_for(answers, address):
    """The reply that a test asked for, for this address."""
    return next((reply for pattern, reply in answers if fnmatch.fnmatch(address.lower(), pattern)), None)


class _Refusal(asyncio.Protocol):
    """A connection that is greeted and closed."""

    def __init__(self, greeting):
        self._greeting = greeting

    def connection_made(self, transport):
        transport.write(f"{self._greeting}\r\n".encode())
        transport.close()


class _Session(SMTP):
    """One client's connection, known to its sink so that it can be cut."""

    def __init__(self, sink):
        super().__init__(
            sink, hostname="sink.test", enable_SMTPUTF8=True, loop=sink._loop,
            auth_require_tls=sink.login is None, auth_callback=lambda mechanism, *login: login == sink.login,
        )  # fmt: skip
        self._sink = sink

    def connection_made(self, transport):
        self._sink._open.add(transport)
        self._sink.most_open = max(self._sink.most_open, len(self._sink._open))
        super().connection_made(transport)

    def connection_lost(self, error):
        self._sink._open.discard(self.transport)
        super().connection_lost(error)
