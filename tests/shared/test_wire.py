"""Serialization between processes: records survive unchanged."""

import inspect
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardline import errors
from shardline.engine import Chunk, Progress, Request, serialization
from shardline.errors import EngineError, ShardlineError

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ShardlineError)]
RECORDS = st.one_of(st.from_type(Request), st.from_type(Chunk), st.from_type(Progress))


def sent(values: Any) -> Any:
    return json.loads(json.dumps(values))


@given(RECORDS)
def test_a_record_is_read_as_it_was_written(record: Any) -> None:
    read = serialization.read(sent(serialization.write(record)), type(record))
    assert repr(read) == repr(record)  # where a number is not one, it is not equal to itself


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_keeps_its_class_and_its_sentence(kind: type[ShardlineError]) -> None:
    error = serialization.read_error(sent(serialization.write_error(kind("It failed."))))
    assert type(error) is kind
    assert str(error) == "It failed."


@pytest.mark.parametrize("name", ["OtherError", "first_line", "Exception", "", None])
def test_an_error_that_is_not_known_here_is_one_of_the_engine(name: str | None) -> None:
    error = serialization.read_error({"error": name, "sentence": "It failed."})
    assert type(error) is EngineError
    assert str(error) == "It failed."


@pytest.mark.parametrize("values", [None, 3, [], {}, {"document": "d"}])
def test_what_is_no_request_is_told_so(values: Any) -> None:
    with pytest.raises(EngineError):
        serialization.read(values, Request)
