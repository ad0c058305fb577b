"""PEM files as what Python's clients take."""

import ssl
from pathlib import Path

from streams.errors import SettingsError
from streams.settings.section import refuse_if_others_can_read


def tls_context(section: str, ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """A context that checks the other side's certificate and name, and shows ours where there is one.

    `section`: path of the settings `ssl_*`, for errors. Raises SettingsError naming the file that cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    except OSError as error:  # ssl.SSLError is one
        raise _unusable(f"{section}.ssl_ca_file", ca, error, "certificates") from None
    if certificate is None or key is None:
        return context
    refuse_if_others_can_read(key, f"{section}.ssl_key_file")
    for name, file in (("ssl_certificate_file", certificate), ("ssl_key_file", key)):
        try:
            file.read_bytes()
        except OSError as error:
            raise _unusable(f"{section}.{name}", file, error, "") from None
    try:
        # An empty password: OpenSSL would ask for one at the terminal where the key is encrypted.
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        raise SettingsError(
            f"{section}: {certificate} and {key} are no certificate with its private key "
            f"({getattr(error, 'reason', None) or error})",
            "Both are PEM files; the key is not encrypted, and is the certificate's own.",
        ) from None
    return context


def _unusable(name: str, file: Path | None, error: OSError, holds: str) -> SettingsError:
    if isinstance(error, ssl.SSLError):
        return SettingsError(f"{name}: {file} holds no {holds} in PEM form", "It begins with -----BEGIN CERTIFICATE.")
    return SettingsError(f"{name}: cannot read {file}: {error.strerror or error}")
