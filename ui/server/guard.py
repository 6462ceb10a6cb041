"""Guard: what every request passes first. Who may ask (Host, Origin, password), and what a reply may do in the browser.

Gradio checks the origin only where the host is this machine's own name; here it is checked always. Its login leaves
some routes open; here the password covers all of them, our own pictures too. Gradio's routes that the page has no use
for are closed.

What is kept out is other sites, other machines and strangers. Whoever runs programs as this user on this machine can
ask the server anything that the page can; they could type the commands, too.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("localhost", "127.0.0.1", "[::1]")
WRONG_A_MINUTE, MINUTE_S = 10, 60.0
ADDRESSES = 1000  # addresses whose wrong passwords are counted
BODY_LIMIT = 8 << 20  # bytes of a request other than an upload
TOOLS = "/tools/gradio_api/mcp"  # where assistants send pictures in the request itself
TOOLS_LIMIT = 48 << 20  # bytes: a picture of 30 MB as text
KNOWN = "vqa-known"  # the cookie of a browser that has given the right password
CLOSED = re.compile(
    r"(?:/ko)?/(?:monitoring|login|logout|svelte|pwa_icon|gradio_api/(?:proxy=|file=\w+:|file/|runs\b|run-history|deep_link|"
    r"dev/|token|component_server|process_recording|stream/|custom_component))"
)
HEADERS = {
    # 'unsafe-eval' and 'unsafe-inline' are Gradio's own needs: this keeps data in; what runs is kept out elsewhere
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """ASGI middleware.

    Args:
        hosts: names, without port, under which the server may be asked; this machine's own are always allowed.
        password: (user, password) that every request must carry by HTTP Basic, or None.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str] = (), password: tuple[str, str] | None = None) -> None:
        self.app = app
        self.hosts = {*LOCAL, *(f"[{host}]" if ":" in host else host.lower() for host in hosts)}
        self.door = Door(*password) if password else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # the page has none
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers) or (self.door.refusal(scope, headers) if self.door else None)
        known = self.door.cookie if self.door and not refusal else ""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    out[name] = value
                if "/gradio_api/file=" in scope["path"]:  # an upload, whatever it is, runs nothing
                    out["Content-Security-Policy"] = "default-src 'none'; sandbox"
                for name in [name for name in out if name.lower().startswith("access-control-")]:
                    del out[name]
                if known and KNOWN not in headers.get("cookie", ""):
                    out.append("Set-Cookie", f"{KNOWN}={known}; Path=/; HttpOnly; SameSite=Strict")
            await send(message)

        await (refusal or self.app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope, headers: Headers) -> PlainTextResponse | None:
        hosts = headers.getlist("host")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        if _name_of(host) not in self.hosts:
            return PlainTextResponse("This server is not called so. Other names of it: --allow-host NAME.", 403)
        if any(urlsplit(origin.lower()).netloc != host for origin in headers.getlist("origin")):
            return PlainTextResponse("Requests from other sites are refused.", 403)
        reads = scope["method"] in ("GET", "HEAD")
        if not reads and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return PlainTextResponse("Requests from other sites are refused.", 403)
        if CLOSED.match(scope["path"]):
            return PlainTextResponse("There is nothing here.", 404)
        if not reads and scope["path"].removeprefix("/ko") != "/gradio_api/upload":
            length = headers.get("content-length", "")
            limit = TOOLS_LIMIT if re.fullmatch(f"{TOOLS}(/.*)?", scope["path"]) else BODY_LIMIT
            if not length.isdecimal() or int(length) > limit:
                return PlainTextResponse(f"A request says how long it is, and is no longer than {limit >> 20} MB.", 413)
        return None


class Door:
    """The one user and password. Wrong ones are counted by address: ten a minute, then none is looked at.

    A browser that was let in once holds a cookie, so that a stranger behind the same address can't lock it out.
    """

    def __init__(self, user: str, password: str) -> None:
        self.cookie = secrets.token_urlsafe(32)
        self._key = secrets.token_bytes(32)
        self._right = self._digest(f"{user}:{password}".encode())
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def refusal(self, scope: Scope, headers: Headers) -> PlainTextResponse | None:
        """None for whoever gives the password."""
        ask = {"WWW-Authenticate": 'Basic realm="VQA workbench", charset="UTF-8"'}
        given = headers.get("authorization", "")
        if not given:
            return PlainTextResponse("A user name and a password are needed.", 401, ask)
        client = scope.get("client")
        address = str(client[0]) if client else ""
        known = cookie_parser(headers.get("cookie", "")).get(KNOWN, "")
        if not hmac.compare_digest(known.encode(), self.cookie.encode()) and self._locked(address):
            wait = {"Retry-After": f"{MINUTE_S:.0f}"}
            return PlainTextResponse("Too many wrong passwords; try again in a minute.", 429, wait)
        try:
            said = base64.b64decode(given.partition(" ")[2], validate=True)
        except (binascii.Error, ValueError):
            said = b""
        if hmac.compare_digest(self._digest(said), self._right):
            return None
        self._wrong.setdefault(address, deque(maxlen=WRONG_A_MINUTE)).append(time.monotonic())
        self._wrong.move_to_end(address)
        if len(self._wrong) > ADDRESSES:
            self._wrong.popitem(last=False)
        return PlainTextResponse("Wrong user name or password.", 401, ask)

    def _locked(self, address: str) -> bool:
        times = self._wrong.get(address, deque())
        return len(times) == WRONG_A_MINUTE and time.monotonic() - times[0] < MINUTE_S

    def _digest(self, text: bytes) -> bytes:
        """A digest: texts of any length become equally long, so comparing them takes the same time."""
        return hmac.digest(self._key, text, hashlib.sha256)


def _name_of(host: str) -> str:
    """A Host header without its port, `[::1]:7860` -> `[::1]`; "" where it is none."""
    found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(:\d+)?", host)
    return found[1] if found else ""
