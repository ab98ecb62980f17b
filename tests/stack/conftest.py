from collections.abc import Callable, Iterator

import pytest

from homma.stack import seaweed
from homma.stack.credentials import read_credentials
from homma.stack.process import Process, Program
from homma.stack.seaweed import Seaweed
from tests.stack.lakes import Running, append
from tests.stack.waiting import seaweed_ports


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with a table in it, for tests that leave it as it was."""
    home, ports = tmp_path_factory.mktemp("home"), seaweed_ports()
    with seaweed.running(home, ports) as process:
        login = read_credentials(home)
        assert login is not None
        append(home, ports)
        yield Running(Seaweed(home, ports), process, login)


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
