"""Runs a batch: what is unchanged is skipped, the rest is spread over workers, every line ends in the report.

A worker that dies (a crash, no memory) takes no other line along: the lines that were in the air are made again,
one by one, and only the one that kills its worker a second time fails.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process

from facerig.batch.store import Store, clashes, file_names, overwriting
from facerig.batch.table import Line
from facerig.batch.work import Result, Settings, make
from facerig.errors import FacerigError, check_option
from facerig.mesh import Head

MAX_JOBS = 256
AHEAD = 2  # lines waiting for each worker: finished files are held in memory only until they are written
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Todo = tuple[Line, str]
Tell = Callable[[Result], None]
Made = Iterator[tuple[Todo, Result]]
Spread = Callable[[Sequence[Todo], Settings, "Head | None"], Made]


@dataclass(frozen=True)
class Plan:
    """What is to be made, and what needs not be."""

    todo: list[Todo]
    settled: list[Result]


def plan(lines: list[Line], settings: Settings, store: Store, force: bool = False) -> Plan:
    """Lines that must be made, with their keys; the others' results."""
    usable = [line for line in lines if not line.problem]
    clashing = {**clashes(usable), **overwriting(usable, settings, store.folder)}
    todo: list[Todo] = []
    settled: list[Result] = []
    for line in lines:
        problem = line.problem or clashing.get(line.number, "")
        try:
            key = "" if problem else store.key(line, settings)
        except FacerigError as error:
            problem, key = str(error), ""
        known = None if problem or force else store.done(line, key, file_names(line))
        if problem:
            settled.append(Result(line.number, "failed", error=problem))
        elif known is not None:
            settled.append(known)
        else:
            todo.append((line, key))
    return Plan(todo, settled)


def run(lines: list[Line], settings: Settings, store: Store, head: Head | None = None, jobs: int = 1,
        force: bool = False, tell: Tell | None = None, spread: Spread | None = None) -> list[Result]:
    """Results of all lines in the order of the table; `tell` hears each as it comes."""
    check_option("jobs", jobs, f"a whole number from 1 to {MAX_JOBS}", 1 <= jobs <= MAX_JOBS)
    planned = plan(lines, settings, store, force)
    results = {result.line: result for result in planned.settled}
    for result in planned.settled:
        if tell:
            tell(result)
    for (line, key), made in (spread or _local(jobs))(planned.todo, settings, head):
        result = _kept(store, line, key, made)
        results[line.number] = result
        if tell:
            tell(result)
    return [results[line.number] for line in lines]


def _kept(store: Store, line: Line, key: str, made: Result) -> Result:
    if made.status != "done":
        return made
    try:
        return store.write(line, key, made, file_names(line))
    except FacerigError as error:
        return replace(made, status="failed", error=str(error), files={})


# ---- here -----------------------------------------------------------------------------------------------------


def _local(jobs: int) -> Spread:
    return _in_turn if jobs == 1 else lambda todo, settings, head: _in_processes(todo, settings, head, jobs)


def _in_turn(todo: Sequence[Todo], settings: Settings, head: Head | None) -> Made:
    for entry in todo:
        yield entry, make(entry[0], settings, head)


def _in_processes(todo: Sequence[Todo], settings: Settings, head: Head | None, jobs: int) -> Made:
    waiting = deque(todo)
    air: dict[Future[Result], Todo] = {}
    with _workers(min(jobs, len(todo) or 1)) as pool:
        while waiting or air:
            try:
                while waiting and len(air) < jobs * AHEAD:
                    air[pool.submit(make, waiting[0][0], settings, head)] = waiting[0]
                    waiting.popleft()
                future = next(iter(wait(air, return_when=FIRST_COMPLETED).done))
                result = future.result()
            except BrokenProcessPool:
                break
            yield air.pop(future), result
    for entry in (*air.values(), *waiting):
        yield entry, _alone(entry, settings, head)


@contextmanager
def _workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes; Ctrl-C ends them at once, and what they were to make is left."""
    # Spawned, as forking a process that holds threads (onnxruntime's) can hang.
    pool = ProcessPoolExecutor(count, get_context("spawn"), initializer=_as_worker)
    try:
        yield pool
    except BaseException:
        started = list(pool._processes.values())  # Python 3.14 has terminate_workers for this
        pool.shutdown(wait=False, cancel_futures=True)
        for process in started:
            process.terminate()
        raise
    pool.shutdown()


def _as_worker() -> None:
    """Before numpy or a model is loaded: workers share the cores, each needs one. A terminal sends Ctrl-C to all of
    them, and it is for the one who hands out the work; where that one dies, nobody waits for theirs.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in THREADS:
        os.environ.setdefault(name, "1")
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _alone(entry: Todo, settings: Settings, head: Head | None) -> Result:
    """In a worker of its own, after one died that was shared."""
    try:
        with _workers(1) as pool:
            return pool.submit(make, entry[0], settings, head).result()
    except BrokenProcessPool:
        return Result(entry[0].number, "failed", error="the worker process died (a crash, or no memory); is the audio "
                                                       "file damaged?")
