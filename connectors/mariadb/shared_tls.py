"""Connections to MariaDB and MySQL that share one TLS context.

PyMySQL asks for TLS where the server has it, and for each connection it makes a context with every certificate
authority of the system, to verify nothing with it: 18 ms of CPU, more than all that a short connection is made for.
"""

import ssl
from typing import TYPE_CHECKING, Any, ClassVar

from pymysql.connections import Connection
from pymysql.cursors import DictCursor

if TYPE_CHECKING:
    _Connection = Connection[DictCursor]
else:
    _Connection = Connection  # no generic outside of its stubs


class SharedTlsConnection(_Connection):
    """As pymysql.connect gives it; TLS that is configured by arguments is the connection's own."""

    _shared: ClassVar[ssl.SSLContext | None] = None

    def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:
        if sslp:
            return self._own_context(sslp)
        if SharedTlsConnection._shared is None:
            SharedTlsConnection._shared = self._own_context(sslp)
        return SharedTlsConnection._shared

    def _own_context(self, sslp: Any) -> ssl.SSLContext:
        context: ssl.SSLContext = super()._create_ssl_ctx(sslp)  # type: ignore[misc]
        return context
