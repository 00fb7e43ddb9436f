"""Runs the tests of a module for each mutant, in a fork of a process that has loaded and collected them.

A mutant inside a function takes the place of the function's code, after one run without mutants has told which tests
enter it. A mutant that acts when its module is imported is run by a fork that has not imported it yet. Worker processes
start with the mutant as well.
"""

from __future__ import annotations

import gc
import importlib.abc
import importlib.machinery
import importlib.util
import os
import pickle
import resource
import signal
import sys
import threading
import time
from functools import _lru_cache_wrapper
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, settings

from edxorg_tests.mutation.mutants import mutants
from edxorg_tests.support.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from types import FrameType, ModuleType

    from edxorg_tests.mutation.mutants import Function, Mutant

_PYTEST = (
    *("-q", "--assert=plain", "--capture=no", "--import-mode=importlib"),
    *("-o", "addopts=", "-m", "not by_hand", "-p", "no:randomly"),
    "--hypothesis-profile=mutation",  # loaded after conftest.py, and before tests with settings of their own
)

_LOADED = ("alembic.script", "dagster", "lxml.etree", "msgspec", "obstore.store", "orjson", "pydantic")
"""What tests load that has nothing of ours, once for all forks."""

_CPU_SECONDS = 10
"""Added to five times what the tests need without a mutant; one that runs into it is found."""

_WALL_SECONDS = 300
"""The same for one that waits."""

_SLOW = 4
"""Processor seconds from which on a test is left out, with what it takes to see which functions it enters."""

_MEMORY = 6 << 30


class Mutated(importlib.abc.MetaPathFinder):
    """Imports one module with a change."""

    def __init__(self, module: str, number: int) -> None:
        self.module = module
        self.number = number

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is None or spec.origin is None:
            return None
        spec.loader = _Loader(fullname, spec.origin, self.number)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, module: str, path: str, number: int) -> None:
        super().__init__(module, path)
        self.number = number

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002
        source = Path(self.path).read_text(encoding="utf-8")
        code: CodeType = compile(mutants(source)[self.number].tree(source), self.path, "exec", dont_inherit=True)
        return code


def use(module: str, number: int) -> None:
    """Import the module with a change from now on, in this process and in the workers that it starts."""
    sys.meta_path.insert(0, Mutated(module, number))


def _pool() -> Any:  # noqa: ANN401 - a module
    return import_module("edxorg.lib.workers.pool")  # only now, since it may import what is to be changed


def _workers_use(module: str, number: int) -> None:
    pool = _pool()
    path, rest = pool._START.split("from edxorg", 1)  # noqa: SLF001 - the one place of a worker's start
    pool._START = f"{path}from edxorg_tests.mutation.trials import use; use({module!r}, {number}); from edxorg{rest}"  # noqa: SLF001


class Change(NamedTuple):
    """A mutant of a module, and its number there."""

    path: str
    module: str
    number: int
    mutant: Mutant


def trials(tests: Sequence[str], changes: Sequence[Change]) -> Iterator[tuple[Change, bool]]:
    """Run the tests for each of these changes; yield the change, and if a test has failed."""
    for each in _LOADED:
        import_module(each)
    receiver, sender = os.pipe()

    def session() -> int:
        with os.fdopen(sender, "w", buffering=1) as results:
            return _session(tests, _Collected(changes, results))

    process = _fork(session, None)
    os.close(sender)
    fast = []
    imported = [change for change in changes if change.mutant.function is None]
    with os.fdopen(receiver) as results:
        for line in results:
            word, _, rest = line.rstrip("\n").partition(" ")
            if word == "fast":
                fast.append(rest)
            elif word == "imported":  # of a function that no test enters, but the import of its module may
                imported.append(changes[int(rest)])
            else:
                yield changes[int(rest)], word == "failed"
    if status := os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]):
        raise RuntimeError(f"the tests {tests} fail without a mutant (exit code {status})")
    for change in imported:

        def import_it(change: Change = change) -> int:
            use(change.module, change.number)
            return _session(tests, _Imported(change, fast), "-x")

        yield change, _ends(_fork(import_it, _CPU_SECONDS * 5)) != 0


class _Imported:
    """Runs the fast tests, the fastest first."""

    def __init__(self, change: Change, fast: Sequence[str]) -> None:
        self.change = change
        self.order = {name: position for position, name in enumerate(fast)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self.order), key=lambda item: self.order[item.nodeid]
        )
        _workers_use(self.change.module, self.change.number)


