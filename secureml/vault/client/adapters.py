"""The session of requests that all of Vault's addresses share, and its adapters.

It goes by what the settings say and never by the environment, bounds answers, keeps the deadline
and survives forks. The hvac client that the library hands out uses it too.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from requests import PreparedRequest, Request, Response, Session
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from requests.exceptions import ReadTimeout, RequestException
from requests.utils import get_environ_proxies, select_proxy
from urllib3 import PoolManager

from secureml.errors import ConfigurationError
from secureml.forksafe import Renewed, unforked
from secureml.settings import Settings
from secureml.settings.checks import is_loopback, split_url
from secureml.vault.client.addresses import Address
from secureml.vault.client.connections import POOLS, TlsPool, unix_pools
from secureml.vault.client.deadline import seconds_left
from secureml.vault.client.replication import index_of
from secureml.vault.client.tls import Tls

__all__ = ["IsolatedSession", "TooLargeError"]

_POOL_SIZE = 32
"""How many idle connections to one host are kept."""

_CHUNK = 16 * 1024
"""Bytes of an answer that are taken at a time, before they are inflated."""


class TooLargeError(RequestException):
    """An answer is larger than is allowed."""


class IsolatedSession(Session, Renewed):
    """A session of requests that goes by the settings, and never by the environment.

    A client that a child inherits goes on with connections of the child's own.

    Args:
        settings: how to reach Vault.
        addresses: Vault's addresses.

    Raises:
        ConfigurationError: a certificate or a proxy can't be used.
    """

    def __init__(self, settings: Settings, addresses: Sequence[Address]) -> None:
        Session.__init__(self)
        self._index = index_of(settings.vault_url or "")
        # Passwords of the environment are for other software.
        self.trust_env = False
        tls = Tls.of(settings)
        # hvac goes by these, if they are not false, and not by what its client is given.
        self.verify = tls.verify
        self.cert = tls.certificate
        largest = settings.vault_max_response_bytes
        self._unix_adapters: list[_Adapter] = []
        secure = _Adapter(POOLS, largest, tls, encrypted=True)
        self.mount("http://", _Adapter(POOLS, largest, tls))
        self.mount("https://", secure)
        if any(address.base.lower().startswith("https:") for address in addresses):
            # Before the first request, which a fork might interrupt.
            secure.tls_context()
        for address in addresses:
            if address.socket is not None:
                adapter = _Adapter(unix_pools(address.socket), largest, tls)
                self._unix_adapters.append(adapter)
                self.mount(address.base, adapter)
            elif settings.vault_proxy is not None:
                self.proxies.update(_proxies(settings.vault_proxy, address))
        Renewed.__init__(self)

    def renew(self) -> None:
        """Leave the parent's connections alone, and every lock that one of its threads may hold."""
        self.cookies = RequestsCookieJar()
        for adapter in self.adapters.values():
            if isinstance(adapter, _Adapter):
                adapter.renew()

    def prepare_request(self, request: Request) -> PreparedRequest:
        """Prepare a request without cookies, passwords and hooks.

        Vault wants none of them, and to merge them takes longer than all that is done here.
        """
        prepared = PreparedRequest()
        prepared.prepare_method(request.method)
        prepared.prepare_url(request.url or "", request.params)
        # Without a token, a node is asked about itself.
        index = self._index.headers() if request.headers.get("X-Vault-Token") else {}
        prepared.prepare_headers({**self.headers, **request.headers, **index})
        prepared.prepare_body(request.data, request.files, request.json)
        prepared.prepare_hooks({"response": self._index.saw})
        return prepared

    def get_redirect_target(self, resp: Response) -> None:
        """Follow no redirect: the request would carry the token to wherever it leads."""

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> dict[str, Any]:
        """Return the request's own settings; no proxy is shown what stays on this machine."""
        if proxies and (is_loopback(url) or self.get_adapter(url) in self._unix_adapters):
            proxies = None
        return {"proxies": proxies or {}, "stream": bool(stream), "verify": verify, "cert": cert}


