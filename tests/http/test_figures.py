"""Figures of the last two minutes, and the page; `tests.editors.test_page` sees its looks."""

import re

import httpx
from hypothesis import given
from hypothesis import strategies as st

from shardline.engine import Usage
from shardline.http.api.dashboard import PAGE
from shardline.http.recent_activity import SECONDS, History
from tests.http.scripted_server import PLACEMENT
from tests.http.servers import started

STEPS = st.lists(st.tuples(st.floats(min_value=0, max_value=50), st.integers(min_value=0, max_value=9)), max_size=20)


def usage(*, cached: int) -> Usage:
    return Usage(prompt_tokens=10, cached_tokens=cached, completion_tokens=3, time_to_first_token=0.5, total_time=1)


@given(steps=STEPS, begin=st.floats(min_value=0, max_value=1e6))
def test_exactly_what_is_not_too_long_ago_is_remembered(steps: list[tuple[float, int]], begin: float) -> None:
    now = begin
    history = History(lambda: now)
    done = []
    for pause, tokens in steps:
        now += pause
        history.generated(tokens)
        done.append((int(now), tokens))
    told = history.as_json()
    assert all(len(numbers) == SECONDS for numbers in told.values())
    for back in range(SECONDS):
        assert told["tokens"][-1 - back] == sum(tokens for at, tokens in done if at == int(now) - back)


def test_requests_are_told_of_by_the_second_in_which_they_ended() -> None:
    now = 5.5
    history = History(lambda: now)
    history.ended(usage(cached=4))
    history.ended(usage(cached=8))
    now = 7.0
    told = history.as_json()
    assert told["requests"][-4:] == [0, 2, 0, 0]
    assert told["first_token_ms"][-4:] == [None, 500, None, None]
    assert told["reused"][-4:] == [None, 0.6, None, None]


async def test_the_page_needs_no_key_holds_no_secret_and_reaches_nowhere() -> None:
    async with started("scripted") as server:
        async with httpx.AsyncClient(base_url=server.url) as stranger:
            for path in PAGE:
                answer = await stranger.get(path)
                assert answer.status_code == 200
                policy = answer.headers["content-security-policy"]
                assert policy.startswith("default-src 'none';")
                assert "unsafe" not in policy
                assert "frame-ancestors 'none'" in policy
                same = await stranger.get(path, headers={"If-None-Match": answer.headers["etag"]})
                assert (same.status_code, same.headers["content-security-policy"]) == (304, policy)
                links = re.findall(r"(?:href|src|url|import|from)[=( ]+[\"']([^\"']+)", answer.text)
                assert set(links) <= {*PAGE, "data:,"}
                assert server.key not in answer.text
            assert (await stranger.get("/engine/figures")).status_code == 401
        await server.http.post("/infill", json={"prompt": "say:four"})
        told = (await server.http.get("/engine/figures")).json()
        assert told["status"] == "ok"
        assert told["placement"] == PLACEMENT.as_json()
        assert (told["running"], told["waiting"]) == (0, 0)
        assert sum(told["history"]["tokens"]) == 4
        assert sum(told["history"]["requests"]) == 1
