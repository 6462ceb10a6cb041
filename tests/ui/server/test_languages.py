"""Which language a reader gets: ui/server/languages.py."""

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, PlainTextResponse
from starlette.requests import Request
from starlette.testclient import TestClient

from ui.components.words import LANGUAGES
from ui.server.languages import COOKIE, Languages, preferred_language

PAGE = '<!doctype html><html data-x="1" lang="xx" class="y"><head><title>x</title></head><body>한글</body></html>'


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()

    @app.get("/")
    @app.get("/ko/")
    def page(request: Request) -> HTMLResponse:
        return HTMLResponse(PAGE.replace("<title>x", f"<title>{request.url.query}"))

    @app.get("/other/")
    def other() -> PlainTextResponse:
        return PlainTextResponse("<html lang='xx'><head>")

    app.add_middleware(Languages, scripts={"en": "english()", "ko": "'한국어'"})
    return TestClient(app, follow_redirects=False)


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"), ("ko", "ko"), ("ko-KR,ko;q=0.9,en-US;q=0.8", "ko"), ("en-US,en;q=0.9,ko;q=0.8", "en"),
        ("fr-FR,ko;q=0.5", "ko"), ("fr,de", "en"), ("en;q=0.1,ko;q=0.2", "ko"), ("KO-kr", "ko"), ("kok-IN", "en"),
        ("ko;q=0,en;q=0.1", "en"), ("ko;q=0", "en"), ("ko;q=nonsense", "en"), (";;,,=", "en"), ("*", "en"),
    ],
)  # fmt: skip
def test_the_browser_s_weights_decide(accepted: str, language: str) -> None:
    assert preferred_language(accepted) == language


def test_a_reader_of_korean_is_sent_to_the_korean_page_with_the_whole_address(client: TestClient) -> None:
    reply = client.get("/?tab=explore&q=원+사과&__theme=dark", headers={"accept-language": "ko-KR"})
    assert reply.status_code == 307
    assert reply.headers["location"] == "/ko/?tab=explore&q=%EC%9B%90+%EC%82%AC%EA%B3%BC&__theme=dark"
    assert client.get("/", headers={"accept-language": "en"}).status_code == 200
    assert client.get("/ko/", headers={"accept-language": "en"}).status_code == 200, "an address is meant as it is"


def test_a_choice_is_remembered_and_wins_over_the_browser(client: TestClient) -> None:
    reply = client.get("/?language=ko&tab=runs", headers={"accept-language": "en"})
    assert (reply.status_code, reply.headers["location"]) == (303, "/ko/?tab=runs")
    assert "HttpOnly" in reply.headers["set-cookie"]
    assert client.get("/", headers={"accept-language": "en"}).headers["location"] == "/ko/"
    reply = client.get("/?language=en&tab=runs", headers={"accept-language": "ko"})
    assert (reply.status_code, reply.headers["location"]) == (303, "/?tab=runs")
    assert client.get("/", headers={"accept-language": "ko"}).status_code == 200


@pytest.mark.parametrize("language", ["xx", "", "//evil.example", "ko\r\nset-cookie: a=b", "%0d%0a"])
def test_a_language_that_is_none_leads_nowhere(client: TestClient, language: str) -> None:
    reply = client.get("/", params={"language": language, "tab": "//evil.example"}, headers={"accept-language": "en"})
    assert reply.status_code == 200
    assert COOKIE not in reply.headers.get("set-cookie", "")


def test_every_redirect_stays_on_this_server(client: TestClient) -> None:
    for query in ("//evil.example", "tab=//evil.example&language=ko", "language=ko&x=%0d%0aset-cookie:a"):
        reply = client.get(f"/?{query}", headers={"accept-language": "ko"})
        assert reply.headers["location"].startswith("/ko/")
        assert "\n" not in reply.headers["location"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_says_its_language_and_starts_with_our_script(client: TestClient, language: str) -> None:
    reply = client.get("/ko/" if language == "ko" else "/", headers={"accept-language": "en"})
    assert f'<html data-x="1" lang="{language}" class="y"><head><script>' in reply.text
    assert reply.text.endswith("한글</body></html>")
    assert int(reply.headers["content-length"]) == len(reply.content)


def test_gradio_never_sees_the_address_s_query(client: TestClient) -> None:
    assert "<title></title>" in client.get("/ko/?page=2&deep_link=x").text


def test_other_addresses_pass_as_they_are(client: TestClient) -> None:
    assert client.get("/other/?language=ko", headers={"accept-language": "ko"}).text == "<html lang='xx'><head>"
    assert client.head("/ko/").status_code in (200, 405)
