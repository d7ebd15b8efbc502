"""The machine that the figures are of."""

import os
import platform
import re

GIB = 1 << 30
# What speed and durability depend on most.
SETTINGS = ("shared_buffers", "max_wal_size", "fsync", "synchronous_commit", "full_page_writes", "max_connections")


def describe(cluster):
    """What it is, and how its server is set, all of it by default but the connections."""
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        model = re.search(r"^model name\s*: (.*)$", cpuinfo.read(), re.M)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "processor": model[1] if model else platform.machine(),
        "memory": f"{memory / GIB:.0f} GiB",
        "kernel": platform.release(),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "postgresql": cluster.value("show server_version"),
        "settings": ", ".join(f"{name} = {cluster.value(f'show {name}')}" for name in SETTINGS),
    }
