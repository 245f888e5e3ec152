"""The demo model's tokenizer: a byte-level BPE in the manner of Qwen2, with ChatML.

Digits are single tokens (the pre-tokenizer splits them), and the number words of all systems are one or a few tokens
each. Only some of the kanji are merged, on purpose: the others take two or three tokens, so that streaming Japanese
passes through halves of characters, as it does in large models.
"""

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from . import numerals

QWEN2_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
               r"|\s*[\r\n]+|\s+(?!\S)|\s+")
CHATML = ("{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
          "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGED_KANJI = "一二三四五九十百千万"
MAXIMUM_VOCABULARY = 960


def atoms() -> list[str]:
    """The pieces that number words are made of, as the pre-tokenizer would cut them: a word alone (a chat answer
    begins so), after a space, after a hyphen."""
    n = numerals
    german = [w for w in n.GERMAN_ONES if not w.endswith("zehn")] + n.GERMAN_TENS[2:] + [
        "eins", "und", "hundert", "tausend", "zehn", "sech", "sieb", "achthundert", "achttausend", "eintausend",
        "viertausend"]
    spanish = n.SPANISH_ONES + n.SPANISH_TENS[3:] + n.SPANISH_HUNDREDS[1:] + ["un", "veintiún", "cien", "mil", "y"]
    french = [w for w in n.FRENCH_ONES if "-" not in w] + n.FRENCH_TENS[2:] + ["vingts", "cent", "cents", "mille", "et"]
    english = n.ENGLISH_ONES + n.ENGLISH_TENS[2:] + ["hundred", "thousand"]
    ordinals = [n.ordinal(i) for i in [*range(20), *range(20, 100, 10)]] + ["hundredth", "thousandth"]
    free = english + ordinals + french + spanish + german
    hyphened = [w for w in french if w != "et"] + english[:10] + ordinals[:10]
    return ([w for w in free] + [" " + w for w in free] + ["-" + w for w in hyphened]
            + list(MERGED_KANJI) + ["user", "assistant", "system", " ="])


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Trains the BPE on the atoms; the same atoms always give the same tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(atoms(), trainers.BpeTrainer(
        vocab_size=MAXIMUM_VOCABULARY, special_tokens=SPECIAL, min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|im_end|>",
                                   model_max_length=512)
    fast.chat_template = CHATML
    return fast
