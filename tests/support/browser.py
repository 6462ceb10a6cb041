"""The page in a real browser: what the browser tests stand on. tests/conftest.py makes its fixtures known.

    def test_something(serve: Serve, page: Page) -> None:
        server = serve(runs, data)                               # python app.py, a process of its own, ready to answer
        open_tab(page, server, "explore", q="circle")            # waits until the tab is drawn
        page.fill("#explore-search textarea", "square")
        page.keyboard.press("Enter")
        ready(page)                                              # waits until the page has nothing under way
        server.kill()                                            # SIGKILL
        forgive(page, "ERR_CONNECTION_REFUSED")                  # what the console may say from now on
        server.restart()                                         # on the same port

`page` is an English page of 1280 x 900 in light colours. `@pytest.mark.parametrize("page", [Look(language="ko",
width=390)], indirect=True)` asks for another one, the fixture `open_page` makes several: `open_page(Look(dark=True))`.

When a test ends its pages are checked: no request went anywhere but to a server of the test, no script failed, the
console shows no error but those that were forgiven. Nothing sleeps: `ready` and Playwright's `expect` wait for
conditions. Where Playwright or Chromium is missing the tests are skipped and say so; with CI=true they fail.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

import pytest

from tests.support.processes import ForkedScript, environment
from vqa_core import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

CHROMIUM = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
FLAGS = (
    # root in a container has no sandbox of its own
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-quic"),
    # one renderer a page
    *("--disable-site-isolation-trials", "--disable-features=IsolateOrigins,site-per-process"),
    # the browser's own calls home
    *("--disable-sync", "--disable-background-networking", "--disable-component-update"),
    *("--disable-domain-reliability", "--no-pings"),
    # a camera that needs no device and asks nobody
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
)
START_S = 120  # importing Gradio takes 4 s on an idle machine
WAIT_S = 60
EVENTS = (Path(__file__).parent / "events.js").read_text(encoding="utf-8")
STILL = 9  # frames, 150 ms: what an event starts when it ends has been started by then. A starved browser draws fewer.
READY = f"""() => {{
    const events = window.eventsOfPage;
    events.still += 1;
    return events.sent && !events.sending && !events.queued.size && events.still > {STILL};
}}"""
NOISE = (
    r"status of 422",  # a validator said no: the field shows it
    r"AbortError: signal is aborted",  # a stream was closed on purpose
    r"gradio_api/(queue/data|heartbeat).*(ERR_ABORTED|ERR_INCOMPLETE_CHUNKED_ENCODING)",  # likewise
)


def unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it where CI=true: there everything has to run."""
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(f"{reason} With CI=true a skip is a failure.", pytrace=False)
    pytest.skip(reason)


