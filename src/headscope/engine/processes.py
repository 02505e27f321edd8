"""Items run in processes of their own, which take the GPUs in turn and share out the threads.

A small model leaves most of a GPU idle, and two threads are not twice as fast as one.
"""

import os
import signal
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from queue import SimpleQueue
from typing import Any

from headscope.engine.executor import Executor, Item, WorkerLostError


class Processes(Executor):
    """Workers that are processes. When one is killed, its item fails and the next gets a new one.

    Args:
        workers: How many processes run at once.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        threads = max(1, (os.cpu_count() or 1) // workers)
        self._all = [_Process(number, threads) for number in range(workers)]
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        for process in self._all:
            self._idle.put(process)
        # A thread waits for each process, so that the end of one is noticed for its item alone.
        self._threads = ThreadPoolExecutor(workers)

    def submit(self, item: Item) -> Future[Any]:
        """Begin an item; the future holds what its function returns or raises."""
        return self._threads.submit(self._call, item)

    def _call(self, item: Item) -> Any:
        process = self._idle.get()
        try:
            return process.call(item)
        finally:
            self._idle.put(process)

    def close(self, *, failed: bool) -> None:
        """End the processes, those at work too where `failed`."""
        if failed:
            for process in self._all:
                process.kill()
        self._threads.shutdown(cancel_futures=failed)
        for process in self._all:
            process.end()


_LOST = (
    "the worker that did {} was killed, or ran out of memory: what is done stays, and the same "
    "command goes on; fewer workers need less memory"
)
# Every process imports the script that it was begun from, and would begin processes of its own.
_NEVER_BEGAN = (
    "the worker that was to do {} ended before it had begun: in a script of your own, put what "
    'starts workers under `if __name__ == "__main__":`; elsewhere there may be too little memory, '
    "so take fewer workers"
)


class _Process:
    """A process that is begun with its first item, and again after it was lost."""

    def __init__(self, number: int, threads: int) -> None:
        self.number, self.threads = number, threads
        self.killed = False
        self.id: int | None = None
        self._pool: ProcessPoolExecutor | None = None

    def call(self, item: Item) -> Any:
        try:
            if self._pool is None:
                # Inherited by the process, which then imports undisturbed until `_begin`: Ctrl-C
                # reaches every process of a terminal. This thread is none that hears it.
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
                self._pool = ProcessPoolExecutor(
                    1,
                    mp_context=get_context("spawn"),
                    initializer=_begin,
                    initargs=(self.number, self.threads),
                )
                self.id = self._pool.submit(os.getpid).result()
            if self.killed:
                raise WorkerLostError(f"{item.name} was not begun: the run has ended")
            return self._pool.submit(item.call).result()
        except BrokenProcessPool as error:
            has_begun = self.id is not None
            self.end()
            self._pool = self.id = None
            why = _LOST.format(item.name) if has_begun else _NEVER_BEGAN.format(item.name)
            raise WorkerLostError(why) from error

    def kill(self) -> None:
        """End the process whatever it does; no item begins after that."""
        self.killed = True
        if self.id is not None:
            with suppress(ProcessLookupError):
                os.kill(self.id, signal.SIGTERM)

    def end(self) -> None:
        """Wait for the process to end."""
        if self._pool is not None:
            self._pool.shutdown()


_number = 0


def process_number() -> int:
    """Which of the processes this is, from 0; 0 where it is none of them."""
    return _number


def _begin(number: int, threads: int) -> None:
    """What a process begins with: its share of the threads and, in turn, its GPU."""
    import torch

    global _number
    _number = number
    # The first process ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    if gpus := torch.cuda.device_count():
        torch.cuda.set_device(number % gpus)
