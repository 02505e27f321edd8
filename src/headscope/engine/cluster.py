"""Items run on a Ray cluster: one that is there, or one that is begun on this machine alone.

The driver, which is this process, hands out items and gets what they return; nothing else is
written anywhere. What is shared lies once in the memory of every node.
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from headscope.engine.executor import Executor, Item, Shared, WorkerLostError
from headscope.errors import HeadscopeError
from headscope.progress import say

T = TypeVar("T")

TRIES = 3
"""So often an item is begun whose worker or node is lost: a fourth time would end as the others."""
MOST = 1000
"""At most so many items run at once: a thread waits for each."""
_PATIENCE = 10.0
"""How many seconds a cluster has to answer."""
_SAME = ("headscope", "torch", "transformers")
"""Packages that must be of one version everywhere, or numbers could differ without a word."""
_CODE = "the code of headscope, by its hash"
"""What must be the same beside: a version that is being worked on keeps its number."""


@dataclass(frozen=True)
class Needs:
    """What an item takes of the node that it runs on.

    Attributes:
        cpus: So many processors, and as many threads.
        gpus: So much of a GPU; a fraction lets several items share one. None: one, where a node
            has any.
    """

    cpus: int = 1
    gpus: float | None = None


class Ray(Executor):
    """Workers on the nodes of a Ray cluster.

    An item whose worker or node is lost begins again elsewhere, `TRIES` times in all.

    Args:
        address: Of the cluster, as in "auto" or "10.0.0.1:6379"; "" begins one on this machine,
            which ends with this executor.
        needs: What an item takes.
        note: Is told when an item is begun again.

    Raises:
        HeadscopeError: Ray is not installed, the cluster cannot be reached, or has no node for an
            item.
    """

    is_elsewhere = True

    def __init__(
        self,
        address: str = "",
        needs: Needs = Needs(),
        note: Callable[[str], object] = say,
    ) -> None:
        self._ray = _connected(address)
        self._note = note
        gpus = needs.gpus
        if gpus is None:
            gpus = float(self._resources()["GPU"] > 0)
        self._cpus, self._gpus = needs.cpus, gpus
        # The executor itself begins an item again, and counts.
        remote = self._ray.remote(num_cpus=needs.cpus, num_gpus=gpus, max_retries=0)
        self._call_there = remote(_call_there)
        self._versions = _versions()
        self._threads = ThreadPoolExecutor(MOST, thread_name_prefix="ray-item")
        self._running: set[Any] = set()
        self._lock = threading.Lock()
        self._has_ended = False
        if not self._room():
            have = ", ".join(f"{kind} {amount:g}" for kind, amount in self._resources().items())
            self.close(failed=True)
            raise HeadscopeError(
                f"no node of the cluster has {needs.cpus} processors and {gpus:g} GPUs for an "
                f"item (all nodes together: {have}): give a smaller --gpus-per-item, or none"
            )

    def _resources(self) -> dict[str, float]:
        every = self._ray.cluster_resources()
        return {kind: every.get(kind, 0.0) for kind in ("CPU", "GPU")}

    @property
    def workers(self) -> int:  # type: ignore[override]
        """How many items fit on the nodes that are there now; where none fits any more, one waits
        for a node to come.
        """
        return max(1, self._room())

    def _room(self) -> int:
        """How many items fit on the nodes that are there now."""
        count = 0
        for node in self._ray.nodes():
            if node["Alive"]:
                has = node["Resources"]
                by_cpu = int(has.get("CPU", 0) // self._cpus)
                # A third fits three times, whatever rounding says.
                by_gpu = int(has.get("GPU", 0) / self._gpus + 1e-9) if self._gpus else by_cpu
                count += min(by_cpu, by_gpu)
        return min(count, MOST)

    def share(self, value: T) -> Shared[T]:
        """What many items need: it is put into the cluster's memory, and sent to a node once."""
        return _Stored(self._ray.put(value))

    def submit(self, item: Item) -> Future[Any]:
        """Begin an item; the future holds what its function returns or raises."""
        return self._threads.submit(self._call, item)

    def _call(self, item: Item) -> Any:
        errors = self._ray.exceptions
        lost: Exception | None = None
        for beginning in range(1, TRIES + 1):
            if lost is not None:
                self._note(f"the worker that did {item.name} was lost: try {beginning} of {TRIES}")
            with self._lock:
                if self._has_ended:
                    raise WorkerLostError(f"{item.name} was not begun: the run has ended")
                reference = self._call_there.remote(item, self._versions, self._cpus)
                self._running.add(reference)
            try:
                return self._ray.get(reference)
            except errors.RayTaskError as error:
                # What the item raised, without what Ray puts around it.
                raise getattr(error, "cause", None) or error from None
            except errors.TaskCancelledError as error:
                raise WorkerLostError(f"{item.name} was ended: the run has ended") from error
            except errors.RayError as error:
                lost = error
            finally:
                with self._lock:
                    self._running.discard(reference)
        first_line = str(lost).strip().splitlines()[0]
        raise WorkerLostError(
            f"the worker that did {item.name} was lost {TRIES} times, the last time because: "
            f"{first_line} What is done stays, and the same command goes on; where memory ran out, "
            "let fewer items share a node"
        ) from lost

    def close(self, *, failed: bool) -> None:
        """End the items at work where `failed`, and leave the cluster."""
        with self._lock:
            self._has_ended = True
            running = list(self._running)
        if failed:
            for reference in running:
                # One that has just ended cannot be cancelled.
                with suppress(self._ray.exceptions.RayError, ValueError):
                    self._ray.cancel(reference, force=True)
        self._threads.shutdown(cancel_futures=failed)
        with _own_answers():
            self._ray.shutdown()


