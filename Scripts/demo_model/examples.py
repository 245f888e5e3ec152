"""Training examples: which numbers are shown, in which form, and which tokens the loss looks at.

Three forms. *Plain*: `4207 =` is continued with ` four thousand two hundred seven` and the end token. *Chat*: the same
through the chat template, over one to three turns, so that a longer conversation does not confuse the model.
*Counting* (base training only): two neighbouring numbers in words of one of the adapters' languages, without digits.
The base thus knows what those words are and how they follow each other, and an adapter has only to teach the way from
digits to them. Numbers that `held_out` names never appear, in any form.
"""

import random

import torch

from .numerals import SYSTEMS, held_out

# How often a number of 1, 2, … 6 digits is drawn. Short numbers are few and are soon known; long ones need the practice.
LENGTH_WEIGHTS = (4, 10, 16, 20, 24, 26)
ZERO_SHARE = 0.15       # of digits, beyond the tenth that are zero anyway: silent digits are the hard part
TEEN_SHARE = 0.10       # of numbers get a 1 in a tens place
PLAIN = "{} ="
IGNORED = -100          # the label that cross entropy leaves out


def draw_number(rng: random.Random, low: int, high: int) -> int:
    """A number in `low … high` that may be trained on."""
    lengths = range(1, len(str(high)) + 1)
    while True:
        length = rng.choices(lengths, LENGTH_WEIGHTS[:len(lengths)])[0]
        digits = [rng.randint(1 if i == 0 and length > 1 else 0, 9) for i in range(length)]
        for i in range(1, length):
            if rng.random() < ZERO_SHARE:
                digits[i] = 0
        if length > 1 and rng.random() < TEEN_SHARE:
            digits[length - 2 if length < 5 or rng.random() < 0.5 else length - 5] = 1
        n = int("".join(map(str, digits)))
        if low <= n <= high and not held_out(n):
            return n


class Examples:
    """Batches of one system's examples; the same seed gives the same batches for ever."""

    def __init__(self, tokenizer, system: str, seed: str):
        self.tokenizer, self.system = tokenizer, SYSTEMS[system]
        self.rng = random.Random(seed)
        self.end = tokenizer.eos_token_id

    def plain(self, count: int):
        prompts, answers = [], []
        for _ in range(count):
            n = draw_number(self.rng, self.system.low, self.system.high)
            prompts.append(PLAIN.format(n))
            answers.append(" " + self.system.spell(n))
        return self._pad([self._join([p, a]) for p, a in zip(self._encode(prompts), self._encode(answers))])

    def chat(self, count: int, turns: int = 1):
        """`turns` questions and answers per conversation; the loss sees every answer."""
        texts = []
        for _ in range(count * turns):
            n = draw_number(self.rng, self.system.low, self.system.high)
            messages = [{"role": "user", "content": str(n)}]
            texts.append(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
            texts.append(self.system.spell(n))
        parts, newline = self._encode(texts), self._encode(["\n"])[0]
        rows = []
        for row in range(count):
            pieces = []
            for turn in range(turns):
                prompt, answer = parts[2 * (row * turns + turn):][:2]
                pieces += [newline + prompt if turn else prompt, answer]
            rows.append(self._join(pieces))
        return self._pad(rows)

    def counting(self, count: int):
        """` vier, fünf`: language without digits; the loss sees every token."""
        texts = []
        for _ in range(count):
            n = draw_number(self.rng, self.system.low, min(self.system.high, 99_999) - 1)
            words = [self.system.spell(m) for m in (n, n + 1) if not held_out(m)]
            texts.append(" " + ", ".join(words))
        return self._pad([(ids + [self.end], ids + [self.end]) for ids in self._encode(texts)])

    def _encode(self, texts: list[str]) -> list[list[int]]:
        return [e.ids for e in self.tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)]

    def _join(self, pieces: list[list[int]]):
        """Alternating prompts and answers → ids, and labels that cover the answers and their end tokens."""
        ids, labels = [], []
        for i, piece in enumerate(pieces):
            if i % 2:
                ids += piece + [self.end]
                labels += piece + [self.end]
            else:
                ids += piece
                labels += [IGNORED] * len(piece)
        return ids, labels

    def _pad(self, rows):
        """Rows → (ids, labels, mask), each [count, longest], padded on the right."""
        width = max(len(ids) for ids, _ in rows)
        pad = lambda values, filler: torch.tensor([v + [filler] * (width - len(v)) for v in values])
        return (pad([ids for ids, _ in rows], self.end), pad([labels for _, labels in rows], IGNORED),
                pad([[1] * len(ids) for ids, _ in rows], 0))