def chromium() -> str:
    """The browser's program: VQA_CHROMIUM, or the first of CHROMIUM on the PATH."""
    found = os.environ.get("VQA_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if find_spec("playwright") is None:
        unavailable("Playwright is not installed; `make test` installs it.")
    return found or unavailable("no Chromium; install one: apt-get install chromium-headless-shell fonts-nanum.")


class Server:
    """`python app.py` as a process, with these folders, on a free port.

    Args:
        runs, data: the folders it shows.
        env: further environment variables.
        args: further arguments.
        cwd: the folder it is started in.
        forked: whether its process is forked from one that has imported what it imports, which spares seconds; False
            is for what only a start from nothing shows.
    """

    def __init__(
        self,
        runs: Path,
        data: Path,
        *,
        env: Mapping[str, str] | None = None,
        args: Sequence[str] = (),
        cwd: Path = ROOT,
        forked: bool = True,
    ) -> None:
        self.runs, self.data, self.env, self.args, self.cwd = runs, data, dict(env or {}), tuple(args), cwd
        self.forked, self.port = forked, free_port()
        self.process: subprocess.Popen[bytes] | ForkedScript | None = None
        self._log = (cwd / runs).parent / f"server-{self.port}.log"

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has printed, over all its starts."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.is_file() else ""

    @property
    def pid(self) -> int:
        assert self.process, "the server was never started"
        return self.process.pid

    def start(self) -> Self:
        """Start it and wait until it answers."""
        (self.cwd / self.runs).mkdir(parents=True, exist_ok=True)
        script, env = ROOT / "app.py", environment() | self.env
        args = ["--port", str(self.port), "--runs", str(self.runs), "--data", str(self.data), *self.args]
        if self.forked:
            self.process = ForkedScript(script, args, output=self._log, env=env, cwd=self.cwd)
        else:
            command = [sys.executable, str(script), *args]
            with self._log.open("ab") as log:
                self.process = subprocess.Popen(
                    command, env=env, cwd=self.cwd, stdout=log, stderr=log, start_new_session=True
                )
        deadline = time.monotonic() + START_S
        while not self.answers():
            assert self.process.poll() is None, f"app.py ended with {self.process.returncode}:\n{self.log}"
            assert time.monotonic() < deadline, f"app.py does not answer after {START_S} s:\n{self.log}"
            time.sleep(0.05)
        return self

    def answers(self) -> bool:
        """Whether it answers at all, be it with a refusal."""
        try:
            urllib.request.urlopen(self.url, timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL to the server, and to no process that it started."""
        assert self.process
        self.process.kill()
        self.process.wait(WAIT_S)

    def restart(self) -> Self:
        """Start it again, on the same port; a running one is killed first."""
        if self.process and self.process.poll() is None:
            self.kill()
        return self.start()

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """End it as a person would; return the exit code."""
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(by)
        return self.process.wait(WAIT_S)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process and self.process.poll() is None:
            self.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers, `serve(runs, data, env=..., args=...)`, and kills them when the test ends."""
    started: list[Server] = []

    def start(runs: Path, data: Path, **options: object) -> Server:
        server = Server(runs, data, **options)  # type: ignore[arg-type]
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.__exit__()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Headless Chromium. One a module: as long as it runs, the test process counts as one that runs an event loop."""
    program = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, headless=True, args=list(FLAGS))


@dataclass(frozen=True)
class Look:
    """How a page is looked at."""

    language: str = "en"
    dark: bool = False
    width: int = 1280
    height: int = 900
    login: tuple[str, str] | None = None
    """User and password where the server asks for them."""


@dataclass
class Watch:
    """What a page has done so far."""

    servers: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    forgiven: list[str] = field(default_factory=lambda: list(NOISE))

    def outside(self) -> list[str]:
        """Requests that went to no server of the test."""
        inside = ("data:", "blob:", "about:", *(f"{server}/" for server in self.servers))
        return [url for url in self.requests if not f"{url}/".startswith(inside)]

    def complaints(self) -> list[str]:
        return [text for text in self.errors if not any(re.search(known, text) for known in self.forgiven)]


_watches: "WeakKeyDictionary[Page, Watch]" = WeakKeyDictionary()
OpenPage = Callable[..., "Page"]


@pytest.fixture
def open_page(browser: "Browser") -> Iterator[OpenPage]:
    """Makes pages, `open_page(Look(...))`, and checks them when the test ends."""
    pages: list[Page] = []

    def make(look: Look = Look()) -> "Page":
        context = browser.new_context(
            locale={"en": "en-US", "ko": "ko-KR"}[look.language],
            color_scheme="dark" if look.dark else "light",
            viewport={"width": look.width, "height": look.height},
            http_credentials={"username": look.login[0], "password": look.login[1]} if look.login else None,
        )
        context.set_default_timeout(WAIT_S * 1000)
        pages.append(watched(context.new_page()))
        return pages[-1]

    yield make
    outside = [url for page in pages for url in watch_of(page).outside()]
    complaints = [text for page in pages for text in watch_of(page).complaints()]
    for page in pages:
        page.context.close()
    assert not outside, f"the page asked for something outside: {outside}"
    assert not complaints, f"the browser's console shows errors: {complaints}"


@pytest.fixture
def page(request: pytest.FixtureRequest, open_page: OpenPage) -> "Page":
    """One page: English, light and 1280 wide, or the Look that the test is parametrised by."""
    return open_page(getattr(request, "param", Look()))


def watched(page: "Page") -> "Page":
    """Note what `page` asks for and complains of, from now on."""
    watch = _watches[page] = Watch()
    page.add_init_script(EVENTS)

    def said(message: "ConsoleMessage") -> None:
        if message.type == "error":
            watch.errors.append(f"{message.text} {message.location.get('url', '')}".strip())

    page.on("request", lambda request: watch.requests.append(request.url))
    page.on("console", said)
    page.on("pageerror", lambda error: watch.errors.append(f"uncaught: {error}"))
    return page


def watch_of(page: "Page") -> Watch:
    """What `page` has done so far."""
    return _watches[page]


def forgive(page: "Page", *patterns: str) -> None:
    """Errors in the console that match are no failure of this page."""
    watch_of(page).forgiven.extend(patterns)


def open_tab(page: "Page", server: Server, name: str = "", /, **view: object) -> None:
    """Open a tab with a view by its address, and wait until it is drawn; without a name, the address of the server."""
    watch_of(page).servers.add(server.url)
    query = urlencode({"tab": name, **view} if name else view)
    page.goto(f"{server.url}/" + (f"?{query}" if query else ""))
    ready(page)


def click_tab(page: "Page", name: str) -> None:
    """Go to another tab by a click on it; where tabs do not fit, through the menu of those left over."""
    tab = page.locator(f"#tab-{name}-button").first
    if not tab.is_visible():
        page.locator("#tabs .overflow-menu > button").click()
        tab = page.locator(f".overflow-dropdown #tab-{name}-button")
    tab.click()
    # a tab that was never seen is built first, and only then says that it was chosen
    page.wait_for_function("(name) => new URLSearchParams(location.search).get('tab') === name", arg=name)
    ready(page)


def ready(page: "Page", timeout_s: float = WAIT_S) -> None:
    """Wait until the page is drawn and no event of it is under way. A timer's polling is no hindrance."""
    from playwright.sync_api import TimeoutError as Late

    page.locator("#tabs").wait_for(timeout=timeout_s * 1000)
    page.evaluate("window.eventsOfPage.still = 0")  # what was just done may not have started its event
    try:
        page.wait_for_function(READY, timeout=timeout_s * 1000)
    except Late:
        state = page.evaluate(
            "(({ sending, sent, queued }) => ({ sending, sent, queued: [...queued] }))(window.eventsOfPage)"
        )
        raise AssertionError(f"{page.url} is not done after {timeout_s} s: {state}; {watch_of(page).errors}") from None
