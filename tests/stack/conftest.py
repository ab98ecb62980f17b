from collections.abc import Callable, Iterator

import pytest

from homma.stack.processes.process import Process, Program
from homma.stack.servers import seaweed
from homma.stack.servers.credentials import read_credentials
from homma.stack.servers.seaweed import Seaweed
from tests.stack.lakes import RunningLake, append
from tests.support.waiting import seaweed_ports


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLake]:
    """A server with a table, for tests that do not change it."""
    home, ports = tmp_path_factory.mktemp("home"), seaweed_ports()
    with seaweed.running(home, ports) as process:
        login = read_credentials(home)
        assert login is not None
        append(home, ports)
        yield RunningLake(Seaweed(home, ports), process, login)


@pytest.fixture
def supervise() -> Iterator[Callable[..., Process]]:
    """Create processes that are stopped at the end of the test, even if it fails."""
    processes: list[Process] = []

    def make(program: Program, **options: object) -> Process:
        process = Process(program, **options)  # type: ignore[arg-type]
        processes.append(process)
        return process

    yield make
    for process in processes:
        process.stop()
