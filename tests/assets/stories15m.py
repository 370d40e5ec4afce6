"""Make a transformers folder of stories15M; run as a script, in a process of its own.

    python stories15m.py llama2.data OUT_FOLDER

`llama2.data` is two files of llama2.c, one behind the other. First the checkpoint: seven int32 (dimension, width of the
feed-forward, layers, heads, key-value heads, vocabulary, context) and the weights in float32, each kind for all layers
before the next. Then the vocabulary: int32 length of the longest piece, and per piece float32 score, int32 length and
UTF-8.

Writes `config.json`, `model.safetensors` (float32), `generation_config.json`, `tokenizer.json` and
`tokenizer_config.json`. The model ends a story with `<s>`, the token that begins the next.
"""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, processors
from torch import Tensor
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
SPECIAL = [UNKNOWN, BEGIN, END]
BYTES = 256
SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""How a piece spells a space."""


@dataclass(frozen=True)
class Shape:
    """The checkpoint's header."""

    dimension: int
    feed_forward: int
    layers: int
    heads: int
    key_value_heads: int
    vocabulary: int
    context: int

    @property
    def head_dimension(self) -> int:
        return self.dimension // self.heads

    @property
    def key_value_dimension(self) -> int:
        return self.head_dimension * self.key_value_heads


class Checkpoint:
    """The weights, taken one kind after the other in the order of the file."""

    def __init__(self, content: bytes) -> None:
        header = struct.unpack_from("<7i", content)
        if header[5] <= 0:
            raise ValueError("a negative vocabulary says that the output head has weights of its own")
        self.shape = Shape(*header)
        self._content = content
        self.position = struct.calcsize("<7i")

    def take(self, *shape: int) -> Tensor:
        count = int(np.prod(shape))
        values = np.frombuffer(self._content, "<f4", count, self.position)
        self.position += values.nbytes
        return torch.tensor(values.reshape(shape))


def read_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Every weight by its name in transformers' Llama."""
    shape = checkpoint.shape
    dimension, layers, key_value = shape.dimension, shape.layers, shape.key_value_dimension
    embedding = checkpoint.take(shape.vocabulary, dimension)
    kinds = {  # the order is the file's
        "input_layernorm": checkpoint.take(layers, dimension),
        "self_attn.q_proj": checkpoint.take(layers, dimension, dimension),
        "self_attn.k_proj": checkpoint.take(layers, key_value, dimension),
        "self_attn.v_proj": checkpoint.take(layers, key_value, dimension),
        "self_attn.o_proj": checkpoint.take(layers, dimension, dimension),
        "post_attention_layernorm": checkpoint.take(layers, dimension),
        "mlp.gate_proj": checkpoint.take(layers, shape.feed_forward, dimension),
        "mlp.down_proj": checkpoint.take(layers, dimension, shape.feed_forward),
        "mlp.up_proj": checkpoint.take(layers, shape.feed_forward, dimension),
    }
    for name, heads in (("self_attn.q_proj", shape.heads), ("self_attn.k_proj", shape.key_value_heads)):
        kinds[name] = halves_of_pairs(kinds[name], heads)
    norm = checkpoint.take(dimension)
    checkpoint.take(2, shape.context, shape.head_dimension // 2)  # cosines and sines, which transformers computes
    weights = {"model.embed_tokens.weight": embedding, "lm_head.weight": embedding, "model.norm.weight": norm}
    for name, tensor in kinds.items():
        weights |= {f"model.layers.{layer}.{name}.weight": tensor[layer].contiguous() for layer in range(layers)}
    return weights


def halves_of_pairs(projection: Tensor, heads: int) -> Tensor:
    """Reorder the rows [layer, row, column] of each head: llama2.c rotates neighbours, transformers the two halves."""
    layers, rows, columns = projection.shape
    pairs = projection.view(layers, heads, rows // heads // 2, 2, columns)
    return pairs.transpose(2, 3).reshape(layers, rows, columns)


def make_model(checkpoint: Checkpoint) -> LlamaForCausalLM:
    shape = checkpoint.shape
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.dimension,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=shape.context,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=SPECIAL.index(BEGIN),
        eos_token_id=SPECIAL.index(END),
        dtype="float32",
    )
    model = LlamaForCausalLM(config)
    model.load_state_dict(read_weights(checkpoint))
    begin, end = SPECIAL.index(BEGIN), SPECIAL.index(END)
    model.generation_config = GenerationConfig(bos_token_id=begin, eos_token_id=[begin, end], pad_token_id=end)
    return model.eval()


def read_pieces(content: bytes, count: int) -> tuple[list[str], list[float]]:
    """The vocabulary's pieces, and the scores by which pairs are merged: the highest first."""
    pieces, scores, position = list[str](), list[float](), 4
    for _ in range(count):
        score, length = struct.unpack_from("<fi", content, position)
        position += 8 + length
        pieces.append(content[position - length : position].decode().replace(" ", SPACE))
        scores.append(score)
    if position != len(content):
        raise ValueError(f"{len(content) - position} bytes are left behind the vocabulary")
    first = len(SPECIAL)
    pieces[:first] = SPECIAL
    pieces[first : first + BYTES] = [f"<0x{byte:02X}>" for byte in range(BYTES)]
    return pieces, scores


def make_merges(pieces: list[str], scores: list[float]) -> list[tuple[str, str]]:
    """Every pair of pieces that makes a piece, the best first."""
    ids = {piece: index for index, piece in enumerate(pieces)}
    found = [
        (-scores[whole], whole, ids[piece[:cut]], ids[piece[cut:]])
        for whole, piece in enumerate(pieces)
        if whole >= len(SPECIAL) + BYTES
        for cut in range(1, len(piece))
        if piece[:cut] in ids and piece[cut:] in ids
    ]
    return [(pieces[left], pieces[right]) for _, _, left, right in sorted(found)]


def make_tokenizer(pieces: list[str], scores: list[float], context: int) -> PreTrainedTokenizerFast:
    """Byte-pair encoding as SentencePiece does it: a space before the text, bytes for what has no piece."""
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(
        models.BPE(vocabulary, make_merges(pieces, scores), unk_token=UNKNOWN, fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN} $B", special_tokens=[(BEGIN, SPECIAL.index(BEGIN))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=END,
        model_max_length=context,
    )


def main() -> None:
    source, out = map(Path, sys.argv[1:])
    content = source.read_bytes()
    checkpoint = Checkpoint(content)
    make_model(checkpoint).save_pretrained(out)
    pieces, scores = read_pieces(content[checkpoint.position :], checkpoint.shape.vocabulary)
    make_tokenizer(pieces, scores, checkpoint.shape.context).save_pretrained(out)


if __name__ == "__main__":
    main()
