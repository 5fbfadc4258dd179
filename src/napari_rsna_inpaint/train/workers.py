"""Work through a list in several processes, in order, and stop cleanly."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as NotReadyError
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from napari_rsna_inpaint.errors import Cancelled, OutputFailed

Item = TypeVar("Item")
Result = TypeVar("Result")

_CANCELLED = "Cancelled; what is finished is kept and the same command goes on."
_ASK_EVERY_S = 0.2


def in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    cancelled: Callable[[], bool],
) -> Iterator[Result]:
    """``function(item)`` of every item, in the order of the items.

    Parameters
    ----------
    function
        A function of a module, so that another process can import it.
    items
        Taken as they are needed: never more than twice the workers ahead.
    workers
        Number of processes; 1 works in this process.
    cancelled
        Asked again and again; when it returns True, begun items are finished and dropped.

    Raises
    ------
    Cancelled
        When `cancelled` returned True.
    OutputFailed
        If a process was killed.
    """
    if workers == 1:
        for item in items:
            if cancelled():
                raise Cancelled(_CANCELLED)
            yield function(item)
        return
    left = iter(items)
    # a forked process would inherit locks and threads in any state
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_begin_worker) as pool:
        try:
            running = deque(pool.submit(function, item) for item in islice(left, 2 * workers))
            while running:
                result = _wait(running[0], cancelled)
                running.popleft()
                running += [pool.submit(function, item) for item in islice(left, 1)]
                yield result
        except BrokenProcessPool as problem:
            raise OutputFailed(
                "A worker process was killed, mostly for want of memory; what is finished is kept: "
                "run the same command again with fewer workers."
            ) from problem
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _wait(future: Future[Result], cancelled: Callable[[], bool]) -> Result:
    while True:
        if cancelled():
            raise Cancelled(_CANCELLED)
        try:
            return future.result(timeout=_ASK_EVERY_S)
        except NotReadyError:
            if future.done():  # the work itself timed out
                raise


def _begin_worker() -> None:
    """Leave Ctrl-C to the main process, and end with it even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
