"""Narrower transformers: features of feed-forward blocks and heads of attention are removed from a folder's model.

The result is an ordinary folder: its `config.json` has the new numbers, so `from_pretrained` loads it. `expressing.py`
knows what a configuration can say, `blocks.py` finds what must go together, `selection.py` chooses what goes,
`mending.py` fits what stays, and `cutting.py` builds the smaller model and compares it.
"""
