"""The engine's page, as Chromium shows it: in the light, in the dark and on a phone."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.editors import install
from tests.editors.home import ROOT
from tests.editors.vscode import GUARD_MILLISECONDS, browser
from tests.http.scripted_server import KEY

DESK = {"width": 1100, "height": 640}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Yield a server with a scripted engine that has answered a few requests."""
    command = [sys.executable, "-m", "tests.http.scripted_server", "codellama/CodeLlama-7b-hf"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=dict(os.environ))
    with process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        headers = {"Authorization": f"Bearer {KEY}"}
        for length in range(8):
            body = {"prompt": "say:" + "word " * length, "n_predict": 200}
            httpx.post(f"{url}/infill", json=body, headers=headers).raise_for_status()
        yield url
        process.terminate()


@dataclass
class Seen:
    """What a page did besides being shown: what it asked for, and what the browser complained about."""

    page: Page
    requests: list[str]
    complaints: list[str]


@contextmanager
def opened(chromium: Browser, address: str, **context: Any) -> Iterator[Seen]:
    page = chromium.new_page(viewport=context.pop("viewport", DESK), device_scale_factor=2, **context)
    page.set_default_timeout(GUARD_MILLISECONDS)
    seen = Seen(page, [], [])
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("console", lambda message: seen.complaints.append(message.text))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.goto(address)
    yield seen
    page.close()


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("light", {"color_scheme": "light"}),
        ("dark", {"color_scheme": "dark"}),
        ("phone", {"color_scheme": "light", "viewport": PHONE}),
        ("phone-dark", {"color_scheme": "dark", "viewport": PHONE}),
    ],
)
def test_it_draws_where_the_model_is_and_what_it_does(
    chromium: Browser, url: str, name: str, context: dict[str, Any]
) -> None:
    with opened(chromium, f"{url}/#token={KEY}", **context) as seen:
        page = seen.page
        expect(page.locator("#status")).to_have_text("Ready")
        expect(page.locator("#model")).to_have_text("codellama/CodeLlama-7b-hf")
        expect(page.locator("#running")).to_have_text("0")
        expect(page.locator("#first")).to_have_text(re.compile(r"^[\d.]+ ms$"))
        expect(page.locator("#reused")).to_have_text("0%")
        expect(page.locator(".device b")).to_have_text(["GPU 0", "GPU 1", "cpu"])
        expect(page.locator(".device span:nth-child(2)")).to_have_text(["layers 0–10", "layers 11–30", "layer 31"])
        expect(page.locator(".device").first).to_contain_text("4.6 GiB of 8.0 GiB")
        expect(page.locator("#legend li")).to_have_text(["weights", "KV cache", "workspace", "draft model", "free"])
        expect(page.locator("svg path")).to_have_count(6)
        shares = page.locator(".device:first-child .bar i")
        widths = [box["width"] for piece in shares.all() if (box := piece.bounding_box())]
        assert widths[0] / sum(widths) == pytest.approx(0.5, abs=0.02)  # weights, of all there is
        page.screenshot(path=install.SCREENSHOTS / f"engine-{name}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        is_light = all(int(part) > 128 for part in re.findall(r"\d+", ground))
        assert is_light == (context["color_scheme"] == "light")
        assert page.url == f"{url}/"  # the key is gone from it
        assert {request.split("/")[2] for request in seen.requests if not request.startswith("data:")} == {
            url.split("/")[2]
        }
        assert seen.complaints == []


def test_it_goes_on_by_itself(chromium: Browser, url: str) -> None:
    with opened(chromium, f"{url}/#token={KEY}") as seen:
        expect(seen.page.locator("#running")).to_have_text("0")
        timeout = httpx.Timeout(GUARD_MILLISECONDS / 1000)
        headers = {"Authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=url, headers=headers, timeout=timeout) as client:
            asked = client.build_request("POST", "/infill", json={"prompt": "steps", "stream": True})
            client.get("/test/step")
            answer = client.send(asked, stream=True)
            expect(seen.page.locator("#running")).to_have_text("1")
            answer.close()
        expect(seen.page.locator("#running")).to_have_text("0")


def test_without_the_key_it_asks_for_it(chromium: Browser, url: str) -> None:
    with opened(chromium, url) as seen:
        page = seen.page
        expect(page.locator("#engine")).to_be_hidden()
        assert not [request for request in seen.requests if "figures" in request]
        page.get_by_label("API key").fill("wrong")
        page.get_by_role("button").click()
        expect(page.locator("#status")).to_have_text("Wrong key")
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button").click()
        expect(page.locator("#engine")).to_be_visible()
        expect(page.locator("#entry")).to_be_hidden()
        page.reload()
        expect(page.locator("#engine")).to_be_visible()  # it is remembered as long as the tab is open


def test_nothing_that_is_not_its_own_can_run_in_it(chromium: Browser, url: str) -> None:
    with opened(chromium, url) as seen:
        seen.page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'ran = 1'}))")
        assert seen.page.evaluate("typeof ran") == "undefined"
        assert any("Content Security Policy" in complaint for complaint in seen.complaints)
