"""Items run in this process: in the caller's thread, or in a thread for every device."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

from headscope.engine.executor import Executor, Item


class Local(Executor):
    """Workers in this process, each with objects of its own that all its items are called with.

    One worker runs an item in the caller's thread, before `submit` returns.

    Args:
        shared: For every worker, keyword arguments that its items get beside their own, such as the
            scorer on its device. Nothing: one worker, which shares nothing.
    """

    def __init__(self, *shared: Mapping[str, Any]) -> None:
        self.workers = max(1, len(shared))
        self._idle: SimpleQueue[Mapping[str, Any]] = SimpleQueue()
        for objects in shared or ({},):
            self._idle.put(objects)
        self._threads = ThreadPoolExecutor(self.workers) if self.workers > 1 else None

    def submit(self, item: Item) -> Future[Any]:
        """Begin an item; the future holds what its function returns or raises."""
        if self._threads is not None:
            return self._threads.submit(self._call, item)
        future: Future[Any] = Future()
        try:
            future.set_result(self._call(item))
        except Exception as error:
            future.set_exception(error)
        return future

    def _call(self, item: Item) -> Any:
        objects = self._idle.get()
        try:
            return item.call(**objects)
        finally:
            self._idle.put(objects)

    def close(self, *, failed: bool) -> None:
        """Wait for the items at work; a thread cannot be ended from outside."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=failed)
