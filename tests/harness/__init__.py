"""Real parts to test against: a PostgreSQL cluster, an SMTP server on a socket, the tracking proxy, mailers.

The end-to-end tests, the demo and the benchmarks are built on these. Each part lives in a short
temporary directory or on a free port of 127.0.0.1, is stopped when the program ends in whatever
way, and never touches a cluster or a service of the machine.
"""

from .certificate import self_signed
from .clock import Clock
from .cluster import Cluster
from .forwarder import Forwarder
from .lifetime import free_port, stop_at_exit, wait_until
from .mailer import Mailer
from .proxy import Proxy
from .smtp import SmtpSink

__all__ = ["Clock", "Cluster", "Forwarder", "Mailer", "Proxy", "SmtpSink", "free_port", "self_signed", "stop_at_exit", "wait_until"]