class _Adapter(HTTPAdapter):
    """Bounds answers to ``largest`` bytes, inflated; makes pools when they are first needed."""

    def __init__(
        self, pools: dict[str, type], largest: int, tls: Tls, *, encrypted: bool = False
    ) -> None:
        self.pools = pools
        self._largest = largest
        self._tls = tls
        self._encrypted = encrypted
        self._context: ssl.SSLContext | None = None
        super().__init__(pool_maxsize=_POOL_SIZE)

    def init_poolmanager(self, *_: Any, **__: Any) -> None:
        """Make no pool manager yet: it may need a TLS context, as https addresses do."""
        self._manager: PoolManager | None = None

    @property
    def poolmanager(self) -> PoolManager:  # type: ignore[override]  # requests only reads it
        """The pool manager."""
        if self._manager is None:
            tls = self.tls_context() if self._encrypted else {}
            manager = PoolManager(maxsize=_POOL_SIZE, **tls)
            manager.pool_classes_by_scheme = self.pools
            self._manager = manager
        return self._manager

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        """Make the manager of a proxy's connections."""
        has_tls = proxy.lower().startswith("https:")
        tls = self.tls_context() if self._encrypted or has_tls else {}
        if has_tls:
            tls["proxy_ssl_context"] = self._tls.proxy_context()
        manager = super().proxy_manager_for(proxy, **more, **tls)
        manager.pool_classes_by_scheme = self.pools
        return manager

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Tell a pool its certificates; once is enough, as another setting takes another pool."""
        if isinstance(conn, TlsPool) and conn.has_certificates:
            return
        super().cert_verify(conn, url, verify, cert)
        if isinstance(conn, TlsPool):
            conn.has_certificates = True

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """Read a whole answer.

        Raises:
            TooLargeError: the answer is larger than is allowed.
            RequestException: it does not end in time, or breaks off.
        """
        response = super().build_response(req, resp)
        try:
            response._content = b"".join(self._chunks(response))
        finally:
            response.close()
        return response

    def _chunks(self, response: Response) -> Iterator[bytes]:
        size = 0
        for chunk in response.iter_content(_CHUNK):
            size += len(chunk)
            if size > self._largest:
                raise TooLargeError("the answer is too large")
            if not seconds_left():
                raise ReadTimeout("the answer did not end in time")
            yield chunk

    def renew(self) -> None:
        """Begin with no connection and no pool."""
        self._manager = None
        self.proxy_manager = {}

    def close(self) -> None:
        """Close the connections."""
        for manager in filter(None, (self._manager, *self.proxy_manager.values())):
            manager.clear()

    def tls_context(self) -> dict[str, Any]:
        """Return what a pool manager is told of TLS; the context is made once."""
        with unforked():
            if self._context is None:
                self._context = self._tls.context()
        # OpenSSL compares the certificate with the name that is sent.
        return {"ssl_context": self._context, "server_hostname": self._tls.server_name}


def _proxies(proxy: str, address: Address) -> Mapping[str, str]:
    if proxy != "environment":
        return {"http": proxy, "https": proxy}
    found = select_proxy(address.base, get_environ_proxies(address.base, no_proxy=None))
    if not found or is_loopback(address.base):
        return {}
    # As curl, the variables may leave the scheme out. No message repeats them: they may hold a
    # password.
    scheme, _, place = found.rpartition("://")
    scheme = scheme or "http"
    if split_url(f"{scheme}://{place.rpartition('@')[2]}") is None:
        raise ConfigurationError(
            f"vault_proxy = 'environment': the proxy that the environment names for "
            f"{address.shown} is no http or https address"
        )
    url = split_url(address.base)
    # Named by its host, so that an address that NO_PROXY lists is reached directly.
    return {f"{url.scheme}://{url.host}": found} if url else {}
