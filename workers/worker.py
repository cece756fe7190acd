"""The RQ worker of one role: many jobs at a time in one process, from an allow-list.

RQ's own workers fork for each job (which hangs CTranslate2 and costs 20 ms), or run one job
after another. This one keeps RQ's queue, registration, signals and maintenance, and runs each
job in a thread; a job that waits for its input or a provider costs nothing. The engine's model
is loaded once, before the first job.

A job's function is looked up by its name in an allow-list and never imported, and jobs are
JSON: who can write to Redis can still not run code here.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import signal
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import redis
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.job import JobStatus
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer
from rq.utils import current_timestamp

from workers import jobs, logs, streams
from workers.messages import MessageError, turn_from_json
from workers.presence import Presence
from workers.queues import Place
from workers.wire import Pipe, Wire

log = logging.getLogger(__name__)

BEAT_EVERY_S = 10.0  # by RQ's own measure; presence.py has ours
LOOK_EVERY_S = 1.0  # whether `rq suspend` was said
MAX_JOB_BYTES = 1_000_000
GRACE_S = 2.0  # for running jobs at shutdown; the listener survives their loss


@dataclass(frozen=True, slots=True)
class _Taken:
    """A job off the queue, as it lies in Redis."""

    id: str
    fields: dict[bytes, bytes]

    def asks(self) -> tuple[Any, Any]:
        """(function, turn). Raises ValueError for what is not JSON in RQ's order: nothing else is
        ever opened."""
        data = self.fields.get(b"data", b"")
        with contextlib.suppress(zlib.error):  # RQ's own are compressed
            unpacker = zlib.decompressobj()
            data = unpacker.decompress(data, MAX_JOB_BYTES)
        try:
            function, _, _, named = json.loads(data)
        except (TypeError, RecursionError):
            raise ValueError("not a job") from None
        return function, named.get("turn") if isinstance(named, dict) else None


class Slots:
    """So many threads for jobs. They outlive a PoolWorker: a new one, after a failure of Redis, has
    no more of them while jobs of the last one run."""

    def __init__(self, count: int, name: str) -> None:
        self.count = count
        self.free = threading.BoundedSemaphore(count)
        self.pool = ThreadPoolExecutor(count, thread_name_prefix=name)


class PoolWorker(SimpleWorker):
    """RQ worker of one stage with as many jobs at once as there are slots. close() it at the end.

    It takes a job off the queue only when a slot is free, so that the others can have it. Of what
    RQ does per job, some 30 commands, it does three: what its own loop looks at around each job,
    it looks at now and then.
    """

    # How long one blocked look at the queue lasts: bounds what a dead connection can hide.
    dequeue_timeout = 5

    def __init__(
        self,
        context: jobs.Context,
        queue: redis.Redis,
        slots: Slots,
        name: str,
        leaves: bool = False,
    ) -> None:
        """leaves: there is another queue to go to when Redis fails."""
        super().__init__(
            [context.stage],
            name=name,
            connection=queue,
            serializer=JSONSerializer,
            log_job_description=False,
            worker_ttl=60,
        )
        self._context = context
        self._leaves = leaves
        self._slots = slots
        self._free = slots.free
        self._wire = Wire(queue)
        self._beat_at = self._looked_at = -math.inf

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        now = time.monotonic()
        if pipeline is None and now - self._beat_at < BEAT_EVERY_S:
            return
        self._beat_at = now
        super().heartbeat(timeout, pipeline)

    def check_for_suspension(self, burst: bool) -> None:
        now = time.monotonic()
        if now - self._looked_at > LOOK_EVERY_S:
            self._looked_at = now
            super().check_for_suspension(burst)

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> Any:
        while not self._free.acquire(timeout=1.0):
            self._heed()
            self.heartbeat()
        try:
            while True:
                try:
                    return self._next(timeout or self.dequeue_timeout)
                except redis.ConnectionError as error:
                    self._heed()
                    if self._leaves:
                        raise
                    log.warning("Redis: %s; again in 1 s", streams.plain(error))
                    time.sleep(1.0)
        except BaseException:
            self._free.release()
            raise

    def _next(self, timeout_s: int) -> tuple[_Taken, Queue]:
        """The next job of the queue that has not expired, with its slot."""
        queue = self.queues[0]
        while True:
            self._heed()
            self.heartbeat()
            self.check_for_suspension(False)
            if self.should_run_maintenance_tasks:
                self.run_maintenance_tasks()  # type: ignore[no-untyped-call]
            found = self._wire.ask("BLPOP", queue.key, timeout_s, within_s=timeout_s + 2.0)
            if found is None:
                continue
            number = found[1].decode("ascii", "replace")
            pipe = Pipe(self._wire)
            # Whoever loses it from here on, the listener has it done by another one.
            pipe.command("HGETALL", f"rq:job:{number}")
            pipe.delete(f"rq:job:{number}")
            fields = pipe.execute()[0]
            if fields:
                return _Taken(number, streams.pairs(fields)), queue

    def execute_job(self, job: _Taken, queue: Queue) -> None:  # type: ignore[override]
        """Run it in a thread of its own."""
        self._slots.pool.submit(self._run, job)

    def _run(self, job: _Taken) -> None:
        logs.CALL.set("")  # this thread has served another call
        try:
            try:
                function, turn_json = job.asks()
            except ValueError:
                function, turn_json = None, None
            if function != streams.FUNCTIONS[self._context.stage]:
                self._fail(job, "its function is not on this worker's list")
                return
            try:
                turn = turn_from_json(turn_json or "")
            except (MessageError, TypeError):
                self._fail(job, "its arguments are not those of a turn")
                return
            jobs.run(self._context, turn)
        except redis.RedisError as error:
            log.error("job %s: Redis: %s", job.id, type(error).__name__)
        except Exception as error:
            log.exception("job %s failed", job.id)
            self._fail(job, type(error).__name__)
        finally:
            self._free.release()

    def _fail(self, taken: _Taken, reason: str) -> None:
        """Leave the job where `rq info` and dashboards show failed ones; it expires there."""
        log.error("job %s refused or failed: %s", taken.id, reason)
        key = f"rq:job:{taken.id}"
        try:
            with self.connection.pipeline() as pipe:
                told = {b"status": JobStatus.FAILED.value.encode(), b"exc_info": reason.encode()}
                pipe.hset(key, mapping=taken.fields | told)  # type: ignore[arg-type]
                pipe.expire(key, streams.FAILED_JOB_TTL_S)
                registry = FailedJobRegistry(self._context.stage, connection=self.connection)
                pipe.zadd(registry.key, {taken.id: current_timestamp() + streams.FAILED_JOB_TTL_S})
                pipe.execute()
        except redis.RedisError:
            log.error("job %s: could not be marked as failed", taken.id)

    def request_stop(self, signum: int, frame: Any) -> None:
        """SIGTERM, SIGINT: take no more jobs; running ones have GRACE_S."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self._stop_requested = True
        raise StopRequested

    def _heed(self) -> None:
        """Stop, if the signal's own exception was lost where any exception is caught: in a log
        handler, or as one of the connection's."""
        if self.stopping:
            raise StopRequested

    @property
    def stopping(self) -> bool:
        return bool(self._stop_requested)

    def finish(self) -> bool:
        """Wait GRACE_S for running jobs. Whether all have ended."""
        deadline = time.monotonic() + GRACE_S
        for _ in range(self._slots.count):
            if not self._free.acquire(timeout=max(0.0, deadline - time.monotonic())):
                log.warning("left with jobs unfinished")
                return False
        return True

    def close(self) -> None:
        """Give its connection back: the next worker wants one of the few."""
        self._wire.close()


