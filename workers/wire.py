"""Redis commands without the layers above the connection: packed in C, sent at once, answers read.

redis-py's pool, login, TLS, Sentinel and health checks stay; what is left out, retries (there are
none here), timing of each command, callbacks for its answer, costs several times what the command
itself does, thousands of times a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import hiredis
import redis

Argument = str | bytes | int | float

# Its stub knows commands of one word alone.
pack: Callable[[tuple[Argument, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]


class Wire:
    """A connection of a client's pool, kept until close(). One user at a time.

    It connects when it is first used, and again after an error.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool: Any = client.connection_pool
        self._connection: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection)

    def ask(self, *command: Argument, within_s: float | None = None) -> Any:
        """The answer to one command; within_s: to be waited for, None: as the client is set up.

        Raises redis.RedisError, also where the answer is an error.
        """
        try:
            connection = self._send((pack(command),))
            if within_s is None:
                return connection.read_response()
            return connection.read_response(timeout=within_s)
        except redis.ResponseError:
            raise  # was read whole
        except BaseException:
            self._give_up()
            raise

    def ask_all(self, packed: Sequence[bytes], within_s: float | None = None) -> list[Any]:
        """The answers to packed commands; a redis.ResponseError stands where one was refused.
        within_s: for each. Raises redis.RedisError."""
        answers: list[Any] = []
        more = {} if within_s is None else {"timeout": within_s}
        try:
            connection = self._send(packed)
            for _ in packed:
                try:
                    answers.append(connection.read_response(**more))
                except redis.ResponseError as error:
                    answers.append(error)
        except BaseException:
            self._give_up()
            raise
        return answers

    def _send(self, packed: Sequence[bytes]) -> Any:
        if self._connection is None:
            self._connection = self._pool.get_connection()
        self._connection.send_packed_command((b"".join(packed),))
        return self._connection

    def _give_up(self) -> None:
        """What is still to come must not be taken for the next answer; and only the pool knows who
        the master is by now."""
        if self._connection is not None:
            self._connection.disconnect()
        self.close()


class Pipe:
    """Commands to be sent at once; of redis-py's pipeline what we use of it.

    Each returns None: the answers come from execute().
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._packed: list[bytes] = []

    def __len__(self) -> int:
        return len(self._packed)

    def command(self, *command: Argument) -> None:
        self._packed.append(pack(command))

    def xadd(
        self,
        name: str,
        fields: Mapping[str, Argument],
        maxlen: int | None = None,
        approximate: bool = True,
    ) -> None:
        command: list[Argument] = ["XADD", name]
        if maxlen is not None:
            command += ["MAXLEN", "~", maxlen] if approximate else ["MAXLEN", maxlen]
        command.append("*")
        for field, value in fields.items():
            command += field, value
        self._packed.append(pack(tuple(command)))

    def hset(self, name: str, mapping: Mapping[str, Argument]) -> None:
        command: list[Argument] = ["HSET", name]
        for field, value in mapping.items():
            command += field, value
        self._packed.append(pack(tuple(command)))

    def expire(self, name: str, time: int) -> None:
        self.command("EXPIRE", name, time)

    def sadd(self, name: str, *values: Argument) -> None:
        self.command("SADD", name, *values)

    def rpush(self, name: str, *values: Argument) -> None:
        self.command("RPUSH", name, *values)

    def lpush(self, name: str, *values: Argument) -> None:
        self.command("LPUSH", name, *values)

    def ltrim(self, name: str, start: int, end: int) -> None:
        self.command("LTRIM", name, start, end)

    def zadd(self, name: str, mapping: Mapping[str, float]) -> None:
        command: list[Argument] = ["ZADD", name]
        for member, score in mapping.items():
            command += score, member
        self._packed.append(pack(tuple(command)))

    def zremrangebyscore(self, name: str, low: Argument, high: Argument) -> None:
        self.command("ZREMRANGEBYSCORE", name, low, high)

    def zremrangebyrank(self, name: str, start: int, end: int) -> None:
        self.command("ZREMRANGEBYRANK", name, start, end)

    def eval(self, script: str, keys: int, *rest: Argument) -> None:
        self.command("EVAL", script, keys, *rest)

    def delete(self, *names: str) -> None:
        self.command("DEL", *names)

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """The answers, in order. raise_on_error: of a refused command, else its error stands in
        its place. Raises redis.RedisError. What was to be sent is forgotten either way."""
        packed, self._packed = self._packed, []
        if not packed:
            return []
        answers = self._wire.ask_all(packed)
        if raise_on_error:
            for answer in answers:
                if isinstance(answer, redis.RedisError):
                    raise answer
        return answers
