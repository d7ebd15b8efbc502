"""Certificates that vouch for themselves."""

import subprocess


def self_signed(directory, name):
    """Replaces `chain.pem` and `key.pem` in a directory by new ones for a name, `IP:…` or `DNS:…`; returns the former's text."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", f"subjectAltName={name}", "-keyout", directory / "key.pem", "-out", directory / "chain.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return (directory / "chain.pem").read_text()
