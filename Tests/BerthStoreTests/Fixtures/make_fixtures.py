"""Makes the PEFT adapters in this folder and the weight differences they must give (delta.safetensors).

Run in an environment with torch, transformers (5), peft (0.19 or newer) and safetensors. Deterministic.
"""
import pathlib, shutil
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.layer import ParamWrapper
from safetensors.torch import save_file
from transformers import MixtralConfig, MixtralForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

HERE = pathlib.Path(__file__).parent
SIZES = dict(vocab_size=20, hidden_size=8, intermediate_size=10, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
             head_dim=4, max_position_embeddings=32, bos_token_id=0, eos_token_id=1)


def qwen():
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(**SIZES, moe_intermediate_size=6, num_experts=3, num_experts_per_tok=2, tie_word_embeddings=False))


def mixtral():
    return MixtralForCausalLM(MixtralConfig(**SIZES, num_local_experts=3, num_experts_per_tok=2, tie_word_embeddings=False))


def clean(name):
    return name.removeprefix("base_model.model.").replace(".base_layer", "")


def make(name, model, dtype=torch.float32, **options):
    torch.manual_seed(7)
    peft = get_peft_model(model.eval(), LoraConfig(task_type="CAUSAL_LM", **options))
    for key, value in peft.named_parameters():
        if "lora_" in key:
            value.data = torch.randn_like(value).to(dtype).float()
    deltas = {}
    for key, module in peft.named_modules():
        if not hasattr(module, "lora_A") or not hasattr(module, "get_delta_weight"):
            continue
        if isinstance(module, ParamWrapper) and module.num_experts == 1:
            delta = module.lora_B["default"].weight @ module.lora_A["default"].weight * module.scaling["default"]
        else:
            delta = module.get_delta_weight("default")
        path = clean(key)
        if isinstance(module, ParamWrapper):
            path += "." + module.parameter_name
        deltas[path] = delta.detach().float().contiguous()
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    for key, value in peft.named_parameters():
        if "lora_" in key:
            value.data = value.data.to(dtype)
    peft.save_pretrained(folder)
    for extra in folder.glob("README.md"):
        extra.unlink()
    save_file(deltas, folder / "delta.safetensors")
    print(name, {key: tuple(value.shape) for key, value in deltas.items()})


torch.manual_seed(1)
make("plain", qwen(), r=4, lora_alpha=6, target_modules=["q_proj", "o_proj"])
make("patterns", qwen(), r=4, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "k_proj", "v_proj"],
     rank_pattern={"layers.1.self_attn.q_proj": 2, r"model\.layers\.0\..*k_proj": 3, "v_proj": 5}, alpha_pattern={r".*\.0\.self_attn\.(q|k)_proj": 9, "v_proj": 1})
make("embeddings", qwen(), r=3, lora_alpha=5, target_modules=["embed_tokens", "lm_head", "v_proj"])
make("fused", qwen(), dtype=torch.bfloat16, r=6, lora_alpha=12, target_modules=["q_proj"],
     target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"], rank_pattern={"experts.gate_up_proj": 2, "experts.down_proj": 3})
make("fused-down", qwen(), dtype=torch.float16, r=2, lora_alpha=3, target_modules=[], target_parameters=["mlp.experts.down_proj"])
make("mixtral", mixtral(), r=2, lora_alpha=4, target_modules=["q_proj"], target_parameters=["mlp.experts.gate_up_proj", "mlp.gate.weight"])
