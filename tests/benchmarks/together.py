"""Several processes that begin at the same moment."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

READY_S = 120.0
_gates: list[Barrier] = []

T = TypeVar("T")


def together(function: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> list[T]:
    """Make each call in a fresh process of its own; each must call `await_others` once."""
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(len(calls))
    with ProcessPoolExecutor(
        len(calls), mp_context=context, initializer=_enter, initargs=(gate,)
    ) as pool:
        futures = [pool.submit(function, *call) for call in calls]
        return [future.result() for future in futures]


def await_others() -> None:
    """Return when every process of `together` has come here. Raises BrokenBarrierError."""
    _gates[0].wait(READY_S)


def _enter(gate: Barrier) -> None:
    _gates.append(gate)
