from collections.abc import Callable, Iterator

import pytest

from homma.stack.process import Process, Program


@pytest.fixture
def supervise() -> Iterator[Callable[..., Process]]:
    """Make processes that are stopped at the end of the test, however it ends."""
    made: list[Process] = []

    def make(program: Program, **options: object) -> Process:
        process = Process(program, **options)  # type: ignore[arg-type]
        made.append(process)
        return process

    yield make
    for process in made:
        process.stop()
