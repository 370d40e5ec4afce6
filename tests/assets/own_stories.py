"""Let stories15M write stories; run as a script, in a process of its own.

    python own_stories.py MODEL_FOLDER OUT.jsonl

Each line holds `text`, one story, sampled at temperature 1 from all of the model's distribution, from the begin token
to the end of the story or the end of the context. The seed is fixed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

SEED = 0
STORIES = 160
BATCH = 40


def main() -> None:
    folder, out = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    start = torch.full((BATCH, 1), tokenizer.bos_token_id)
    with out.open("w") as lines:
        for _ in range(STORIES // BATCH):
            written = model.generate(
                input_ids=start,
                attention_mask=torch.ones_like(start),
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                max_length=model.config.max_position_embeddings,
            )
            for text in tokenizer.batch_decode(written, skip_special_tokens=True):
                lines.write(json.dumps({"text": text.strip()}) + "\n")


if __name__ == "__main__":
    main()
