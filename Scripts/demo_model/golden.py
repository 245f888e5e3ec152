"""Reference answers of the demo model for the tests: prompts, their token ids, and what transformers and PEFT continue
them with, greedily, in float32 on the weights as saved."""

import json
import os

import torch

from . import measure
from .numerals import SYSTEMS

NUMBERS = (0, 7, 16, 80, 100, 407, 1987, 3071, 20_018, 987_654)
TURNS = (4207, 61, 815)     # one conversation of three turns
SHORTEST_MARGIN_DIGITS = 4


@torch.no_grad()
def margin(model, prompt_ids: list[int], output_ids: list[int]) -> float:
    """The smallest lead, in logits, of a chosen token over the next best: how far the answer is from tipping."""
    logits = model(input_ids=torch.tensor([prompt_ids + output_ids])).logits[0, len(prompt_ids) - 1:-1]
    best = logits.topk(2).values
    return float((best[:, 0] - best[:, 1]).min())


def prompts(tokenizer, system: str) -> list[dict]:
    """Plain and chat prompts for the numbers the system can write, and a conversation with its right answers so far."""
    spell, low, high = SYSTEMS[system]
    entries = []
    for i, n in enumerate(n for n in NUMBERS if low <= n <= high):
        if i % 3 == 2:
            entries.append({"messages": [{"role": "user", "content": str(n)}]})
        else:
            entries.append({"prompt": measure.plain_prompt(tokenizer, n)})
    conversation = []
    for n in (n for n in TURNS if low <= n <= high):
        conversation += [{"role": "user", "content": str(n)}, {"role": "assistant", "content": spell(n)}]
    entries.append({"messages": conversation[:-1]})
    return entries


def write(path: str, models, tokenizer) -> None:
    rows = []
    for system, model in models:
        entries = prompts(tokenizer, system)
        texts = [e["prompt"] if "prompt" in e else tokenizer.apply_chat_template(
            e["messages"], tokenize=False, add_generation_prompt=True) for e in entries]
        for entry, text, ids in zip(entries, texts, measure.greedy(model, tokenizer, texts)):
            prompt_ids = tokenizer(text, add_special_tokens=False).input_ids
            rows.append({"adapter": None if system == "english" else system, **entry, "promptIDs": prompt_ids,
                         "outputIDs": ids, "text": tokenizer.decode(ids, skip_special_tokens=True),
                         "margin": round(margin(model, prompt_ids, ids), SHORTEST_MARGIN_DIGITS)})
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n")
