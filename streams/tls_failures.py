"""Why a connection with TLS was not made, in words. Pure."""

import ssl
from typing import NamedTuple


class TlsFailure(NamedTuple):
    """`problem` goes after the address: "<address>: <problem>"; `remedy` names settings by their last part, `ssl_*`."""

    problem: str
    remedy: str


def tls_failure(error: BaseException | None) -> TlsFailure | None:
    """The failure behind an error, or behind one that caused it; None: it has nothing to do with TLS."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        # aiohttp's errors wrap the one that is meant, and are of its class as well.
        inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
        if inner is None and isinstance(error, ssl.SSLCertVerificationError):
            return _untrusted(error)
        if inner is None and isinstance(error, ssl.SSLError):
            return _refused(error)
        error = inner or error.__cause__ or error.__context__
    return None


def _untrusted(error: ssl.SSLCertVerificationError) -> TlsFailure:
    why = error.verify_message or str(error)
    if "mismatch" in why:
        return TlsFailure(
            f"its certificate is of another name ({why.rstrip('.')})",
            "Use the name or address that its certificate holds, or give it a certificate for this one.",
        )
    if "expired" in why or "not yet valid" in why:
        return TlsFailure(f"its certificate is not valid now ({why})", "Renew it, or set the clock of this machine.")
    return TlsFailure(
        f"its certificate is signed by nobody whom ssl_ca_file names ({why})",
        "Set ssl_ca_file to the PEM file of the authority that signed it.",
    )


def _refused(error: ssl.SSLError) -> TlsFailure:
    reason = (error.reason or str(error)).upper()
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        return TlsFailure(
            f"it wants a client's certificate ({reason})",
            "Set ssl_certificate_file and ssl_key_file, or use a listener that asks for a password instead.",
        )
    if "ALERT" in reason and ("UNKNOWN_CA" in reason or "CERTIFICATE" in reason):
        return TlsFailure(
            f"it does not accept the certificate of ssl_certificate_file ({reason})",
            "Have it signed by an authority that the server trusts.",
        )
    if "WRONG_VERSION" in reason or "RECORD_LAYER" in reason or "UNEXPECTED_EOF" in reason:
        return TlsFailure(
            f"it does not speak TLS there ({reason})",
            "That is the port of an open listener: use the one with TLS, or the settings without it.",
        )
    return TlsFailure(f"TLS failed ({reason})", "The log of the server says more.")
