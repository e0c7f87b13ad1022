"""Who may come in, and what their pages may load.

The server listens on 127.0.0.1. A request must name that address as its host, so that no name that leads here is served
(DNS rebinding); a session must come from the server's own page (its Origin) and know the token of the address that was
printed, so that no other page of the browser and no other user of the machine can open one.
"""

import secrets

from fastapi import HTTPException
from starlette.requests import HTTPConnection

HOST = "127.0.0.1"


class Guard:
    """Who may come in.

    Args:
        port: on which the server listens.
        token: that the printed address has.
    """

    def __init__(self, port: int, token: str) -> None:
        self.hosts = {f"{HOST}:{port}", f"localhost:{port}"}
        self._token = token

    def check_host(self, connection: HTTPConnection) -> None:
        """Refuse requests that came by another name.

        Raises:
            HTTPException: 403.
        """
        if connection.headers.get("host") not in self.hosts:
            raise HTTPException(403, "This server is reached as 127.0.0.1 or localhost alone.")

    def is_own(self, connection: HTTPConnection) -> bool:
        """Whether a session is opened by a page of this server."""
        host = connection.headers.get("host")
        return host in self.hosts and connection.headers.get("origin") == f"http://{host}"

    def knows_token(self, connection: HTTPConnection) -> bool:
        """Whether the address has the token."""
        given = connection.query_params.get("token", "")
        return secrets.compare_digest(given.encode(), self._token.encode())


def headers(port: int) -> dict[str, str]:
    """What keeps the page to itself: nothing from elsewhere, no script or style within it, in no frame."""
    own = f"ws://{HOST}:{port} ws://localhost:{port}"
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "worker-src": "'self' blob:",
        "style-src": "'self'",
        "img-src": "'self' blob: data:",
        "media-src": "'self' blob:",
        "connect-src": f"'self' {own}",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