def work(context: jobs.Context, place: Place, slots: int, health_s: float) -> bool:
    """Serve until told to stop. Redis may go and come back meanwhile.

    Whether all jobs have ended: Python itself would wait for those that have not, without bound.
    """
    presence = Presence(context, slots, health_s)
    presence.start()
    pause_s = 0.5
    worker: PoolWorker | None = None
    shared = Slots(slots, context.stage)
    try:
        while True:
            try:
                unique = f"{context.name}-{time.monotonic_ns()}"
                queue, context.shard = place.choose()
                if worker is not None and worker.stopping:
                    return worker.finish()  # told between two, and its exception was lost: _heed()
                worker = PoolWorker(context, queue, shared, unique, place.several)
                worker.work(logging_level="WARNING")
                if worker.stopping:
                    return worker.finish()
                pause_s = 0.5
            except redis.RedisError as error:
                if worker is not None and worker.stopping:
                    # Told to end while Redis is away: there is nobody to say goodbye to.
                    return worker.finish()
                log.warning("Redis: %s; again in %.1f s", type(error).__name__, pause_s)
            finally:
                if worker is not None:
                    worker.close()
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 5.0)
    except (KeyboardInterrupt, StopRequested):
        return worker is None or worker.finish()
    finally:
        presence.stop()
