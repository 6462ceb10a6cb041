"""tests/support/browser.py itself: the page opens, and what it must not do is noticed."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Look, Server, chromium, forgive, open_tab, ready, unavailable, watch_of

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("page")
    with Server(folder / "runs", folder / "data") as server:
        yield server


@pytest.mark.parametrize("page", [Look(), Look(language="ko", dark=True, width=390)], indirect=True)
def test_the_page_opens_in_the_language_of_the_browser(page: "Page", server: Server) -> None:
    open_tab(page, server, "errors")
    assert page.url == f"{server.url}/{'ko/' if page.viewport_size == {'width': 390, 'height': 900} else ''}?tab=errors"


def test_requests_outside_and_errors_are_noticed(page: "Page", server: Server) -> None:
    open_tab(page, server)
    watch = watch_of(page)
    page.evaluate("fetch('http://192.0.2.1/x').catch(() => 0)")
    page.evaluate("new Image().src = 'http://127.0.0.1:9/'")
    page.evaluate("setTimeout(() => { throw new Error('from a script'); })")
    page.wait_for_function("true")
    ready(page)
    assert [url for url in watch.requests if url.startswith("http://192.0.2.1/")] or watch.complaints()
    assert any("from a script" in text for text in watch.complaints())
    watch.requests.clear()
    forgive(page, "from a script", "Content Security Policy", "192.0.2.1", "127.0.0.1:9")


def test_a_killed_server_comes_back_on_its_port(tmp_path: Path, serve, page: "Page") -> None:
    server = serve(tmp_path / "runs", tmp_path / "data", forked=False)
    open_tab(page, server)
    forgive(page, "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE")
    port, pid = server.port, server.pid
    server.kill()
    assert not server.answers()
    server.restart()
    assert (server.port, server.pid) != (port, pid)
    open_tab(page, server)
    assert server.stop() == 0


def test_ci_turns_a_skip_into_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.delenv("VQA_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(pytest.fail.Exception, match="no Chromium"):
        chromium()
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match="no Chromium"):
        chromium()
    with pytest.raises(pytest.skip.Exception, match="for a reason"):
        unavailable("for a reason.")
