"""The page of the gateway in a real browser."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.browser import PROGRAM, Browser
from tests.e2e.test_gateway import gateway, server
from tests.helpers import needs_program, quickest, wait_until
from tests.helpers.http import ask

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network, needs_program(PROGRAM)]

_REALMS = itertools.count()
_SOON_S = 2.0
"""Within which the page shows what happened."""


@pytest.fixture
def realm() -> str:
    return f"page-{os.getpid()}-{next(_REALMS)}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A gateway before two servers, for tests that only look."""
    realm = f"page-{os.getpid()}"
    with server(realm, "one"), server(realm, "two"), gateway(realm, alive=2) as (_, port):
        yield port


def names(browser: Browser) -> list[str]:
    """Return the servers that the page shows, from above."""
    shown: list[str] = browser.value("[...document.querySelectorAll('#rows th')].map((cell) => cell.textContent)")
    return shown


def row(name: str) -> str:
    """Return an expression for the row of a server."""
    return f"document.querySelector('#rows [data-server={name}]')"


def test_servers_come_and_go_on_the_page_within_two_seconds(realm: str, browser: Browser) -> None:
    with server(realm, "one"), gateway(realm) as (process, port):
        browser.open(f"http://127.0.0.1:{port}/")
        browser.wait(row("one"))

        def come_and_go() -> float:
            with server(realm, "two") as two:
                wait_until(lambda: len(ask(port, "/v1/servers").json["servers"]) == 2)
                came_s = browser.wait(row("two"))
                assert names(browser) == ["one", "two"]
                two.kill9()
                return max(came_s, browser.wait(f"!{row('two')}"))

        assert quickest(come_and_go, _SOON_S, tries=3) < _SOON_S
        said = browser.value("document.getElementById('events').innerText")
        assert "two appeared" in said
        assert "two dead" in said
        assert browser.complaints == []
        process.terminate()
        browser.wait("document.getElementById('link').dataset.state == 'lost'")


def test_the_page_shows_what_the_servers_do(port: int, browser: Browser) -> None:
    browser.open(f"http://127.0.0.1:{port}/")

    def shows_rates() -> bool:
        ask(port, "/v1/call/work/end", '["NOT_FOUND"]')
        rates = ("calls_per_s", "errors_per_s")
        return all(browser.value(f"document.querySelector('[data-total={rate}]')?.textContent > 0") for rate in rates)

    wait_until(shows_rates, what="rates")
    browser.wait(f"{row('one')}.querySelector('path').getAttribute('d').includes('L')")
    browser.value("document.querySelector('[data-sort=name]').click()")
    assert names(browser) == ["two", "one"]
    browser.value("filter.value = 'TWO alive'; filter.dispatchEvent(new Event('input'))")
    assert names(browser) == ["two"]
    browser.value("document.querySelector('#methods summary').click()")
    methods = browser.value("document.getElementById('methods').innerText")
    assert "work.add(a: int, b: int = 5) -> int" in methods
    assert "Changes nothing: GET does." in methods
    assert browser.complaints == []


def test_the_page_asks_for_a_token_and_then_shows_the_mesh(realm: str, browser: Browser, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("0123456789abcdef")
    tokens.chmod(0o600)
    with server(realm, "one"), gateway(realm, "--token-file", str(tokens)) as (_, port):
        browser.open(f"http://127.0.0.1:{port}/")
        for token, expected in (("wrong", "denied.textContent"), ("0123456789abcdef", row("one"))):
            browser.wait("!login.hidden")
            browser.value(f"token.value = '{token}'; login.requestSubmit()")
            browser.wait(expected)
        assert browser.value("login.hidden")


def test_everything_on_the_page_has_a_name_for_those_who_do_not_see_it(port: int, browser: Browser) -> None:
    browser.open(f"http://127.0.0.1:{port}/")
    browser.wait(f"{row('one')}.querySelector('svg')")
    nodes = browser.command("Accessibility.getFullAXTree")["nodes"]
    shown = [node for node in nodes if not node["ignored"]]
    for node in shown:
        role, said = node["role"]["value"], node.get("name", {}).get("value", "")
        if role in ("button", "link", "searchbox", "textbox", "image", "columnheader", "rowheader", "heading"):
            assert said, node
    assert {"main", "banner", "navigation", "table", "log", "status"} <= {node["role"]["value"] for node in shown}


def test_text_stands_out_from_its_ground(port: int, browser: Browser) -> None:
    script = """
        (() => {
          const light = (colour) => {
            const [r, g, b] = colour.match(/[\\d.]+/g).map((part) => {
              const share = part / 255;
              return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const ground = (place) => {
            const colour = getComputedStyle(place).backgroundColor;
            return colour === "rgba(0, 0, 0, 0)" && place.parentElement ? ground(place.parentElement) : colour;
          };
          return [...document.querySelectorAll("h1, h2, p, dt, dd, th, td, a, label, li, code, summary, span, time")]
            .filter((place) => place.textContent.trim() && place.offsetParent)
            .map((place) => {
              const [a, b] = [light(getComputedStyle(place).color), light(ground(place))];
              return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), place.outerHTML.slice(0, 80)];
            });
        })()
    """
    browser.open(f"http://127.0.0.1:{port}/")
    browser.wait(row("one"))
    for colours in ("dark", "light"):
        browser.prefer(colours)
        measured = browser.value(script)
        assert len(measured) > 20
        # WCAG 2.2, success criterion 1.4.3.
        assert [place for contrast, place in measured if contrast < 4.5] == []
