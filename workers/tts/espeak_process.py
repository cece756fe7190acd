"""The process that espeak-ng lives in: `python -m workers.tts.espeak_process WORKER_PID`.

espeak-ng (GPL-3.0-or-later, from the espeakng-loader wheel) is loaded here and nowhere else.
The wire is frames.py's. A request:

    {"id": 1, "text": "Hello.", "language": "en-GB", "voice": "en-us+f3",
     "words_per_minute": 160, "volume": 85, "max_audio_s": 120}

Functions, constants and struct layout: speak_lib.h of espeak-ng 1.52.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

from workers.tts.process_child import Put, SynthError, parent_from_argv, serve

_AUDIO_OUTPUT_SYNCHRONOUS: Final = 2  # espeak_Synth returns when all has gone to the callback
_INITIALIZE_DONT_EXIT: Final = 0x8000  # else a missing data folder calls exit()
_CHARS_UTF8: Final = 1  # alone: no espeakSSML (0x10), no espeakPHONEMES (0x100, the [[ ]])
_RATE: Final = 1
_VOLUME: Final = 2
_PIECE_MS: Final = 40

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.POINTER(ctypes.c_char)),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


class EspeakSynth:
    """espeak-ng, one request at a time."""

    def __init__(self) -> None:
        import espeakng_loader

        self._lib = lib = ctypes.CDLL(espeakng_loader.get_library_path())
        lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        lib.espeak_ListVoices.argtypes = [ctypes.c_void_p]
        lib.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
        lib.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        data = espeakng_loader.get_data_path().encode()
        self.rate_hz = int(
            lib.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, _PIECE_MS, data, _INITIALIZE_DONT_EXIT)
        )
        if self.rate_hz <= 0:
            raise SynthError("espeak-ng finds no voice data")
        self._voices = self._list_voices()
        self._put: Put = lambda pcm: False
        self._left_bytes = 0
        self._callback = _Callback(self._heard)  # kept: C holds no reference
        lib.espeak_SetSynthCallback(self._callback)

    def speak(self, request: dict[str, Any], put: Put) -> None:
        voice = self._voice(str(request["language"]), str(request["voice"]))
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SynthError(f"no voice {voice!a}")
        self._lib.espeak_SetParameter(_RATE, int(request["words_per_minute"]), 0)
        self._lib.espeak_SetParameter(_VOLUME, int(request["volume"]), 0)
        self._put = put
        self._left_bytes = 2 * self.rate_hz * int(request["max_audio_s"])
        text = str(request["text"]).encode("utf-8", "replace") + b"\0"
        status = self._lib.espeak_Synth(text, len(text), 0, 1, 0, _CHARS_UTF8, None, None)
        if status != 0:
            raise SynthError(f"espeak_Synth returned {status}")

    def _heard(self, wav: Any, samples: int, events: Any) -> int:
        """The synthesiser's callback; 1 ends the sentence here."""
        if not wav or samples <= 0:
            return 0
        pcm = ctypes.string_at(wav, 2 * samples)[: self._left_bytes]
        self._left_bytes -= len(pcm)
        return 0 if pcm and self._put(pcm) else 1

    def _voice(self, language: str, voice: str) -> str:
        """The voice's file name for a BCP 47 language, by lookup (RFC 4647, 3.4).

        The configured voice serves every language it is one of: en-us for "en" and "en-US",
        not for "en-GB". Its variant (after the +) goes with each language.
        """
        wanted = language.lower().replace("_", "-")
        base, _, variant = voice.partition("+")
        suffix = f"+{variant}" if variant else ""
        if f"{base.lower()}-".startswith(f"{wanted}-") and base.lower() in self._voices:
            return self._voices[base.lower()] + suffix
        while wanted and wanted not in self._voices:
            wanted = wanted.rpartition("-")[0]
        if not wanted:
            raise SynthError(f"no voice for language {ascii(language)[:40]}")
        return self._voices[wanted] + suffix

    def _list_voices(self) -> dict[str, str]:
        """Language tag, in small letters, to the file of its best voice."""
        best: dict[str, tuple[int, str]] = {}
        listed = self._lib.espeak_ListVoices(None)
        at = 0
        while listed[at]:
            voice = listed[at].contents
            at += 1
            file = voice.identifier.decode("utf-8", "replace")
            # Pairs of one byte of priority (low is better) and a C string, until a zero byte.
            offset = 0
            while priority := ord(voice.languages[offset]):
                tag = ctypes.string_at(ctypes.addressof(voice.languages.contents) + offset + 1)
                offset += len(tag) + 2
                name = tag.decode("ascii", "replace").lower()
                if name not in best or priority < best[name][0]:
                    best[name] = (priority, file)
        return {tag: file for tag, (_, file) in best.items()}


if __name__ == "__main__":
    serve(EspeakSynth, parent_from_argv())
