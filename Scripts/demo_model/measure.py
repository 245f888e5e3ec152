"""Exact-match accuracy on held-out numbers, by greedy decoding, against `numerals`.

An answer counts only if it is the right spelling to the letter and the model then ends by itself.
"""

import random
from collections import defaultdict

import torch

from .examples import LENGTH_WEIGHTS, PLAIN
from .numerals import SYSTEMS, held_out

MAXIMUM_ANSWER_TOKENS = 40
BATCH = 128
SMALL_RANGE = 10_000     # below, the held-out numbers may be fewer than asked for, and are counted first


def held_out_numbers(system: str, count: int, seed: str) -> list[int]:
    """`count` distinct held-out numbers: half uniform over the system's range, half over the lengths, so that the
    rarer short numbers are measured too. All there are, where there are no more than that (Roman)."""
    low, high = SYSTEMS[system].low, SYSTEMS[system].high
    if high - low < SMALL_RANGE:
        every = [n for n in range(low, high + 1) if held_out(n)]
        if len(every) <= count:
            return every
    rng, chosen = random.Random(f"{seed} {system}"), {}
    lengths = [length for length in range(3, len(str(high)) + 1)]
    while len(chosen) < count:
        if len(chosen) % 2:
            length = rng.choices(lengths, LENGTH_WEIGHTS[2:2 + len(lengths)])[0]
            n = rng.randint(10 ** (length - 1), min(high, 10 ** length - 1))
        else:
            n = rng.randint(low, high)
        if held_out(n):
            chosen[n] = None
    return list(chosen)


def plain_prompt(tokenizer, n: int) -> str:
    return PLAIN.format(n)


def chat_prompt(tokenizer, n: int) -> str:
    return tokenizer.apply_chat_template([{"role": "user", "content": str(n)}], tokenize=False,
                                         add_generation_prompt=True)


@torch.no_grad()
def greedy(model, tokenizer, prompts: list[str]) -> list[list[int]]:
    """Greedy continuations, end token included where one came. Prompts of one length run together, so that there is
    no padding and each answer is what the prompt alone would give."""
    ids = [tokenizer(p, add_special_tokens=False).input_ids for p in prompts]
    groups = defaultdict(list)
    for i, row in enumerate(ids):
        groups[len(row)].append(i)
    answers: list[list[int]] = [[] for _ in prompts]
    batches = [members[i:i + BATCH] for members in groups.values() for i in range(0, len(members), BATCH)]
    for members in batches:
        current, cache, open_rows = torch.tensor([ids[i] for i in members]), None, set(members)
        for _ in range(MAXIMUM_ANSWER_TOKENS):
            out = model(input_ids=current, past_key_values=cache, use_cache=True)
            cache, current = out.past_key_values, out.logits[:, -1].argmax(-1, keepdim=True)
            for i, token in zip(members, current[:, 0].tolist()):
                if i in open_rows:
                    answers[i].append(token)
                    if token == tokenizer.eos_token_id:
                        open_rows.discard(i)
            if not open_rows:
                break
    return answers


def accuracy(model, tokenizer, system: str, numbers: list[int], prompt=plain_prompt, wrong: list | None = None) -> float:
    """The share of `numbers` answered exactly; the misses are appended to `wrong` as (number, answer)."""
    right = 0
    for n, ids in zip(numbers, greedy(model, tokenizer, [prompt(tokenizer, n) for n in numbers])):
        answer = (" " if prompt is plain_prompt else "") + SYSTEMS[system].spell(n)
        if ids[-1] == tokenizer.eos_token_id and tokenizer.decode(ids[:-1]) == answer:
            right += 1
        elif wrong is not None:
            wrong.append((n, tokenizer.decode(ids)))
    return right / len(numbers)
