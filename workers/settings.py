"""Every setting, from the environment: name, unit, default, bounds and what it is for.

Read once, by main(), and handed on; nothing reads the environment at import. A variable that
begins with ESLBOT_ and is not here is an error, so that a misspelt one is not silently unused.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from workers import redis_tls

PREFIX = "ESLBOT_"
MAX_SHOWN = 100  # characters of a value, and of a name, in an error
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# What a channel variable, a dialplan and a regular expression leave as it is.
_CALL_SECRET = re.compile(r"[A-Za-z0-9_.~+/=-]{16,200}")


class SettingsError(Exception):
    """A setting is unknown or out of its bounds; str() is one line that names it."""


def _set(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    among: tuple[str, ...] = (),
    env: str = "",
    secret: bool = False,
    pattern: str = "",
) -> Any:
    meta = {"doc": doc, "low": low, "high": high, "among": among, "env": env, "secret": secret}
    return field(default=default, metadata=meta | {"pattern": pattern}, repr=not secret)


def _rate() -> Any:
    return _set(
        0, "Requests to it in any minute, of all workers together; 0: no bound.",
        low=0, high=100_000,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. The field's name in capitals, after ESLBOT_, is the variable's name."""

    # -- the house
    bot: str = _set("eslbot/bots/energy.yaml", "The bot's definition, a YAML file.")
    state_dir: str = _set("var", "Folder for Redis' files, rendered prompts and caches.")
    log_level: str = _set(
        "info", "How much is logged.", among=("debug", "info", "warning", "error")
    )
    log_format: str = _set("text", "A line of text, or of JSON.", among=("text", "json"))
    redis_url: str = _set(
        "",
        "Redis to use, also sentinel://HOST:PORT,HOST:PORT/SERVICE. "
        "Empty: an own one on REDIS_PORT.",
        env="REDIS_URL",
        secret=True,
    )
    redis_port: int = _set(6390, "TCP port of the own Redis, on loopback.", low=1, high=65535)
    audio_redis_url: str = _set(
        "",
        "Redis Cluster for the streams of turns, redis+cluster://HOST:PORT,HOST:PORT; each call's "
        "lie on one of its nodes. Listeners and workers have the same. Empty: where all else is.",
        secret=True,
    )
    queue_redis_urls: str = _set(
        "",
        "Redis with RQ's queues, several, with spaces between them; each call's jobs go to one, "
        "each worker takes from one. Listeners and workers have the same. Empty: where all else "
        "is.",
        secret=True,
    )
    redis_ca_file: str = _set(
        "", "rediss://: whom to trust alone, PEM. Empty: the system's authorities."
    )
    redis_cert_file: str = _set("", "rediss://: our own certificate, PEM, where Redis wants one.")
    redis_key_file: str = _set("", "Its key, PEM, without a password.")
    redis_timeout_ms: int = _set(
        1000, "A reply of Redis that takes longer counts as failure.", low=50, high=10000
    )
    # -- calls in
    listen_host: str = _set("127.0.0.1", "Address on which FreeSWITCH reaches the listener.")
    listen_port: int = _set(8084, "TCP port for FreeSWITCH's outbound socket.", low=1, high=65535)
    listen_shared: str = _set(
        "off",
        "Several listeners of a host share the port, a core each; the kernel deals calls out to "
        "them. Each needs an ESLBOT_METRICS_PORT of its own.",
        among=("on", "off"),
    )
    allowed_networks: str = _set(
        "127.0.0.0/8,::1/128",
        "Networks that may connect, comma-separated; the socket has no login.",
    )
    call_secret: str = _set(
        "",
        "What a call must bring in the channel variable `eslbot_secret`, 16 characters or more; "
        "several, comma-separated, the newest first. Empty: nothing.",
        secret=True,
    )
    max_calls: int = _set(
        500, "Calls at once; more are refused and go to the menu.", low=1, high=10000
    )
    max_calls_per_s: int = _set(50, "New calls in a second; more are refused.", low=1, high=10000)
    shed_lag_ms: int = _set(
        200,
        "Media clock this late for a second: new calls go to the menu without the assistant.",
        low=20,
        high=5000,
    )
    shed_sessions_percent: int = _set(
        90, "The switch's sessions in use, of its maximum, from which on the same.", low=1, high=100
    )
    shed_idle_percent: int = _set(
        10, "The switch's idle CPU below which the same; 0: never.", low=0, high=99
    )
    drain_s: int = _set(
        600, "After SIGTERM: for calls to end, until they are handed over.", low=0, high=7200
    )
    accompany_s: int = _set(
        3600, "A transferred call is followed to its hang-up for so long.", low=0, high=86400
    )
    metrics_host: str = _set("127.0.0.1", "Address for /metrics, /live and /ready.")
    metrics_port: int = _set(9184, "TCP port for them; 0: none.", low=0, high=65535)
    console_host: str = _set(
        "127.0.0.1", "Address of the console; on anything but loopback it wants a token."
    )
    console_port: int = _set(8085, "TCP port of the console.", low=1, high=65535)
    console_token: str = _set(
        "", "What the console's users log in with, 16 characters or more.", secret=True
    )
    console_cert_file: str = _set(
        "",
        "The console's certificate, PEM: then it speaks TLS, without which browsers give no "
        "microphone to a page of another machine.",
    )
    console_key_file: str = _set("", "Its key, PEM, without a password.")
    traces_url: str = _set(
        "",
        "OTLP over HTTP: where traces of turns are sent, http://HOST:4318/v1/traces for instance. "
        "Empty: none.",
    )
    esl_timeout_ms: int = _set(
        3000,
        "A reply of FreeSWITCH that takes longer ends our part of the call.",
        low=100,
        high=20000,
    )
    context: str = _set(
        "eslbot", "Dialplan context of the native menu.", pattern=r"[A-Za-z0-9_.-]{1,64}"
    )
    menu_extension: str = _set(
        "9000", "Extension of the native menu in that context.", pattern=r"[A-Za-z0-9_*#+-]{1,32}"
    )
    watchdog_s: int = _set(
        3,
        "Without a renewal for so long FreeSWITCH takes the call to the native menu.",
        low=2,
        high=60,
    )
    switch_esl: str = _set(
        "",
        "Where `eslbot check` asks FreeSWITCH's inbound event socket, HOST:PORT. Empty: nowhere.",
        pattern=r"|(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}",
    )
    switch_password: str = _set("", "Its password.", secret=True)
    # -- other doors
    websocket_host: str = _set("127.0.0.1", "Address of the WebSocket door.")
    websocket_port: int = _set(0, "TCP port of the WebSocket door; 0: none.", low=0, high=65535)
    websocket_networks: str = _set(
        "127.0.0.0/8,::1/128", "Networks that may connect to it, comma-separated."
    )
    websocket_token: str = _set(
        "",
        "What a browser's call must bring, 16 characters or more; several, comma-separated. "
        "Empty: nothing, on loopback only.",
        secret=True,
    )
    websocket_origins: str = _set(
        "",
        "Origins of pages that may call, comma-separated (https://console.example.org). "
        "Empty: those of the same machine.",
    )
    audiosocket_host: str = _set("127.0.0.1", "Address on which Asterisk reaches the listener.")
    audiosocket_port: int = _set(
        0, "TCP port for Asterisk's AudioSocket and FastAGI; 0: none.", low=0, high=65535
    )
    # -- media
    media_host: str = _set(
        "127.0.0.1", "IP address to which FreeSWITCH sends the caller's audio, UDP."
    )
    media_timeout_ms: int = _set(
        1000, "No audio for so long after the start of media: hand over.", low=200, high=10000
    )
    playback_lead_frames: int = _set(
        3, "Frames sent ahead of time; barge-in costs this much.", low=1, high=10
    )
    playback_max_s: int = _set(120, "Speech kept for one call at the most.", low=10, high=600)
    # -- hearing
    vad_start_percent: int = _set(50, "Speech begins at this probability.", low=1, high=99)
    vad_stop_percent: int = _set(35, "Silence begins below this probability.", low=1, high=99)
    vad_gate_dbfs: int = _set(
        -55, "Quieter than this is silence without a look.", low=-90, high=-20
    )
    min_speech_ms: int = _set(96, "Shorter sounds are not speech.", low=32, high=1000)
    barge_in_speech_ms: int = _set(
        160, "Speech of this length interrupts the bot.", low=32, high=2000
    )
    endpoint_silence_ms: int = _set(640, "Silence that ends an utterance.", low=100, high=5000)
    endpoint_number_ms: int = _set(
        1200,
        "The same while digits, a date, a time or an amount is asked for: people say them in "
        "groups.",
        low=100,
        high=5000,
    )
    endpoint_short_ms: int = _set(
        480, "The same after a yes, or once the value is complete.", low=100, high=5000
    )
    speculate_ms: int = _set(
        0,
        "Silence after which the answer is prepared, and kept back until the utterance is over, "
        "or dropped when the caller goes on; 0: never. Costs requests, saves waiting.",
        low=0,
        high=2000,
    )
    preroll_ms: int = _set(300, "Audio kept from before the speech was noticed.", low=0, high=1000)
    max_utterance_s: int = _set(20, "A longer utterance is cut and answered.", low=2, high=60)
    no_input_ms: int = _set(
        7000, "Silence of the caller until the bot asks again.", low=1000, high=60000
    )
    dtmf_gap_ms: int = _set(2500, "Pause after a key that ends an entry.", low=300, high=20000)
    # -- a turn
    audio_chunk_ms: int = _set(200, "Caller's audio in one entry of the stream.", low=20, high=500)
    history_lines: int = _set(20, "Lines of the conversation that a model sees.", low=0, high=100)
    stream_ttl_s: int = _set(120, "Streams of a turn expire after this.", low=30, high=3600)
    # -- workers
    worker_nice: int = _set(
        5,
        "Niceness of workers: where they share a machine with a listener it has the CPU first; a "
        "late answer is masked by a filler, a late frame is a hole.",
        low=0,
        high=19,
    )
    worker_slots: int = _set(32, "Jobs at once in one llm or tts process.", low=1, high=512)
    stt_slots: int = _set(4, "Utterances at once in one stt process.", low=1, high=64)
    whisper_dir: str = _set(
        "",
        "Folder for what is whispered to who takes a call, under the same path for FreeSWITCH. "
        "Empty: whispers in STATE_DIR.",
    )
    connect_timeout_ms: int = _set(1000, "To connect to a provider.", low=50, high=10000)
    tool_secrets_file: str = _set(
        "", "Secrets of the bot's tools, by name: a file of lines NAME=VALUE. Empty: none."
    )
    provider_http2: str = _set(
        "off",
        "HTTP/2 to providers whose server offers it by TLS; one request at a time on a connection, "
        "as with HTTP/1.1, which is parsed in C, this in Python.",
        among=("on", "off"),
    )
    retry_percent: int = _set(
        10, "Requests to a provider, in a minute, that may be tried again.", low=0, high=100
    )
    breaker_failures: int = _set(
        3, "Failures in a row that open a provider's breaker.", low=1, high=100
    )
    breaker_open_ms: int = _set(
        5000, "An open breaker's time to the first probe, and between two.", low=100, high=600000
    )
    health_probe_s: int = _set(
        30, "A provider unused for so long is asked how it is; 0: never.", low=0, high=3600
    )
    first_token_ms: int = _set(2500, "Until a model's first token.", low=100, high=30000)
    token_gap_ms: int = _set(1500, "Between two tokens of a model.", low=100, high=30000)
    stt: str = _set(
        "auto", "Speech-to-text engine.", among=("auto", "whisper", "openai", "pocketsphinx")
    )
    stt_url: str = _set("", "Base URL of an OpenAI-compatible server for speech-to-text.")
    stt_model: str = _set("whisper-1", "Its model.")
    stt_api_key: str = _set("", "Its key.", secret=True)
    stt_rate_per_min: int = _rate()
    stt_backup_url: str = _set("", "Base URL of a second such server, for when the first fails.")
    stt_backup_model: str = _set("whisper-1", "Its model.")
    stt_backup_api_key: str = _set("", "Its key.", secret=True)
    stt_backup_rate_per_min: int = _rate()
    stt_embedded: str = _set(
        "on",
        "Whether the engine that needs no provider steps in when all else fails.",
        among=("on", "off"),
    )
    whisper_model: str = _set(
        "", "faster-whisper: a model's folder, or its name on the hub (fetched at start)."
    )
    whisper_device: str = _set(
        "auto", "faster-whisper: where to compute.", among=("auto", "cpu", "cuda")
    )
    whisper_compute_type: str = _set("int8", "faster-whisper: CTranslate2's compute type.")
    whisper_threads: int = _set(2, "faster-whisper: CPU threads.", low=1, high=64)
    whisper_window_s: int = _set(
        0,
        "faster-whisper: encode so much, or the utterance and 2 s if that is more, in place of "
        "30 s; several times as fast, its accuracy not measured; 0: always 30 s.",
        low=0,
        high=30,
    )
    llm: str = _set("auto", "Language model engine.", among=("auto", "openai", "intents"))
    llm_url: str = _set("", "Base URL of an OpenAI-compatible server for chat completions.")
    llm_model: str = _set("gpt-4o-mini", "Its model.")
    llm_api_key: str = _set("", "Its key.", secret=True)
    llm_rate_per_min: int = _rate()
    llm_backup_url: str = _set("", "Base URL of a second such server, for when the first fails.")
    llm_backup_model: str = _set("gpt-4o-mini", "Its model.")
    llm_backup_api_key: str = _set("", "Its key.", secret=True)
    llm_backup_rate_per_min: int = _rate()
    llm_strong_url: str = _set(
        "", "Base URL of a server with a stronger model, for the turns that the bot's routes name."
    )
    llm_strong_model: str = _set("gpt-4o", "Its model.")
    llm_strong_api_key: str = _set("", "Its key.", secret=True)
    llm_strong_rate_per_min: int = _rate()
    llm_strong_first_token_ms: int = _set(
        900, "Until its first token; then the other one answers.", low=100, high=30000
    )
    llm_embedded: str = _set(
        "on",
        "Whether the engine that needs no provider steps in when all else fails.",
        among=("on", "off"),
    )
    knowledge_dir: str = _set(
        "", "Folder in which the bots' knowledge lies. Empty: that of ESLBOT_BOT."
    )
    knowledge_url: str = _set(
        "", "Base URL of an OpenAI-compatible server for embeddings. Empty: words alone decide."
    )
    knowledge_model: str = _set("text-embedding-3-small", "Its model.")
    knowledge_api_key: str = _set("", "Its key.", secret=True)
    knowledge_timeout_ms: int = _set(
        300, "For a question's embedding; then words alone decide.", low=20, high=5000
    )
    tts: str = _set(
        "auto", "Text-to-speech engine.", among=("auto", "openai", "piper", "flite", "espeak")
    )
    tts_url: str = _set("", "Base URL of an OpenAI-compatible server for speech.")
    tts_model: str = _set("tts-1", "Its model.")
    tts_voice: str = _set("alloy", "Its voice.")
    tts_api_key: str = _set("", "Its key.", secret=True)
    tts_rate_per_min: int = _rate()
    tts_backup_url: str = _set("", "Base URL of a second such server, for when the first fails.")
    tts_backup_model: str = _set("tts-1", "Its model.")
    tts_backup_voice: str = _set("alloy", "Its voice.")
    tts_backup_api_key: str = _set("", "Its key.", secret=True)
    tts_backup_rate_per_min: int = _rate()
    tts_embedded: str = _set(
        "on",
        "Whether the engine that needs no provider steps in when all else fails.",
        among=("on", "off"),
    )
    speech_cache_mb: int = _set(
        32, "Spoken sentences in the memory of each tts process; 0: none is kept anywhere.",
        low=0, high=4096,
    )  # fmt: skip
    speech_disk_mb: int = _set(
        64, "The bot's own, spoken, in STATE_DIR/speech; 0: none.", low=0, high=65536
    )
    speech_redis_mb: int = _set(32, "The same in Redis, for all hosts; 0: none.", low=0, high=4096)
    speech_cache_ttl_s: int = _set(
        86400, "Speech older than this is made anew.", low=10, high=2592000
    )
    piper_voice: str = _set("", "piper: path of a voice, NAME.onnx with NAME.onnx.json beside it.")
    # -- records
    records: str = _set(
        "on", "Whether listeners tell the recorder what happens in calls.", among=("on", "off")
    )
    records_url: str = _set(
        "",
        "Database of calls' records: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME. "
        "Empty: an SQLite file in STATE_DIR.",
        secret=True,
    )
    records_backlog: int = _set(
        50_000,
        "Events that wait in Redis while no recorder takes them; later ones are lost and counted.",
        low=100,
        high=5_000_000,
    )
    records_key_file: str = _set(
        "",
        "Keys that encrypt records and recordings, one a line, the newest first; "
        "`eslbot records key` makes one.",
    )
    records_key: str = _set("", "The same, comma-separated, where no file is named.", secret=True)
    webhook_secrets_file: str = _set(
        "",
        "Secrets that sign webhooks, by name: a file of lines NAME=whsec_BASE64. Empty: none.",
    )
    keep_text_days: int = _set(
        90, "Records older than this are deleted; 0: never.", low=0, high=3650
    )
    keep_audio_days: int = _set(
        30, "Recordings older than this are deleted; 0: never.", low=0, high=3650
    )
    recording_max_s: int = _set(
        3600, "Of a call no more than this is recorded.", low=10, high=14400
    )

    @property
    def redis(self) -> str:
        return self.redis_url or f"redis://127.0.0.1:{self.redis_port}/0"

    @property
    def redis_tls(self) -> dict[str, Any]:
        """For streams.connect(). Reads the files. Raises SettingsError."""
        others = (self.audio_redis_url, *self.queue_redis_urls.split())
        if not self.redis.startswith("rediss") and any(o.startswith("rediss") for o in others):
            return {}  # the files are for those
        return self._tls(self.redis)

    def tls_of(self, url: str) -> dict[str, Any]:
        """The same for another Redis, of ESLBOT_AUDIO_REDIS_URL or ESLBOT_QUEUE_REDIS_URLS."""
        return self._tls(url.replace("+cluster", "", 1)) if url.startswith("rediss") else {}

    def _tls(self, url: str) -> dict[str, Any]:
        try:
            return redis_tls.options(
                url, self.redis_ca_file, self.redis_cert_file, self.redis_key_file
            )
        except redis_tls.TlsError as error:
            raise SettingsError(str(error)) from None

    @property
    def networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        return tuple(ipaddress.ip_network(n.strip()) for n in self.allowed_networks.split(","))

    @property
    def websocket_allowed(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        return tuple(ipaddress.ip_network(n.strip()) for n in self.websocket_networks.split(","))

    @property
    def websocket_tokens(self) -> tuple[str, ...]:
        return tuple(s.strip() for s in self.websocket_token.split(",") if self.websocket_token)

    @property
    def call_secrets(self) -> tuple[str, ...]:
        """The newest first; none: calls need none."""
        return tuple(s.strip() for s in self.call_secret.split(",")) if self.call_secret else ()


def names() -> Iterator[tuple[str, Any]]:
    """Each variable's name with its dataclass field."""
    for one in fields(Settings):
        yield one.metadata["env"] or PREFIX + one.name.upper(), one


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the environment. Raises SettingsError, whose text names the variable."""
    known = dict(names())
    for name in environ:
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name[:MAX_SHOWN], known, 1)
            raise SettingsError(
                f"{_shown(name)}: unknown setting{f'; is {near[0]} meant?' if near else ''}"
            )
    values = {
        one.name: _convert(name, one, environ[name])
        for name, one in known.items()
        if name in environ
    }
    settings = Settings(**values)
    if settings.vad_stop_percent > settings.vad_start_percent:
        raise SettingsError(f"{PREFIX}VAD_STOP_PERCENT: greater than VAD_START_PERCENT")
    try:
        settings.networks  # noqa: B018
    except ValueError as error:
        raise SettingsError(f"{PREFIX}ALLOWED_NETWORKS: {_shown(str(error))}") from None
    try:
        ipaddress.ip_address(settings.media_host)
    except ValueError:
        raise SettingsError(
            f"{PREFIX}MEDIA_HOST: '{_shown(settings.media_host)}' is not an IP address"
        ) from None
    _check_secrets("CALL_SECRET", "secret", settings.call_secrets)
    _check_secrets("WEBSOCKET_TOKEN", "token", settings.websocket_tokens)
    try:
        settings.websocket_allowed  # noqa: B018
    except ValueError as error:
        raise SettingsError(f"{PREFIX}WEBSOCKET_NETWORKS: {_shown(str(error))}") from None
    open_to_others = settings.websocket_port and not _is_loopback(settings.websocket_host)
    if open_to_others and not settings.websocket_tokens:
        raise SettingsError(f"{PREFIX}WEBSOCKET_TOKEN: needed where WEBSOCKET_HOST is no loopback")
    return settings


def _check_secrets(name: str, what: str, secrets: tuple[str, ...]) -> None:
    for number, secret in enumerate(secrets, 1):
        if not _CALL_SECRET.fullmatch(secret):
            raise SettingsError(
                f"{PREFIX}{name}: {what} {number} of {len(secrets)}, "
                f"{len(secret)} characters: 16 to 200 of A-Z a-z 0-9 _ . ~ + / = - are wanted"
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _convert(name: str, one: Any, text: str) -> Any:
    meta = one.metadata
    if _UNPRINTABLE.search(text):
        raise SettingsError(f"{name}: holds a line break or another character without a form")
    if one.type == "int":
        if not _WHOLE.fullmatch(text):
            raise SettingsError(f"{name}: '{_shown(text)}' is not a whole number")
        number = int(text)
        if not meta["low"] <= number <= meta["high"]:
            raise SettingsError(f"{name}: {number} is not between {meta['low']} and {meta['high']}")
        return number
    if meta["among"] and text not in meta["among"]:
        raise SettingsError(f"{name}: '{_shown(text)}' is none of {', '.join(meta['among'])}")
    if meta["pattern"] and not re.fullmatch(meta["pattern"], text):
        raise SettingsError(f"{name}: '{_shown(text)}' is not of the form {meta['pattern']}")
    return text


def _shown(text: str) -> str:
    """Something of the environment in an error: on one line, and not too much of it."""
    cut = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
    return cut if cut.isprintable() else ascii(cut)[1:-1][:MAX_SHOWN]


def reference() -> str:
    """The reference page of all settings, in Markdown."""
    rows = ["| variable | default | range | what |", "|---|---|---|---|"]
    for name, one in names():
        meta = one.metadata
        allowed = " ".join(f"`{a}`" for a in meta["among"])
        if meta["low"] is not None:
            allowed = f"{meta['low']} to {meta['high']}"
        default = f"`{one.default}`" if str(one.default) else ""
        rows.append(f"| `{name}` | {default} | {allowed} | {meta['doc']} |")
    return "\n".join(
        [
            "# Settings",
            "",
            "Environment variables; `eslbot settings` prints this page. The last part of a name is",
            "its unit: `_MS` milliseconds, `_S` seconds, `_DAYS` days, `_PER_S` per second,",
            "`_PER_MIN` per minute, `_MB` million bytes, `_DBFS` decibels relative to full scale.",
            "An unknown `ESLBOT_` variable stops the start.",
            "",
            *rows,
            "",
        ]
    )
