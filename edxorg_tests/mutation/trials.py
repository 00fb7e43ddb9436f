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
import resource
import signal
import sys
import time
from functools import _lru_cache_wrapper
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, TextIO

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, settings

from edxorg_tests.mutation.mutants import mutants
from edxorg_tests.support.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType, ModuleType

    from edxorg_tests.mutation.mutants import Mutant

_PYTEST = (
    *("-q", "--assert=plain", "--capture=no", "--import-mode=importlib"),
    *("-o", "addopts=", "-m", "not by_hand", "-p", "no:randomly"),
)

_LOADED = ("alembic.script", "dagster", "lxml.etree", "msgspec", "orjson", "pydantic")
"""What tests load that has nothing of ours, once for all forks."""

_CPU_SECONDS = 20
"""Added to five times what the tests need without a mutant; one that runs into it is found."""

_WALL_SECONDS = 300
"""The same for one that waits."""

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


def _workers_use(module: str, number: int) -> None:
    from edxorg.lib.workers import pool  # noqa: PLC0415 - which may import the mutated module

    path, rest = pool._START.split("from edxorg", 1)  # noqa: SLF001 - the one place of a worker's start
    pool._START = f"{path}from edxorg_tests.mutation.trials import use; use({module!r}, {number}); from edxorg{rest}"  # noqa: SLF001


def trials(module: str, tests: Sequence[str], chosen: Mapping[int, Mutant]) -> Iterator[tuple[int, bool]]:
    """Run the tests for each of these mutants; yield its number, and if a test has failed."""
    for each in _LOADED:
        import_module(each)
    inside = {number: each for number, each in chosen.items() if each.function}
    receiver, sender = os.pipe()

    def session() -> int:
        with os.fdopen(sender, "w", buffering=1) as results:
            return _session(tests, _Collected(module, inside, results))

    process = _fork(session, None)
    os.close(sender)
    with os.fdopen(receiver) as results:
        for line in results:
            tried, _, outcome = line.partition(" ")
            yield int(tried), outcome.strip() == "failed"
    if status := os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]):
        raise RuntimeError(f"the tests of {module} fail without a mutant (exit code {status})")
    for number in chosen.keys() - inside.keys():

        def imported(number: int = number) -> int:
            use(module, number)
            return _session(tests, _Workers(module, number), "-x")

        yield number, _ends(_fork(imported, _CPU_SECONDS * 10)) != 0


class _Workers:
    def __init__(self, module: str, number: int) -> None:
        self.module = module
        self.number = number

    def pytest_collection_finish(self) -> None:
        _workers_use(self.module, self.number)


class _Collected:
    """Runs the collected tests once, and again for each mutant."""

    def __init__(self, module: str, chosen: Mapping[int, Mutant], results: TextIO) -> None:
        self.module = module
        self.chosen = chosen
        self.results = results
        self.entered: dict[pytest.Item, set[int]] = {}
        self.seconds: dict[pytest.Item, float] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        imported = sys.modules.get(self.module)
        if session.testsfailed or imported is None or imported.__file__ is None:
            raise pytest.UsageError(f"the tests of {self.module} do not import it")
        path = imported.__file__
        caches = [each for each in gc.get_objects() if isinstance(each, _lru_cache_wrapper)]
        self._without_mutants(session, path, caches)
        source = Path(path).read_text(encoding="utf-8")
        functions = _functions(path)
        gc.collect()
        gc.freeze()
        for number, mutant in self.chosen.items():
            items = self._that_enter(mutant)

            def trial(mutant: Mutant = mutant, items: list[pytest.Item] = items, number: int = number) -> int:
                changed = _codes(compile(mutant.tree(source), path, "exec", dont_inherit=True))
                for function in functions:
                    code = changed.get(_key(function.__code__))
                    if code is not None and code != function.__code__:
                        function.__code__ = code
                for cache in caches:
                    cache.cache_clear()
                _workers_use(self.module, number)
                return int(any(_fails(item, items) for item in items))

            limit = _CPU_SECONDS + 5 * sum(self.seconds[item] for item in items)
            failed = bool(items) and _ends(_fork(trial, limit)) != 0
            self.results.write(f"{number} {'failed' if failed else 'passed'}\n")
        return True

    def _without_mutants(self, session: pytest.Session, path: str, caches: Sequence[_lru_cache_wrapper[Any]]) -> None:
        lines: set[int] = set()

        def trace(frame: FrameType, _event: str, _argument: Any) -> None:  # noqa: ANN401
            if frame.f_code.co_filename == path:
                lines.add(frame.f_code.co_firstlineno)

        for item, following in zip(session.items, [*session.items[1:], None], strict=True):
            lines.clear()
            for cache in caches:  # which would hide that a test needs what they hold
                cache.cache_clear()
            started = time.process_time()
            sys.settrace(trace)
            try:
                reports = runtestprotocol(item, log=False, nextitem=following)
            finally:
                sys.settrace(None)
            if any(each.failed for each in reports):
                raise pytest.UsageError(f"{item.nodeid} fails without a mutant: {reports}")
            self.entered[item] = set(lines)
            self.seconds[item] = time.process_time() - started

    def _that_enter(self, mutant: Mutant) -> list[pytest.Item]:
        function = mutant.function
        if function is None:
            raise ValueError(f"{mutant.key} is in no function")
        inside = range(function.first, function.last + 1)
        return sorted(
            (
                item
                for item, lines in self.entered.items()
                if any(line in inside for line in lines) or "pool" in getattr(item, "fixturenames", ())
            ),
            key=lambda item: ("pool" in getattr(item, "fixturenames", ()), self.seconds[item]),
        )


def _fails(item: pytest.Item, items: list[pytest.Item]) -> bool:
    following = items.index(item) + 1
    reports = runtestprotocol(item, log=False, nextitem=items[following] if following < len(items) else None)
    if failed := any(each.failed for each in reports):
        item.session._setupstate.teardown_exact(None)  # noqa: SLF001 - ends what fixtures have started
    return failed


def _session(tests: Sequence[str], plugin: object, *options: str) -> int:
    os.chdir(ROOT)
    # The same examples for each mutant.
    settings.register_profile("edxorg", derandomize=True, database=None, deadline=None)
    settings.register_profile("mutation", derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    return pytest.main([*_PYTEST, *options, *tests], plugins=[plugin, _Derandomized()])


class _Derandomized:
    def pytest_collection_finish(self) -> None:
        settings.load_profile("mutation")


def _functions(path: str) -> list[FunctionType]:
    return [each for each in gc.get_objects() if isinstance(each, FunctionType) and each.__code__.co_filename == path]


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