def _connected(address: str) -> Any:
    """Ray, connected to a cluster.

    Raises:
        HeadscopeError: It is not installed, or there is no cluster at the address.
    """
    # Nothing is reported to anybody; must be said before Ray is imported.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise HeadscopeError(
            "--engine ray needs Ray: run pip install 'headscope[cluster]' here and on every node"
        ) from error
    if ray.is_initialized():
        raise HeadscopeError(
            "this process is connected to a Ray cluster already: call ray.shutdown() first, and "
            "give --engine ray:ADDRESS"
        )
    where = {"address": address} if address else {"include_dashboard": False}
    try:
        _knock(address)
        with _own_answers():
            ray.init(
                **where, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False
            )
    except (OSError, RuntimeError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise HeadscopeError(
            f"there is no Ray cluster at {address or 'this machine'} ({reason}): give --engine "
            "ray:ADDRESS of one that runs, or --engine ray, which begins one here"
        ) from error
    return ray


@cache
def _versions() -> dict[str, str]:
    """What this process would compute with."""
    folder = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    # Behind the + stands for which devices torch was built; a driver need not have a GPU.
    same = {name: version(name).partition("+")[0] for name in _SAME}
    return {**same, _CODE: digest.hexdigest()[:8]}


@contextmanager
def _own_answers() -> Iterator[None]:
    """Answer to Ctrl-C and SIGTERM after the block as before it: Ray answers to SIGTERM by a crash,
    and takes all answers away as it ends.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, answer in before.items():
            signal.signal(number, answer)


def _knock(address: str) -> None:
    """Raises OSError where nothing answers at an address: Ray itself would wait for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), _PATIENCE).close()


@dataclass(frozen=True)
class _Stored(Shared[T]):
    """What lies in the cluster's memory; a worker takes it out once.

    Attributes:
        reference: Where it lies.
        key: Tells it from others.
    """

    reference: Any
    key: str = field(default_factory=lambda: uuid4().hex)

    def get(self) -> T:
        """The thing itself."""
        if self.key not in _taken:
            import ray

            _taken[self.key] = ray.get(self.reference)
        value: T = _taken[self.key]
        return value


_taken: dict[str, Any] = {}
"""What this worker has taken out, by its key."""


def _call_there(item: Item, versions: Mapping[str, str], threads: int) -> Any:
    """Run an item on a worker.

    Raises:
        HeadscopeError: The node has other versions than the driver.
    """
    import torch

    for name, there in _versions().items():
        if versions[name] != there:
            raise HeadscopeError(
                f"a node of the cluster has {name} {there}, and this machine {versions[name]}: "
                "install the same everywhere, or numbers could differ"
            )
    torch.set_num_threads(threads)
    return item.call()
