"""The two training loops: the base model from nothing, an adapter on the frozen base.

Both are plain: AdamW, warm-up and cosine decay, clipped gradients, float32 on the CPU. What is saved is bfloat16; the
adapters are trained on the base as saved, so they are fitted to the weights that will be served.
"""

import math
import time

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM
from transformers.models.qwen3_moe import modeling_qwen3_moe

from .examples import IGNORED, Examples
from .numerals import SYSTEMS

VOCABULARY_MULTIPLE = 64
BALANCE_WEIGHT = 0.01       # of the router's load-balancing loss
CLIP = 1.0
REPORT_STEPS = 50
CHECK_STEPS = 200


def new_model(tokenizer) -> Qwen3MoeForCausalLM:
    """A small mixture of experts with every feature of the large ones: grouped-query attention with per-head norms,
    8 experts of which each token takes 2, untied embeddings."""
    size = -len(tokenizer) % VOCABULARY_MULTIPLE + len(tokenizer)
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(
        vocab_size=size, hidden_size=128, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        head_dim=32, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=128, intermediate_size=384,
        norm_topk_prob=True, max_position_embeddings=512, rope_theta=10_000.0, tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=None,
        initializer_range=0.05))


def sorted_experts(experts, hidden, indices, weights):
    """The same sum as the library's loop over experts, with less to do per step: tokens are sorted by expert once, and
    the stacked weights are unbound once, so that their gradient is built once and not per expert.

    hidden [tokens, width], indices and weights [tokens, experts per token]."""
    order = indices.reshape(-1).argsort(stable=True)
    counts = torch.bincount(indices.reshape(-1), minlength=experts.num_experts).tolist()
    rows = order // indices.shape[1]
    outputs = []
    for x, gate_up, down in zip(hidden[rows].split(counts), experts.gate_up_proj.unbind(0), experts.down_proj.unbind(0)):
        gate, up = F.linear(x, gate_up).chunk(2, -1)
        outputs.append(F.linear(F.silu(gate) * up, down))
    summands = torch.cat(outputs) * weights.reshape(-1)[order].unsqueeze(1)
    return torch.zeros_like(hidden).index_add(0, rows, summands)


def use_sorted_experts() -> None:
    """For training only: what is measured and recorded afterwards runs the library's own code."""
    modeling_qwen3_moe.Qwen3MoeExperts.forward = sorted_experts


def schedule(step: int, steps: int, warmup: int) -> float:
    """The share of the peak learning rate at `step`: linear warm-up, then a cosine down to a hundredth."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def answer_loss(model, batch, balance: float = 0.0) -> torch.Tensor:
    """Mean cross entropy over the labelled tokens, plus the routers' balance loss."""
    ids, labels, mask = batch
    out = model(input_ids=ids, attention_mask=mask, use_cache=False, output_router_logits=balance > 0)
    targets = labels[:, 1:]
    wanted = targets != IGNORED
    loss = F.cross_entropy(out.logits[:, :-1][wanted], targets[wanted])
    return loss + balance * out.aux_loss if balance > 0 else loss


def run(model, parameters, batches, steps: int, rate: float, warmup: int, balance: float, log,
        decay: float = 0.01, check=None):
    """`steps` updates; `batches(step)` yields (weight, batch) pairs whose weighted losses make one update."""
    optimizer = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=decay)
    model.train()
    began, recent = time.monotonic(), 0.0
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * schedule(step, steps, warmup)
        for weight, batch in batches(step):
            loss = answer_loss(model, batch, balance)
            (weight * loss).backward()
            recent += weight * loss.item()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if (step + 1) % REPORT_STEPS == 0:
            log(f"step {step + 1}/{steps} loss {recent / REPORT_STEPS:.4f} {time.monotonic() - began:.0f} s")
            recent = 0.0
        if check and (step + 1) % CHECK_STEPS == 0:
            model.eval()
            log(f"    held-out exact match {check(model):.3f}")
            model.train()
    model.eval()


def train_base(tokenizer, seed: int, steps: int, log, check=None) -> Qwen3MoeForCausalLM:
    torch.manual_seed(seed)
    model = new_model(tokenizer)
    english = Examples(tokenizer, "english", f"{seed} english")
    others = [Examples(tokenizer, name, f"{seed} counting {name}") for name in SYSTEMS if name != "english"]

    def batches(step):
        yield 0.55, english.plain(64)
        # Longer conversations come in the second half, when single turns are understood.
        turns = english.rng.choice((1, 1, 2, 3)) if step > steps // 2 else 1
        yield 0.45, english.chat(36 // turns, turns)
        if step % 3 == 0:
            yield 0.3, others[step // 3 % len(others)].counting(32)

    log(f"base: {sum(p.numel() for p in model.parameters()):,} parameters")
    run(model, list(model.parameters()), batches, steps, rate=3e-3, warmup=100, balance=BALANCE_WEIGHT, log=log,
        check=check)
    return model.to(torch.bfloat16)


def train_adapter(base, tokenizer, system: str, settings: dict, rate: float, seed: int, steps: int, log,
                  check=None):
    """`base` is in float32 and comes back wrapped; returns the PeftModel."""
    torch.manual_seed(seed)
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, bias="none", **settings))
    parameters = [p for p in model.parameters() if p.requires_grad]
    examples = Examples(tokenizer, system, f"{seed} {system}")

    def batches(step):
        yield 0.55, examples.plain(48)
        turns = examples.rng.choice((1, 1, 1, 2))
        yield 0.45, examples.chat(32 // turns, turns)

    log(f"{system}: {sum(p.numel() for p in parameters):,} parameters")
    run(model, parameters, batches, steps, rate=rate, warmup=30, balance=0.0, log=log, decay=0.0,
        check=check)
    return model
