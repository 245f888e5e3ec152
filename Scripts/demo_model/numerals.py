"""Numbers as words: what the demo model is taught, one function per language or system.

Every function takes an integer and returns the one spelling that counts as right. The same functions make the
training examples and mark the answers, so accuracy is exact match against them and nothing softer. Ranges are in
`SYSTEMS`; the English cardinals are the base model's task, all the rest are adapters'.
"""

from typing import Callable, NamedTuple

ENGLISH_ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
                "sixteen seventeen eighteen nineteen").split()
ENGLISH_TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()


def english(n: int) -> str:
    """`4207` → four thousand two hundred seven (American: no "and")."""
    if n < 20:
        return ENGLISH_ONES[n]
    if n < 100:
        return ENGLISH_TENS[n // 10] + ("-" + ENGLISH_ONES[n % 10] if n % 10 else "")
    size, word = (1000, " thousand") if n >= 1000 else (100, " hundred")
    return english(n // size) + word + (" " + english(n % size) if n % size else "")


IRREGULAR_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
                      "nine": "ninth", "twelve": "twelfth"}


def ordinal(n: int) -> str:
    """`4207` → four thousand two hundred seventh: only the last word changes."""
    words = english(n)
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[cut:]
    if last in IRREGULAR_ORDINALS:
        last = IRREGULAR_ORDINALS[last]
    else:
        last = last[:-1] + "ieth" if last.endswith("y") else last + "th"
    return words[:cut] + last


def digits(n: int) -> str:
    """`4207` → four two zero seven."""
    return " ".join(ENGLISH_ONES[int(d)] for d in str(n))


FRENCH_ONES = ("zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize "
               "dix-sept dix-huit dix-neuf").split()
FRENCH_TENS = "- - vingt trente quarante cinquante soixante".split()


def french(n: int, before_thousand: bool = False) -> str:
    """Traditional spelling of France; `before_thousand` drops the plural s of cents and quatre-vingts."""
    plural = "" if before_thousand else "s"
    if n < 20:
        return FRENCH_ONES[n]
    if n < 70:
        tens, one = FRENCH_TENS[n // 10], n % 10
        return tens if one == 0 else tens + " et un" if one == 1 else f"{tens}-{FRENCH_ONES[one]}"
    if n < 80:
        return "soixante et onze" if n == 71 else "soixante-" + FRENCH_ONES[n - 60]
    if n < 100:
        return "quatre-vingt" + plural if n == 80 else "quatre-vingt-" + FRENCH_ONES[n - 80]
    if n < 1000:
        head = "cent" if n < 200 else FRENCH_ONES[n // 100] + " cent"
        if n % 100 == 0:
            return head + (plural if n >= 200 else "")
        return head + " " + french(n % 100, before_thousand)
    head = "mille" if n < 2000 else french(n // 1000, True) + " mille"
    return head + (" " + french(n % 1000) if n % 1000 else "")


GERMAN_ONES = ("null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn "
               "sechzehn siebzehn achtzehn neunzehn").split()
GERMAN_TENS = "- - zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()


def german(n: int, final: bool = True) -> str:
    """One compound word; the ones come before the tens, and a final 1 is `eins`."""
    if n < 20:
        return "eins" if n == 1 and final else GERMAN_ONES[n]
    if n < 100:
        return (GERMAN_ONES[n % 10] + "und" if n % 10 else "") + GERMAN_TENS[n // 10]
    size, word = (1000, "tausend") if n >= 1000 else (100, "hundert")
    return german(n // size, False) + word + (german(n % size, final) if n % size else "")


SPANISH_ONES = ("cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis "
                "diecisiete dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco "
                "veintiséis veintisiete veintiocho veintinueve").split()
SPANISH_TENS = "- - - treinta cuarenta cincuenta sesenta setenta ochenta noventa".split()
SPANISH_HUNDREDS = ("- ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos "
                    "novecientos").split()


def spanish(n: int, before_thousand: bool = False) -> str:
    """Masculine; `before_thousand` shortens a final uno (veintiún mil)."""
    if n < 30:
        if before_thousand and n in (1, 21):
            return {1: "un", 21: "veintiún"}[n]
        return SPANISH_ONES[n]
    if n < 100:
        return SPANISH_TENS[n // 10] + (" y " + spanish(n % 10, before_thousand) if n % 10 else "")
    if n < 1000:
        if n == 100:
            return "cien"
        return SPANISH_HUNDREDS[n // 100] + (" " + spanish(n % 100, before_thousand) if n % 100 else "")
    head = "mil" if n < 2000 else spanish(n // 1000, True) + " mil"
    return head + (" " + spanish(n % 1000) if n % 1000 else "")


ROMAN = ((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"),
         (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))


def roman(n: int) -> str:
    """`1987` → MCMLXXXVII."""
    out = ""
    for value, letters in ROMAN:
        out += letters * (n // value)
        n %= value
    return out


JAPANESE_ONES = "零一二三四五六七八九"


def japanese(n: int) -> str:
    """`4207` → 四千二百七. Groups of ten thousand; a one is written before 万 but not before 千, 百 and 十."""
    if n == 0:
        return "零"
    out = ""
    for size, character in ((10_000, "万"), (1000, "千"), (100, "百"), (10, "十")):
        count, n = divmod(n, size)
        if count:
            out += ("" if count == 1 and size < 10_000 else japanese(count)) + character
    return out + (JAPANESE_ONES[n] if n else "")


class System(NamedTuple):
    spell: Callable[[int], str]
    low: int    # the smallest number it can write
    high: int   # the largest


SYSTEMS = {
    "english": System(english, 0, 999_999),
    "french": System(french, 0, 999_999),
    "german": System(german, 0, 999_999),
    "spanish": System(spanish, 0, 999_999),
    "japanese": System(japanese, 0, 999_999),
    "ordinal": System(ordinal, 0, 999_999),
    "digits": System(digits, 0, 999_999),
    "roman": System(roman, 1, 3999),
}


def held_out(n: int) -> bool:
    """Whether `n` is kept out of all training (the base's and every adapter's) to measure on. A tenth of the numbers
    from 100 up, scattered by a multiplicative hash; below 100 every number is a word of its own and must be taught."""
    return n >= 100 and ((n * 0x9E3779B1 & 0xFFFFFFFF) >> 16) % 10 == 0
