"""Languages: English at `/`, Korean at `/ko/`; the browser's setting decides until the reader chooses a language."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.components.words import LANGUAGES

PATHS = {"en": "/", "ko": "/ko"}  # a language is a part of the address
COOKIE = "language"
YEAR_S = 365 * 86_400


class Languages:
    """ASGI middleware: `/?language=ko` remembers a choice, `/` sends a reader of Korean to `/ko/`.

    Args:
        scripts: by language, JavaScript that runs before any of Gradio's. (Gradio's own `head` comes after it has read
            the browser's language.)
    """

    def __init__(self, app: ASGIApp, scripts: Mapping[str, str]) -> None:
        self.app, self.scripts = app, scripts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pages = {"/", *(f"{path.rstrip('/')}/" for path in PATHS.values())}
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or scope["path"] not in pages:
            await self.app(scope, receive, send)
            return
        response = _redirect(scope) if scope["path"] == "/" else None
        if response:
            await response(scope, receive, send)
            return
        language = next(name for name, path in PATHS.items() if f"{path.rstrip('/')}/" == scope["path"])
        # Gradio would read `page` as the name of one of its own pages; the script reads the address in the browser.
        await self.app({**scope, "query_string": b""}, receive, _with_script(send, language, self.scripts[language]))


def _with_script(send: Send, language: str, script: str) -> Send:
    """Put the script at the head of the page, and the page's language into its first tag."""
    start: Message = {}
    body = bytearray()

    async def changed(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
            return
        body.extend(message.get("body", b""))
        if message.get("more_body"):
            return
        page = bytes(body).replace(b"<head>", b"<head><script>" + script.encode() + b"</script>", 1)
        page = re.sub(rb'<html([^>]*?) lang="[^"]*"', b'<html\\1 lang="' + language.encode() + b'"', page, count=1)
        MutableHeaders(scope=start)["content-length"] = str(len(page))
        await send(start)
        await send({"type": "http.response.body", "body": page})

    return changed


def _redirect(scope: Scope) -> RedirectResponse | None:
    headers = Headers(scope=scope)
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    chosen = query.pop("language", "")
    if chosen in LANGUAGES:
        response = RedirectResponse(_address(chosen, query), 303)
        response.set_cookie(COOKIE, chosen, max_age=YEAR_S, samesite="lax", httponly=True)
        return response
    preferred = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
    if preferred not in LANGUAGES:
        preferred = preferred_language(headers.get("accept-language", ""))
    return None if PATHS[preferred] == "/" else RedirectResponse(_address(preferred, query), 307)


def preferred_language(accepted: str) -> str:
    """The first of our languages in an Accept-Language header, by its weights; English where there is none."""

    def weight(part: str) -> float:
        _, _, q = part.partition("q=")
        try:
            return float(q) if q else 1.0
        except ValueError:
            return 0.0

    for part in sorted(accepted.split(","), key=weight, reverse=True):
        code = re.split("[-;]", part.strip().lower())[0].strip()
        if code in LANGUAGES and weight(part) > 0:
            return code
    return "en"


def _address(language: str, query: dict[str, str]) -> str:
    return f"{PATHS[language].rstrip('/')}/" + ("?" + urlencode(query) if query else "")
