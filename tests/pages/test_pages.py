"""The built documentation in a browser: `make test-pages` builds it, and has what drives one."""

from __future__ import annotations

import functools
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="make test-pages drives a browser")
axe = pytest.importorskip("axe_playwright_python.base")

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
HTML = DOCS / "_build" / "html"
DRAWINGS = sorted([*DOCS.glob("_static/*.svg"), *DOCS.glob("img/*.svg")])
PAGES = sorted(
    [page.relative_to(DOCS).with_suffix(".html").as_posix() for page in DOCS.rglob("*.md")]
    + ["genindex.html", "py-modindex.html", "search.html"]
)
CHROMIUM = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
ALL_BUT_CONTRAST = """axe.run(
    document, {rules: {"color-contrast": {enabled: false}}, resultTypes: ["violations"]}
)"""


class Files(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@dataclass
class Visit:
    """A page of the site in a tab, and what went wrong while it was shown."""

    tab: Any
    site: str
    faults: list[str] = field(default_factory=list)

    def console(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(f"{message.text} {message.location.get('url')}")

    def open(self, page: str) -> None:
        self.tab.goto(self.site + page)

    def ask(self, script: str) -> Any:
        return self.tab.evaluate(script)


def script(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The address that the documentation is served from."""
    assert (HTML / "index.html").exists(), "make docs builds the documentation"
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=HTML))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def tab() -> Iterator[Any]:
    """A tab of Chromium without a window; each would take a second to open."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert program, f"this machine has none of {', '.join(CHROMIUM)}"
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser.new_page(reduced_motion="reduce")
        browser.close()


@pytest.fixture
def visit(tab: Any, site: str) -> Iterator[Visit]:
    """The tab at the width of a desktop, with an eye on what goes wrong."""
    tab.set_viewport_size(DESKTOP)
    tab.emulate_media(color_scheme="light")
    visit = Visit(tab, site)
    handlers = {
        "console": visit.console,
        "pageerror": lambda error: visit.faults.append(str(error)),
        "requestfailed": lambda request: visit.faults.append(f"failed: {request.url}"),
    }
    for event, handler in handlers.items():
        tab.on(event, handler)
    own = (site, DOCS.as_uri())
    tab.route(lambda url: not url.startswith(own), lambda route: route.abort())
    yield visit
    tab.unroute_all()
    for event, handler in handlers.items():
        tab.remove_listener(event, handler)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_needs_nothing_from_elsewhere_and_fits_a_phone(visit: Visit, page: str) -> None:
    visit.open(page)
    broken = "[...document.images].filter(image => !image.naturalWidth).map(image => image.src)"
    assert visit.ask(broken) == []
    for viewport in (DESKTOP, PHONE):
        visit.tab.set_viewport_size(viewport)
        assert visit.ask("document.documentElement.scrollWidth") <= viewport["width"]
    assert visit.faults == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_accessible(visit: Visit, page: str) -> None:
    visit.open(page)
    visit.ask(axe.AXE_SCRIPT)
    looks = []
    for viewport in (DESKTOP, PHONE):
        visit.tab.set_viewport_size(viewport)
        looks.append(visit.ask(ALL_BUT_CONTRAST))
        # What has a colour on a phone alone is the same on every page.
        themes = ("light", "dark") if viewport is DESKTOP or page == "index.html" else ()
        for theme in themes:
            visit.tab.emulate_media(color_scheme=theme)
            looks.append(visit.ask(script("contrast.js")))
    assert all(look["passes"] for look in looks)
    serious = [
        (look["testEnvironment"]["windowWidth"], violation["help"], node["html"], node["any"])
        for look in looks
        for violation in look["violations"]
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"]
    ]
    assert serious == []


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("approle", "vault.html"),
        ("credit card", "formats.html"),
        ("reidentify_file", "api/files.html"),
    ],
)
def test_the_search_finds_a_page(visit: Visit, words: str, page: str) -> None:
    visit.open("index.html")
    visit.tab.fill("input[name=q]", words)
    visit.tab.press("input[name=q]", "Enter")
    visit.tab.wait_for_selector("#search-results li a")
    visit.tab.wait_for_function("document.querySelector('.search-summary').textContent != ''")
    found = visit.ask("[...document.querySelectorAll('#search-results li a')].map(a => a.href)")
    assert page in {urldefrag(link.removeprefix(visit.site)).url.split("?")[0] for link in found}
    assert visit.faults == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda drawing: drawing.name)
def test_the_texts_of_a_drawing_can_be_read(visit: Visit, drawing: Path, theme: str) -> None:
    visit.tab.emulate_media(color_scheme=theme)
    visit.tab.goto(drawing.as_uri())
    faults = visit.ask(script("drawing.js"))
    assert faults + visit.faults == []


class Links(HTMLParser):
    """The anchors of a page, and where its links lead."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.links: set[str] = set()
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name == "id" and value:
                self.anchors.add(value)
            if name in {"href", "src"} and value:
                self.links.add(value)


def test_every_link_inside_leads_somewhere(site: str) -> None:
    pages = {page.relative_to(HTML).as_posix(): Links(page) for page in HTML.rglob("*.html")}
    assert set(PAGES) <= set(pages)
    broken = []
    for name, page in pages.items():
        for link in page.links:
            url = urlsplit(urljoin(site + name, link))
            path, anchor = unquote(url.path[1:]), unquote(url.fragment)
            if f"{url.scheme}://{url.netloc}/" != site:
                continue
            if not (HTML / path).is_file() or anchor not in pages.get(path, page).anchors:
                broken.append((name, link))
    assert broken == []
