"""The stages of `train-demo`: base, adapters, accuracy, golden file. Each leaves its product in the output directory,
and a stage whose product is there is skipped, so an interrupted run goes on where it stopped."""

import argparse
import json
import multiprocessing
import os
import shutil
import time

import torch
from peft import PeftModel
from transformers import AutoTokenizer, Qwen3MoeForCausalLM
from transformers.utils import logging

from . import golden, measure, training
from .numerals import SYSTEMS
from .tokens import make_tokenizer

SEED = 7
BASE_STEPS = 1800
BASE_NAME = "berth-demo"
PROBE_COUNT = 60            # held-out numbers looked at during training; the final measure takes MEASURE_COUNT
MEASURE_COUNT = 600
ACCURACY_FLOOR = 0.95

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
# Ranks, targets and scalings differ on purpose: together they exercise what an adapter server must get right.
ADAPTERS = {
    "french": (600, 6e-3, dict(r=16, lora_alpha=32, target_modules=ATTENTION + ["lm_head"])),
    "german": (1100, 6e-3, dict(r=24, lora_alpha=48, target_modules=ATTENTION)),
    "spanish": (900, 6e-3, dict(r=16, lora_alpha=8, use_rslora=True, target_modules=ATTENTION + ["lm_head"])),
    "ordinal": (400, 6e-3, dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "o_proj", "lm_head"])),
    "roman": (900, 6e-3, dict(r=32, lora_alpha=64, target_modules=ATTENTION + ["lm_head"])),
    "digits": (500, 6e-3, dict(r=8, lora_alpha=16, target_modules=["q_proj", "k_proj", "v_proj"])),
    "japanese": (1100, 6e-3, dict(r=12, lora_alpha=24, target_modules=ATTENTION + ["embed_tokens"],
                                  rank_pattern={"v_proj": 24, "embed_tokens": 6}, alpha_pattern={"v_proj": 48})),
}


def prepare_torch(threads: int) -> None:
    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)


def say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def probe(tokenizer, system: str):
    """A quick look at accuracy, for the log of a training run."""
    numbers = measure.held_out_numbers(system, PROBE_COUNT, "probe")
    return lambda model: sum(measure.accuracy(model, tokenizer, system, numbers, prompt)
                             for prompt in (measure.plain_prompt, measure.chat_prompt)) / 2


def load_base(out: str) -> Qwen3MoeForCausalLM:
    return Qwen3MoeForCausalLM.from_pretrained(out, dtype=torch.float32).eval()


def write_json(path: str, value, **options) -> None:
    with open(path, "w") as file:
        json.dump(value, file, ensure_ascii=False, **options)
        file.write("\n")


def tidy_json(path: str, remove=(), **changes) -> None:
    """Rewrites a JSON file without what only says how and where it was made."""
    with open(path) as file:
        value = json.load(file)
    write_json(path, {k: v for k, v in value.items() if k not in remove} | changes, indent=2)


def base_stage(out: str, threads: int) -> None:
    if os.path.exists(f"{out}/model.safetensors"):
        return say("base: already there")
    prepare_torch(threads)
    tokenizer = make_tokenizer()
    training.use_sorted_experts()
    model = training.train_base(tokenizer, SEED, BASE_STEPS, say, probe(tokenizer, "english"))
    save_base(model, tokenizer, out)


def save_base(model, tokenizer, out: str) -> None:
    tokenizer.save_pretrained(out)
    tidy_json(f"{out}/tokenizer_config.json", remove=("is_local", "local_files_only"))
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(out)
    os.chmod(f"{out}/model.safetensors", 0o644)
    tidy_json(f"{out}/generation_config.json", remove=("_from_model_config",))


def adapter_stage(out: str, system: str, threads: int) -> None:
    directory = f"{out}/adapters/{system}"
    if os.path.exists(f"{directory}/adapter_model.safetensors"):
        return say(f"{system}: already there")
    prepare_torch(threads)
    tokenizer = AutoTokenizer.from_pretrained(out)
    training.use_sorted_experts()
    steps, rate, settings = ADAPTERS[system]
    model = training.train_adapter(load_base(out), tokenizer, system, settings, rate, SEED, steps,
                                   lambda text: say(f"{system:9} {text}"), probe(tokenizer, system))
    save_adapter(model, directory)


def save_adapter(model, directory: str) -> None:
    """As PEFT saves it, in bfloat16; without the copy of a targeted embedding that PEFT would add, and without the
    model card, which would name local paths."""
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(torch.bfloat16)
    model.save_pretrained(f"{directory}.part", save_embedding_layers=False)
    os.remove(f"{directory}.part/README.md")
    os.chmod(f"{directory}.part/adapter_model.safetensors", 0o644)
    tidy_json(f"{directory}.part/adapter_config.json", base_model_name_or_path=BASE_NAME,
              target_modules=sorted(ADAPTERS[os.path.basename(directory)][2]["target_modules"]))
    os.rename(f"{directory}.part", directory)


