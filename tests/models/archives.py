"""Archives as teams send models of other formats. But for `llama`, only their lists of names are real."""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile

TORCHSCRIPT = ("net/data.pkl", "net/constants.pkl", "net/code/__torch__/net.py", "net/version")
EXPORTED = ("net/archive_format", "net/models/model.json", "net/data/weights/weight_0")
TRANSFORMERS = ("config.json", "model.safetensors", "tokenizer.json")
DESCRIBED = ("lathe.toml", "weights.safetensors")
CODE = (*DESCRIBED, "net/build.py")


def archive(*names: str) -> bytes:
    return archive_of(dict.fromkeys(names, b"content"))


def archive_of(members: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as target:
        for name, content in members.items():
            target.writestr(name, content)
    return sink.getvalue()


def llama(width: int = 8, words: int = 16) -> bytes:
    """A transformers folder of one layer with tied embeddings and no tokenizer, written without its library."""
    configuration = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "vocab_size": words,
        "tie_word_embeddings": True,
    }
    layer = "model.layers.0"
    shapes = {
        "model.embed_tokens.weight": (words, width),
        "model.norm.weight": (width,),
        **{f"{layer}.self_attn.{name}_proj.weight": (width, width) for name in "qkvo"},
        **{f"{layer}.mlp.{name}_proj.weight": (2 * width, width) for name in ("gate", "up")},
        f"{layer}.mlp.down_proj.weight": (width, 2 * width),
        **{f"{layer}.{name}_layernorm.weight": (width,) for name in ("input", "post_attention")},
    }
    files = {"config.json": json.dumps(configuration).encode(), "model.safetensors": safetensors(shapes)}
    return archive_of({f"llama/{name}": content for name, content in files.items()})


def safetensors(shapes: dict[str, tuple[int, ...]]) -> bytes:
    """Tensors of zeros."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)
