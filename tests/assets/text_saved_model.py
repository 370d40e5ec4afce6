"""A sentiment classifier that takes texts as they are; run as a module, in a process of its own.

    python -m tests.assets.text_saved_model snippets.jsonl OUT

Trains words' embeddings on the first half of the snippets and writes a SavedModel folder `saved_model`, whose two
signatures take strings (`serving_default`, logits; `embed`, the mean embedding), and `examples.npz` of the second half.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}

import keras
import numpy as np
import tensorflow as tf

WORDS, TOKENS, SIZE = 4000, 40, 32


def main() -> None:
    snippets, out = map(Path, sys.argv[1:])
    keras.utils.set_random_seed(0)
    rows = [json.loads(line) for line in snippets.read_text().splitlines()]
    texts, labels = [row["text"] for row in rows], np.array([row["label"] for row in rows])
    half = len(texts) // 2
    vectorize = keras.layers.TextVectorization(max_tokens=WORDS, output_sequence_length=TOKENS)
    vectorize.adapt(texts[:half])
    body = keras.Sequential(
        [keras.layers.Embedding(WORDS, SIZE), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(2)]
    )
    body.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    body.fit(vectorize(tf.constant(texts[:half])), labels[:half], epochs=10, verbose=0)
    words = vectorize.get_vocabulary()[2:]
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(words, tf.range(2, len(words) + 2, dtype=tf.int64)), 1
    )
    module = tf.Module()
    module.body, module.table = body, table

    def tokens(text: tf.Tensor) -> tf.Tensor:
        plain = tf.strings.regex_replace(tf.strings.lower(text), r"[^a-z0-9\' ]", "")
        return table.lookup(tf.strings.split(plain).to_tensor("", shape=[None, TOKENS]))

    spec = tf.TensorSpec([None], tf.string, name="text")
    module.serve = tf.function(lambda text: {"logits": body(tokens(text))}, input_signature=[spec])
    module.embed = tf.function(
        lambda text: {"embedding": body.layers[1](body.layers[0](tokens(text)))}, input_signature=[spec]
    )
    signatures = {"serving_default": module.serve, "embed": module.embed}
    tf.saved_model.save(module, str(out / "saved_model"), signatures=signatures)
    np.savez_compressed(out / "examples.npz", text=np.array(texts[half:]), y=labels[half:])


if __name__ == "__main__":
    main()
