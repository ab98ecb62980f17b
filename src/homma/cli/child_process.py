"""Runs a function in a process of its own, whose memory is free again when it ends."""

import signal
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TypeVar

from homma.errors import HommaError, InternalError

T = TypeVar("T")


def in_child(function: Callable[[], T]) -> T:
    """Return what the function returns in a fork of this process, or raise its HommaError.

    Only before this process has used threads that the function needs, such as those of polars. If
    this call is interrupted, it ends the child.
    """
    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send, args=(function, sender))
    child.start()
    sender.close()
    try:
        result: T | HommaError = receiver.recv()
    except EOFError as error:
        child.join()
        problem = f"process {child.pid} ended with {child.exitcode} and without a result"
        raise InternalError(problem, "see its log for the reason") from error
    finally:
        receiver.close()
        child.terminate()
        child.join()
    if isinstance(result, HommaError):
        raise result
    return result


def _send(function: Callable[[], T], sender: "Connection[T | HommaError, None]") -> None:
    """Send the result. Only the parent ends this process, also when Ctrl-C reaches both."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        sender.send(function())
    except HommaError as error:
        sender.send(error)
