"""A Whisper model of 2 MB that says one sentence whatever it hears: real files, real decoding.

Every weight is zero but two: the decoder's position encodings, one unit vector for each place of
the text, and its projection, which answers each place with the sentence's next word. So all of
faster-whisper and CTranslate2 runs as with a real model, and the text is known.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from ctranslate2.specs import whisper_spec
from numpy.typing import NDArray

WIDTH = 64  # as many places as this, prompt included
HEADS = 2
MELS = 80
PROMPT = 4  # <|startoftranscript|> <|en|> <|transcribe|> <|notimestamps|>
SPECIAL = (
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>",
    "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
)  # fmt: skip


def make(folder: Path, sentence: str) -> Path:
    """Write the model's files into the folder."""
    said = [f"Ġ{word}" for word in sentence.split()]
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    words = ["", *alphabet, *sorted(set(said))]
    tokens = [*words, *SPECIAL, *(f"<|{at * 0.02:.2f}|>" for at in range(1501))]
    spec = whisper_spec.WhisperSpec(1, HEADS, 1, HEADS)
    _zero(spec.encoder, decoder=False)
    _zero(spec.decoder, decoder=True)
    spec.encoder.conv1.weight = np.zeros((WIDTH, MELS, 3), np.float32)
    spec.encoder.conv2.weight = np.zeros((WIDTH, WIDTH, 3), np.float32)
    spec.encoder.conv1.bias = spec.encoder.conv2.bias = np.zeros(WIDTH, np.float32)
    spec.encoder.position_encodings.encodings = np.zeros((1500, WIDTH), np.float32)
    places = np.zeros((448, WIDTH), np.float32)
    places[:WIDTH] = np.eye(WIDTH, dtype=np.float32)
    spec.decoder.position_encodings.encodings = places
    spec.decoder.embeddings.weight = np.zeros((len(tokens), WIDTH), np.float32)
    answers = np.zeros((len(tokens), WIDTH), np.float32)
    for place, token in enumerate([*said, "<|endoftext|>"], start=PROMPT - 1):
        answers[tokens.index(token), place] = 10
    spec.decoder.projection.weight = answers
    spec.register_vocabulary(tokens)
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.lang_ids = [tokens.index("<|en|>"), tokens.index("<|de|>")]
    spec.config.alignment_heads = [(0, 0)]
    spec.validate()
    spec.optimize(quantization="float32")
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    _tokenizer(tokens, words).save(str(folder / "tokenizer.json"))
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": MELS}))
    return folder


def _tokenizer(tokens: list[str], words: list[str]) -> tokenizers.Tokenizer:
    model = tokenizers.models.BPE(vocab={t: at for at, t in enumerate(tokens)}, merges=[])
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens(list(SPECIAL))
    made.add_tokens(tokens[len(words) + len(SPECIAL) :])
    return made


def _zero(part: Any, decoder: bool) -> None:
    """Zero weights wherever a linear layer or a norm has none yet."""

    def zeros(*shape: int) -> NDArray[np.float32]:
        return np.zeros(shape, np.float32)

    part.layer_norm.gamma, part.layer_norm.beta = np.ones(WIDTH, np.float32), zeros(WIDTH)
    for layer in part.layer:
        blocks = [layer.self_attention, *([layer.attention] if decoder else [])]
        for block in blocks:
            block.layer_norm.gamma = np.ones(WIDTH, np.float32)
            block.layer_norm.beta = zeros(WIDTH)
            sizes = (3, 1) if block is layer.self_attention else (1, 2, 1)
            for linear, size in zip(block.linear, sizes, strict=True):
                linear.weight, linear.bias = zeros(size * WIDTH, WIDTH), zeros(size * WIDTH)
        layer.ffn.layer_norm.gamma = np.ones(WIDTH, np.float32)
        layer.ffn.layer_norm.beta = zeros(WIDTH)
        wide, narrow = layer.ffn.linear_0, layer.ffn.linear_1
        wide.weight, wide.bias = zeros(4 * WIDTH, WIDTH), zeros(4 * WIDTH)
        narrow.weight, narrow.bias = zeros(WIDTH, 4 * WIDTH), zeros(WIDTH)
