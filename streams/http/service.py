"""The settings of a server with an HTTP interface (registry, connect) as a client takes them."""

import aiohttp

from schemas import SchemaRegistry
from schemas.registry import HttpAccess
from streams.settings import HttpService, RegistrySettings, secret
from streams.settings.tls import tls_context


def http_access(service: HttpService, section: str) -> HttpAccess:
    """How to log in to a server. `section`: its settings' path, for errors.

    Raises SettingsError: a file that cannot be read or used, or that everybody on the machine can read.
    """
    headers = {}
    if service.username is not None:
        password = secret(service.password, service.password_file, f"{section}.password")
        headers = {"Authorization": aiohttp.encode_basic_auth(service.username, password, "utf-8")}
    if not service.url.startswith("https://"):
        return HttpAccess(headers)
    files = (service.ssl_ca_file, service.ssl_certificate_file, service.ssl_key_file)
    return HttpAccess(headers, tls_context(section, *files))


def schema_registry(registry: RegistrySettings, *, timeout_seconds: float = 10.0) -> SchemaRegistry:
    """A client of the settings' schema registry. Raises SettingsError as `http_access` does."""
    return SchemaRegistry(registry.url, access=http_access(registry, "registry"), timeout_seconds=timeout_seconds)