class _Collected:
    """Runs the collected tests once, and again for each mutant inside a function."""

    def __init__(self, changes: Sequence[Change], results: TextIO) -> None:
        self.changes = changes
        self.results = results
        self.entered: dict[pytest.Item, set[tuple[str, int]]] = {}
        self.seconds: dict[pytest.Item, float] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise pytest.UsageError("the tests cannot be collected")
        caches = [each for each in gc.get_objects() if isinstance(each, _lru_cache_wrapper)]
        paths = {each.module: str(sys.modules[each.module].__file__) for each in self.changes}
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # noqa: SLF001 - one for all forks
        self._without_mutants(session, {*paths.values(), _pool().__file__}, caches)
        fast = sorted(
            (item for item in self.entered if self.seconds[item] < _SLOW), key=lambda item: self.seconds[item]
        )
        self.results.writelines(f"fast {item.nodeid}\n" for item in fast)
        functions = _functions(set(paths.values()))
        gc.collect()
        gc.freeze()
        for position, change in enumerate(self.changes):
            if change.mutant.function is None:
                continue
            path = paths[change.module]
            items = [item for item in fast if self._enters(item, path, change.mutant.function)]

            def trial(change: Change = change, path: str = path, items: list[pytest.Item] = items) -> int:
                tree = change.mutant.tree(Path(path).read_text(encoding="utf-8"))
                changed = _codes(compile(tree, path, "exec", dont_inherit=True))
                for function in functions[path]:
                    code = changed.get(_key(function.__code__))
                    if code is not None and code != function.__code__:
                        function.__code__ = code
                for cache in caches:
                    cache.cache_clear()
                _workers_use(change.module, change.number)
                return int(any(_fails(item, items) for item in items))

            limit = _CPU_SECONDS + 5 * sum(self.seconds[item] for item in items)
            outcome = "imported" if not items else "passed" if _ends(_fork(trial, limit)) == 0 else "failed"
            self.results.write(f"{outcome} {position}\n")
        return True

    def _without_mutants(
        self, session: pytest.Session, paths: Collection[str], caches: Sequence[_lru_cache_wrapper[Any]]
    ) -> None:
        """Note what each test enters and takes, from a fork: a store's client starts threads, which no fork inherits.

        A test would wait for them until it is killed, and its mutant would count as found.
        """
        receiver, sender = os.pipe()

        def run() -> int:
            with os.fdopen(sender, "wb") as results:
                try:
                    pickle.dump(list(_traced(session, paths, caches)), results)
                except pytest.UsageError as error:
                    pickle.dump(error, results)
            return 0

        process = _fork(run, None)
        os.close(sender)
        with os.fdopen(receiver, "rb") as results:
            found = pickle.load(results)  # noqa: S301 - written by this program
        os.waitpid(process, 0)
        if isinstance(found, Exception):
            raise found
        for item, (entered, seconds) in zip(session.items, found, strict=True):
            self.entered[item], self.seconds[item] = entered, seconds

    def _enters(self, item: pytest.Item, path: str, function: Function) -> bool:
        """True if a test enters a function; workers, whose code nobody sees, may enter each of them."""
        return any(
            each == _pool().__file__ or (each == path and function.first <= line <= function.last)
            for each, line in self.entered[item]
        )


def _traced(
    session: pytest.Session, paths: Collection[str], caches: Sequence[_lru_cache_wrapper[Any]]
) -> Iterator[tuple[set[tuple[str, int]], float]]:
    """Run all tests without a mutant; yield the functions that each enters, and its processor seconds."""
    entered: set[tuple[str, int]] = set()

    def trace(frame: FrameType, _event: str, _argument: Any) -> None:  # noqa: ANN401
        if frame.f_code.co_filename in paths:
            entered.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

    for item, following in zip(session.items, [*session.items[1:], None], strict=True):
        entered.clear()
        for cache in caches:  # which would hide that a test needs what they hold
            cache.cache_clear()
        started = time.process_time()
        threading.settrace(trace)
        sys.settrace(trace)
        try:
            reports = runtestprotocol(item, log=False, nextitem=following)
        finally:
            sys.settrace(None)
            threading.settrace(None)
        for failed in (each for each in reports if each.failed):
            raise pytest.UsageError(f"{item.nodeid} fails without a mutant: {failed.longreprtext}")
        yield set(entered), time.process_time() - started


def _fails(item: pytest.Item, items: list[pytest.Item]) -> bool:
    following = items.index(item) + 1
    reports = runtestprotocol(item, log=False, nextitem=items[following] if following < len(items) else None)
    if failed := any(each.failed for each in reports):
        item.session._setupstate.teardown_exact(None)  # noqa: SLF001 - ends what fixtures have started
    return failed


def _session(tests: Sequence[str], plugin: object, *options: str) -> int:
    os.chdir(ROOT)
    # The same examples for each mutant, however slow the trace of calls makes them.
    settings.register_profile(
        "mutation", derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    return pytest.main([*_PYTEST, *options, *tests], plugins=[plugin])


def _functions(paths: Collection[str]) -> dict[str, list[FunctionType]]:
    found: dict[str, list[FunctionType]] = {path: [] for path in paths}
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and each.__code__.co_filename in found:
            found[each.__code__.co_filename].append(each)
    return found


def _key(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def _codes(code: CodeType) -> dict[tuple[str, int], CodeType]:
    found: dict[tuple[str, int], CodeType] = {}
    for each in code.co_consts:
        if isinstance(each, CodeType):
            found[_key(each)] = each
            found.update(_codes(each))
    return found


def _fork(work: Callable[[], int], cpu_seconds: float | None) -> int:
    """Start some work in a fork of this process, whose exit code it returns; return the id of the process."""
    if (process := os.fork()) != 0:
        return process
    status = 1
    try:
        if cpu_seconds is not None:
            limit = int(time.process_time() + cpu_seconds) + 1
            resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        status = work()
    finally:  # also if a mutant has a test end its process
        os._exit(status)


def _ends(process: int) -> int:
    """Wait for a process, and return its exit code; kill one that waits for too long."""
    started = time.monotonic()
    while (ended := os.waitpid(process, os.WNOHANG)) == (0, 0):
        if time.monotonic() - started > _WALL_SECONDS:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.02)
    return os.waitstatus_to_exitcode(ended[1])