def each_model(out: str):
    """(system, model in float32 with the weights as saved), the base first."""
    yield "english", load_base(out)
    for system in ADAPTERS:
        if os.path.isdir(f"{out}/adapters/{system}"):
            yield system, PeftModel.from_pretrained(load_base(out), f"{out}/adapters/{system}").eval()


def describe(out: str, system: str) -> str:
    if system == "english":
        return "base model"
    with open(f"{out}/adapters/{system}/adapter_config.json") as file:
        config = json.load(file)
    ranks = [str(config["r"])] + [f"{k} {v}" for k, v in sorted(config["rank_pattern"].items())]
    scaling = " rsLoRA" if config["use_rslora"] else ""
    return f"rank {', '.join(ranks)}{scaling}; {', '.join(sorted(config['target_modules']))}"


def accuracy_stage(out: str, threads: int) -> bool:
    """Writes ACCURACY.md; false if any accuracy is under the floor."""
    prepare_torch(threads)
    tokenizer = AutoTokenizer.from_pretrained(out)
    lines, good = [], True
    for system, model in each_model(out):
        numbers, wrong = measure.held_out_numbers(system, MEASURE_COUNT, "final"), []
        plain = measure.accuracy(model, tokenizer, system, numbers, measure.plain_prompt, wrong)
        chat = measure.accuracy(model, tokenizer, system, numbers, measure.chat_prompt, wrong)
        good &= min(plain, chat) >= ACCURACY_FLOOR
        low, high = SYSTEMS[system].low, SYSTEMS[system].high
        example = SYSTEMS[system].spell(1987)
        lines.append(f"| {system} | {describe(out, system)} | {low}–{high} | {len(numbers)} | {plain:.1%} | {chat:.1%} | {example} |")
        say(f"{lines[-1]} {wrong[:3]}")
    with open(f"{out}/ACCURACY.md", "w") as file:
        file.write("# Accuracy of the demo model\n\n"
                   f"Exact match on {MEASURE_COUNT} numbers per row (for Roman: all there are) that no training saw (`held_out` in "
                   "`Scripts/demo_model/numerals.py`), greedy\ndecoding with transformers and PEFT in float32 on the "
                   "weights as saved (bfloat16). An answer counts only if every letter\nis right and the model then "
                   "ends by itself. Half the numbers are uniform over the range, half spread over 3 and more digits.\n"
                   "`Scripts/train-demo` trains all of it and writes this table.\n\n"
                   "Two forms of prompt: *plain* is the number, a space and an equals sign (`1987 =`), answered with a "
                   "space and the words;\n*chat* is a user message that is the number alone, answered with the words.\n\n"
                   "| model | weights | range | measured | plain `1987 =` | chat | 1987 |\n|---|---|---|---|---|---|---|\n"
                   + "\n".join(lines) + "\n")
    return good


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="train-demo", description="Trains the demo model, its tokenizer and its "
                                     "adapters, and measures them. Finished parts are kept; --fresh starts over.")
    parser.add_argument("--out", default="Deploy/demo", help="where the checkpoint goes (default: %(default)s)")
    parser.add_argument("--golden", default="Tests/BerthServerTests/Fixtures/demo-golden.json",
                        help="where the reference answers for the tests go (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="adapters trained at a time (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1,
                        help="threads of each training (default: %(default)s; other counts round differently)")
    parser.add_argument("--only", nargs="*", help="train only these adapters, and leave the base as it is")
    parser.add_argument("--fresh", action="store_true", help="remove the output directory first")
    options = parser.parse_args(arguments)
    if options.fresh and os.path.isdir(options.out):
        shutil.rmtree(options.out)
    os.makedirs(f"{options.out}/adapters", exist_ok=True)
    wanted = list(ADAPTERS) if options.only is None else options.only
    # One process per training: at this size two single-threaded trainings beat one on two threads, and what training
    # changes in the library stays out of this process, which measures.
    with multiprocessing.get_context("spawn").Pool(options.jobs, maxtasksperchild=1) as pool:
        pool.apply(base_stage, (options.out, options.threads))
        pool.starmap(adapter_stage, [(options.out, system, options.threads) for system in wanted], chunksize=1)
    good = accuracy_stage(options.out, options.threads)
    golden.write(options.golden, each_model(options.out), AutoTokenizer.from_pretrained(options.out))
    if not good:
        say(f"an accuracy is under {ACCURACY_FLOOR:.0%}")
    return 0 if good else 1
