"""An SMTP server on a socket that keeps what it gets and misbehaves when told to."""

import asyncio
import email
import email.policy
import fnmatch
import threading
import time
from dataclasses import dataclass, field

from aiosmtpd.smtp import SMTP

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
    """Listens on a free port of 127.0.0.1 from a thread of its own."""

    def __init__(self, port=None):
        self.port = port or lifetime.free_port()
        self.url = f"smtp://127.0.0.1:{self.port}"
        self.mails = []
        self.connections = 0
        self._answers = []
        self._hang_at = None
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

    def hang(self, stage):
        """Never answers at `stage`: "connect", "mail", "rcpt" or "data" (after the final dot)."""
        self._hang_at = stage

    def drop(self, stage):
        """Closes the connection at `stage` instead of answering; at "data" the mail has been kept."""
        self._drop_at = stage

    def behave(self):
        """Takes back `answer`, `hang` and `drop`."""
        self._answers, self._hang_at, self._drop_at = [], None, None

    def clear(self):
        """Forgets the mails so far, and behaves."""
        self.mails = []
        self.behave()

    def to(self, recipient):
        """The mails for one address."""
        return [mail for mail in self.mails if recipient in mail.recipients]

    def wait_for(self, count, timeout=30, recipient=None):
        """The mails, once there are at least `count` (for `recipient`)."""

        def enough():
            mails = self.to(recipient) if recipient else self.mails
            return mails if len(mails) >= count else None

        return lifetime.wait_until(enough, timeout, what=f"{count} mails at the SMTP server")

    # -- the handler's side, called by aiosmtpd --------------------------------------------------

    async def handle_MAIL(self, server, session, envelope, address, options):
        """MAIL FROM."""
        await self._misbehave("mail", server)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(self, server, session, envelope, address, options):
        """RCPT TO, with the answer that a test asked for."""
        await self._misbehave("rcpt", server)
        for pattern, reply in self._answers:
            if fnmatch.fnmatch(address.lower(), pattern):
                return reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):
        """The mail itself, up to the final dot."""
        self.mails.append(Received(envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content))
        await self._misbehave("data", server)
        return f"250 2.0.0 Ok: queued as {len(self.mails):08X}"

    async def _misbehave(self, stage, server):
        if self._drop_at == stage:
            server.transport.abort()
        if stage in (self._hang_at, self._drop_at):
            while stage in (self._hang_at, self._drop_at):
                await asyncio.sleep(0.05)
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
        return _Session(self)


class _Session(SMTP):
    """One client's connection, known to its sink so that it can be cut."""

    def __init__(self, sink):
        super().__init__(sink, hostname="sink.test", enable_SMTPUTF8=True, loop=sink._loop)
        self._sink = sink

    def connection_made(self, transport):
        self._sink._open.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error):
        self._sink._open.discard(self.transport)
        super().connection_lost(error)
