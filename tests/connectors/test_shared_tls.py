"""Connections to MariaDB: one TLS context for all of them, and TLS only where the server has it, as PyMySQL does."""

import ssl
from typing import Any

import pymysql

from connectors.mariadb.shared_tls import SharedTlsConnection


def unconnected(connect: Any, **options: Any) -> Any:
    """A connection before it is made."""
    return connect(user="cel2crm", defer_connect=True, **options)


def test_one_context_for_all_with_what_pymysql_itself_puts_into_it() -> None:
    first, second = unconnected(SharedTlsConnection), unconnected(SharedTlsConnection)
    own = unconnected(pymysql.connect)
    assert first.ctx is second.ctx and first.ctx is not own.ctx
    assert (first.ctx.verify_mode, first.ctx.check_hostname) == (own.ctx.verify_mode, own.ctx.check_hostname)
    assert (first.ctx.options, first.ctx.minimum_version) == (own.ctx.options, own.ctx.minimum_version)
    assert (first.ssl, first._ssl_required) == (own.ssl, own._ssl_required) == (True, False)


def test_tls_that_is_configured_is_the_connections_own() -> None:
    shared, checked = unconnected(SharedTlsConnection), unconnected(SharedTlsConnection, ssl_verify_cert=True)
    assert checked.ctx is not shared.ctx
    assert (checked.ctx.verify_mode, shared.ctx.verify_mode) == (ssl.CERT_REQUIRED, ssl.CERT_NONE)
    assert checked._ssl_required
