"""Methods that are written once, as flows, and belong to `Hub` and `AsyncHub` alike.

A class of `Blocking` gets a plain method of each, a class of `Awaiting` a coroutine, and type checkers know which.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from taskhub_client.connection import AsyncConnection, Connection
from taskhub_client.exchange import Flow
from taskhub_client.records import RunRecord

if TYPE_CHECKING:
    from taskhub_client.processes import AsyncProcess, Process
    from taskhub_client.runs import AsyncRun, Run

P = ParamSpec("P")
T = TypeVar("T")


class Blocking:
    """A face of the hub whose methods return when they are done."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection


class Awaiting:
    """A face of the hub whose methods are coroutines."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection


class operation(Generic[P, T]):
    """A method whose flow returns its result."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Flow[T]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, face: Blocking, owner: type | None = None) -> Callable[P, T]: ...

    @overload
    def __get__(self, face: Awaiting, owner: type | None = None) -> Callable[P, Coroutine[Any, Any, T]]: ...

    @overload
    def __get__(self, face: None, owner: type | None = None) -> Any: ...

    def __get__(self, face: Any, owner: type | None = None) -> Any:
        if face is None:
            return self._flow

        @functools.wraps(self._flow)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return face._connection.drive(self._flow(face, *args, **kwargs))

        return method


class iteration(Generic[P, T]):
    """A method whose flow emits values, which are iterated over. `T` is their type, see `emits`."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Flow[None]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, face: Blocking, owner: type | None = None) -> Callable[P, Generator[T, None, None]]: ...

    @overload
    def __get__(self, face: Awaiting, owner: type | None = None) -> Callable[P, AsyncGenerator[T, None]]: ...

    @overload
    def __get__(self, face: None, owner: type | None = None) -> Any: ...

    def __get__(self, face: Any, owner: type | None = None) -> Any:
        if face is None:
            return self._flow

        @functools.wraps(self._flow)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return face._connection.iterate(self._flow(face, *args, **kwargs))

        return method


def emits(value_type: type[T]) -> Callable[[Callable[Concatenate[Any, P], Flow[None]]], iteration[P, T]]:
    """Makes a method that iterates over values of this type."""
    return iteration


class starts_run(Generic[P]):
    """A method whose flow returns the record of a run, of which the caller gets a `Run` or an `AsyncRun`."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Flow[RunRecord]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, face: Blocking, owner: type | None = None) -> Callable[P, Run]: ...

    @overload
    def __get__(self, face: Awaiting, owner: type | None = None) -> Callable[P, Coroutine[Any, Any, AsyncRun]]: ...

    @overload
    def __get__(self, face: None, owner: type | None = None) -> Any: ...

    def __get__(self, face: Any, owner: type | None = None) -> Any:
        from taskhub_client.runs import AsyncRun, Run

        return self._flow if face is None else _handled(face, self._flow, Run, AsyncRun)


class starts_runs(Generic[P]):
    """A method whose flow returns the records of runs, of which the caller gets a list of `Run` or `AsyncRun`."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Flow[list[RunRecord]]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, face: Blocking, owner: type | None = None) -> Callable[P, list[Run]]: ...

    @overload
    def __get__(
        self, face: Awaiting, owner: type | None = None
    ) -> Callable[P, Coroutine[Any, Any, list[AsyncRun]]]: ...

    @overload
    def __get__(self, face: None, owner: type | None = None) -> Any: ...

    def __get__(self, face: Any, owner: type | None = None) -> Any:
        from taskhub_client.runs import AsyncRun, Run

        def all_of(kind: type) -> Any:
            return lambda connection, records: [kind(connection, record) for record in records]

        return self._flow if face is None else _handled(face, self._flow, all_of(Run), all_of(AsyncRun))


class starts_process(Generic[P]):
    """A method whose flow returns a process, of which the caller gets a `Process` or an `AsyncProcess`."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Flow[dict[str, Any]]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, face: Blocking, owner: type | None = None) -> Callable[P, Process]: ...

    @overload
    def __get__(self, face: Awaiting, owner: type | None = None) -> Callable[P, Coroutine[Any, Any, AsyncProcess]]: ...

    @overload
    def __get__(self, face: None, owner: type | None = None) -> Any: ...

    def __get__(self, face: Any, owner: type | None = None) -> Any:
        from taskhub_client.processes import AsyncProcess, Process

        return self._flow if face is None else _handled(face, self._flow, Process, AsyncProcess)


def _handled(face: Any, flow: Any, blocking: Callable[..., Any], awaiting: Callable[..., Any]) -> Any:
    """The method of `face` that makes a handle of what the flow returns."""
    if isinstance(face, Blocking):

        @functools.wraps(flow)
        def method(*args: Any, **kwargs: Any) -> Any:
            return blocking(face._connection, face._connection.drive(flow(face, *args, **kwargs)))

        return method

    @functools.wraps(flow)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        return awaiting(face._connection, await face._connection.drive(flow(face, *args, **kwargs)))

    return coroutine
