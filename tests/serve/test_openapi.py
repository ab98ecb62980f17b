"""No generated request, valid or invalid, makes the server fail or break its OpenAPI schema."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation import GenerationMode

from homma.core.calendar import DEFAULT_CALENDAR
from homma.serve.http.openapi import document
from tests.support.serving import make_server, running, with_candles

SCHEMA = schemathesis.openapi.from_dict(document("1.2.3", DEFAULT_CALENDAR, token=False))
#: Without the live stream, which never ends; other tests cover it.
PATHS = sorted(set(document("1.2.3", DEFAULT_CALENDAR, token=False)["paths"]) - {"/api/live"})
CHECKS = [
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running(with_candles(make_server())) as url:
        yield url


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("path", PATHS)
def test_no_request_is_a_server_error(path: str, mode: GenerationMode, address: str) -> None:
    operation = SCHEMA[path]["POST" if path == "/api/login" else "GET"]
    if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body):
        return

    @settings(
        max_examples=20,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(base_url=address, checks=CHECKS, timeout=60)

    ask()
