import threading

from homma.errors import HommaError, StackError
from homma.stack.periodic import every
from tests.stack.waiting import NEVER_S


def test_a_chore_is_done_again_after_it_failed() -> None:
    done, failed = threading.Semaphore(0), list[HommaError]()

    def chore(over: threading.Event) -> None:
        done.release()
        raise StackError("it went wrong", "try again")

    with every(0.001, chore, failed.append):
        for _ in range(3):
            assert done.acquire(timeout=NEVER_S)
    # The block's end waits for the one under way.
    assert 3 <= len(failed) == 3 + done._value


def test_a_chore_is_told_of_the_end_and_waited_for() -> None:
    begun, ended = threading.Event(), threading.Event()

    def chore(over: threading.Event) -> None:
        begun.set()
        assert over.wait(NEVER_S)
        ended.set()

    with every(0.001, chore, lambda _: None):
        assert begun.wait(NEVER_S)
    assert ended.is_set()


def test_nothing_is_done_before_the_first_interval() -> None:
    done = threading.Event()
    with every(3600.0, lambda _: done.set(), lambda _: None):
        pass
    assert not done.is_set()
