import threading

from homma.errors import HommaError, StackError
from homma.stack.processes.periodic import every
from tests.support.waiting import NEVER_S


def test_a_task_runs_again_after_it_failed() -> None:
    done, errors = threading.Semaphore(0), list[HommaError]()

    def task(stop: threading.Event) -> None:
        done.release()
        raise StackError("it went wrong", "try again")

    with every(0.001, task, errors.append):
        for _ in range(3):
            assert done.acquire(timeout=NEVER_S)
    # The end of the block waits for the running task.
    assert 3 <= len(errors) == 3 + done._value


def test_the_end_of_the_block_stops_the_task_and_waits_for_it() -> None:
    begun, ended = threading.Event(), threading.Event()

    def task(stop: threading.Event) -> None:
        begun.set()
        assert stop.wait(NEVER_S)
        ended.set()

    with every(0.001, task, lambda _: None):
        assert begun.wait(NEVER_S)
    assert ended.is_set()


def test_the_task_does_not_run_before_the_first_interval() -> None:
    done = threading.Event()
    with every(3600.0, lambda _: done.set(), lambda _: None):
        pass
    assert not done.is_set()
