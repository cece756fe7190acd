"""`eslbot redis-acl`: who may do what in Redis, as lines for its aclfile (6.2 and later).

    eslbot-listener   turns, the call's log, jobs onto the queues, what workers say
    eslbot-worker     jobs off the queues, a turn's input, answers to listeners
    eslbot-recorder   takes what listeners tell of calls, and deletes it once it is written
    eslbot-watcher    reads calls' logs
    eslbot-console    reads all that the console shows, orders the assistant off

The keys are those at the top of workers/streams.py. In Redis 6.2 a user has one list of commands
for all of its keys, so what may be written by one command of a user may be by all of them.
"""

from __future__ import annotations

import hashlib
import secrets
import sys

from workers.streams import STAGES

LISTENER, WORKER, RECORDER = "eslbot-listener", "eslbot-worker", "eslbot-recorder"
WATCHER, CONSOLE = "eslbot-watcher", "eslbot-console"
CONNECTION = "+ping +select +client|setinfo +client|setname"
# The scripts of breaker.py and rate_limit.py: what they call is checked as if the user called it.
SCRIPTS = (
    "+eval +evalsha +script|load +script|exists +time +hget +hmget +hset +hincrby +hexists +hdel"
)
# Where turns' streams lie on a Redis Cluster, whose nodes have the same file.
CLUSTER = "+cluster|slots +asking"
TURNS = "~eslbot:{* ~eslbot:out:* ~eslbot:bot:* ~eslbot:worker:* ~eslbot:alive:*"
SHARED = "~eslbot:breaker:* ~eslbot:chaos*"
RULES = {
    LISTENER: [
        TURNS, SHARED, "~eslbot:log:* ~eslbot:listener:* ~eslbot:records ~eslbot:calls",
        "~eslbot:variant:* ~eslbot:transfers:*",
        "~eslbot:ai-off",
        *(f"~rq:queue:{stage}" for stage in STAGES), "~rq:queues ~rq:job:*",
        CONNECTION, SCRIPTS, CLUSTER, "+info|server +info|memory",  # `eslbot check` asks
        "+get +set +mget +del +expire +scan +sadd +xadd +xread +xtrim +xlen +xrange +xdel",
        "+rpush +lpush +ltrim +lrange +llen +lindex +hgetall +zadd",
        "+zcard +zremrangebyscore +zremrangebyrank +pexpire",
    ],
    WORKER: [
        TURNS, SHARED, "~eslbot:probed:* ~eslbot:rate:* ~eslbot:queues:* ~rq:* &rq:pubsub:*",
        "~eslbot:speech:* ~eslbot:speeches ~eslbot:speaking-ahead",
        # RQ's maintenance uses these types in many ways; SORT, which is in them, reads any key.
        "+@hash +@list +@set +@sortedset -@dangerous",
        CONNECTION, SCRIPTS, CLUSTER, "+info|server +multi +exec +discard +watch +unwatch",
        "+get +set +mget +incrby +del +exists +expire +pexpire +persist +ttl +pttl +scan",
        "+xadd +xread +subscribe +unsubscribe",
    ],
    RECORDER: [
        "~eslbot:records ~eslbot:records:refused ~eslbot:bot:* ~eslbot:variant:*", CONNECTION,
        "+get +expire +rpush +lpush +lrange +ltrim +xreadgroup +xautoclaim +xack +xdel",
        "+multi +exec +discard",
        "+xgroup|create +xgroup|delconsumer +xinfo|consumers",
    ],
    WATCHER: ["~eslbot:log:*", CONNECTION, "+xread +xrange +xrevrange +xlen +exists +ttl"],
    CONSOLE: [
        "~eslbot:log:* ~eslbot:calls ~eslbot:listener:* ~eslbot:worker:* ~eslbot:alive:*",
        "~eslbot:breaker:* ~eslbot:chaos ~eslbot:ai-off* ~rq:queue:* ~rq:job:*",
        CONNECTION, "+info +time +get +mget +scan +zrevrange +xread +xrange +llen +lindex",
        "+hget +hgetall +hlen +hset +hdel +lpush +ltrim +lrange +multi +exec +discard",
    ],
}  # fmt: skip
# Whoever does not log in is nobody.
NOBODY = "user default off resetpass resetkeys resetchannels -@all"


def lines(passwords: dict[str, str]) -> list[str]:
    """The aclfile's lines; of a password it holds the SHA-256 alone."""
    found = [NOBODY]
    for user, rules in RULES.items():
        digest = hashlib.sha256(passwords[user].encode()).hexdigest()
        found.append(f"user {user} on #{digest} resetkeys resetchannels -@all {' '.join(rules)}")
    return found


def run() -> int:
    """Print the lines; and on stderr, which goes into no file, the passwords made for them."""
    passwords = {user: secrets.token_urlsafe(32) for user in RULES}
    print("\n".join(lines(passwords)))
    told = [
        "These passwords are nowhere else; the lines hold only their hashes.",
        *(f"  REDIS_URL=rediss://{user}:{passwords[user]}@HOST:6379/0" for user in RULES),
        "Nobody administers this Redis: give it a user of your own in the same file, such as",
        "  user admin on #SHA256-OF-A-PASSWORD ~* &* +@all",
    ]
    print("\n".join(told), file=sys.stderr)
    return 0
