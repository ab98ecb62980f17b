"""A function in a process of its own: its result, its error, and its end."""

import os
import signal

import pytest

from homma.cli.child_process import in_child
from homma.errors import InternalError, LakeUnreachable


def test_the_result_comes_from_another_process() -> None:
    assert in_child(os.getpid) != os.getpid()


def test_an_error_of_homma_is_raised_here() -> None:
    def fail() -> None:
        raise LakeUnreachable("the lake does not answer", "start it")

    with pytest.raises(LakeUnreachable, match="the lake does not answer; start it"):
        in_child(fail)


def test_a_process_that_is_killed_is_an_error() -> None:
    def end() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(InternalError, match="ended with -9"):
        in_child(end)
