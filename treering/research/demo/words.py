"""The demo model's tokenizer: a CLIP tokenizer whose merges make one token of each word of the world."""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch
from tokenizers import Tokenizer as Backend
from tokenizers import models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTokenizer

from .networks import MAX_TOKENS

Tokenizer = CLIPTokenizer
BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def tokenizer(captions: Sequence[str]) -> CLIPTokenizer:
    """Learn byte-pair merges from captions; any other text is spelled out in bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Backend(models.BPE(end_of_word_suffix="</w>"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    backend.train_from_iterator(
        sorted(set(captions)),
        trainers.BpeTrainer(vocab_size=1024, show_progress=False, initial_alphabet=alphabet, end_of_word_suffix="</w>"),
    )
    state = backend.model.__getstate__()
    merges = _merges(state)
    joined = [first + second for first, second in merges]
    letters = alphabet + [letter + "</w>" for letter in alphabet]
    pieces = dict.fromkeys([*letters, *joined])
    vocabulary = {piece: i for i, piece in enumerate([*pieces, BOS, EOS])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)


def _merges(state: bytes) -> list[tuple[str, str]]:
    rows = json.loads(state)["merges"]
    pairs = [row.split(" ") if isinstance(row, str) else row for row in rows]
    return [(first, second) for first, second in pairs]


def tokens(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> Tensor:
    """Token ids int64 ``[N, MAX_TOKENS]``, padded as a pipeline pads them."""
    ids: Tensor = tokenizer(
        list(captions), padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt"
    ).input_ids
    return ids.to(torch.int64)
