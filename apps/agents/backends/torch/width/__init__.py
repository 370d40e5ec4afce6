"""Narrower transformers: features of feed-forward blocks and heads of attention are removed from a folder's model.

The result is an ordinary folder: its `config.json` has the new numbers, so `from_pretrained` loads it. `expressing.py`
knows what a configuration can express, `blocks.py` finds what must be removed together, `selection.py` chooses units,
`narrowing.py` fits the remaining ones, and `cutting.py` builds the smaller model and compares it.
"""
