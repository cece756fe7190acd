"""The RQ worker of one role: many jobs at a time in one process, from an allow-list.

RQ's own workers fork for each job (which hangs CTranslate2 and costs 20 ms), or run one job
after another. This one keeps RQ's queue, registration, signals and maintenance, and runs each
job in a thread; a job that waits for its input or a provider costs nothing. The engine's model
is loaded once, before the first job.

A job's function is looked up by its name in an allow-list and never imported, and jobs are
JSON: who can write to Redis can still not run code here.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis
from rq import Queue, SimpleWorker
from rq.exceptions import DeserializationError, StopRequested
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from workers import jobs, streams
from workers.messages import MessageError, turn_from_json
from workers.presence import Presence

log = logging.getLogger(__name__)

GRACE_S = 2.0  # for running jobs at shutdown; the listener survives their loss


class PoolWorker(SimpleWorker):
    """RQ worker of one stage with `slots` jobs at once.

    It takes a job off the queue only when a slot is free, so that the others can have it.
    """

    # How long one blocked look at the queue lasts: bounds what a dead connection can hide.
    dequeue_timeout = 5
    # RQ's own waits for a Redis that is away grow to a minute; callers would wait for the next one.
    max_connection_wait_time = 1.0

    def __init__(self, context: jobs.Context, queue: redis.Redis, slots: int, name: str) -> None:
        super().__init__(
            [context.stage],
            name=name,
            connection=queue,
            serializer=JSONSerializer,
            log_job_description=False,
            worker_ttl=60,
        )
        self._context = context
        self._free = threading.BoundedSemaphore(slots)
        self._slots = slots
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix=context.stage)

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> Any:
        while not self._free.acquire(timeout=1.0):
            self.heartbeat()
        try:
            found = super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
        except BaseException:
            self._free.release()
            raise
        if found is None:
            self._free.release()
        return found

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Take the job off RQ's intermediate list and run it in a thread of its own."""
        self.connection.lrem(queue.intermediate_queue_key, 1, job.id)
        self._pool.submit(self._run, job)

    def _run(self, job: Job) -> None:
        try:
            try:
                function = job.func_name
            except DeserializationError:
                function = None
            if function != streams.FUNCTIONS[self._context.stage]:
                self._fail(job, "its function is not on this worker's list")
                return
            try:
                turn = turn_from_json(job.kwargs["turn"])
            except (MessageError, KeyError, TypeError):
                self._fail(job, "its arguments are not those of a turn")
                return
            jobs.run(self._context, turn)
            job.delete(remove_from_queue=False)
        except redis.RedisError as error:
            log.error("job %s: Redis: %s", job.id, type(error).__name__)
        except Exception as error:
            log.exception("job %s failed", job.id)
            self._fail(job, type(error).__name__)
        finally:
            self._free.release()

    def _fail(self, job: Job, reason: str) -> None:
        """Leave the job where `rq info` and dashboards show failed ones; it expires there."""
        log.error("job %s refused or failed: %s", job.id, reason)
        try:
            with self.connection.pipeline() as pipe:
                job.failed_job_registry.add(
                    job, ttl=streams.FAILED_JOB_TTL_S, exc_string=reason, pipeline=pipe
                )
                job.set_status(JobStatus.FAILED, pipeline=pipe)
                pipe.expire(job.key, streams.FAILED_JOB_TTL_S)
                pipe.execute()
        except redis.RedisError:
            log.error("job %s: could not be marked as failed", job.id)

    def request_stop(self, signum: int, frame: Any) -> None:
        """SIGTERM, SIGINT: take no more jobs; running ones have GRACE_S."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self._stop_requested = True
        raise StopRequested

    @property
    def stopping(self) -> bool:
        return bool(self._stop_requested)

    def finish(self) -> None:
        """Wait GRACE_S for running jobs."""
        deadline = time.monotonic() + GRACE_S
        for _ in range(self._slots):
            if not self._free.acquire(timeout=max(0.0, deadline - time.monotonic())):
                log.warning("left with jobs unfinished")
                return


def work(context: jobs.Context, queue: redis.Redis, slots: int, health_s: float) -> None:
    """Serve until told to stop. Redis may go and come back meanwhile.

    queue: a client of RQ's own: RQ blocks on it for longer than the jobs' client may.
    """
    presence = Presence(context, slots, health_s)
    presence.start()
    pause_s = 0.5
    try:
        while True:
            try:
                unique = f"{context.name}-{time.monotonic_ns()}"
                worker = PoolWorker(context, queue, slots, unique)
                worker.work(logging_level="WARNING")
                if worker.stopping:
                    worker.finish()
                    return
                pause_s = 0.5
            except redis.RedisError as error:
                log.warning("Redis: %s; again in %.1f s", type(error).__name__, pause_s)
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 5.0)
    except (KeyboardInterrupt, StopRequested):
        return
    finally:
        presence.stop()
