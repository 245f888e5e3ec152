"""The spellings that are easy to get wrong. Run with `python3 -m unittest discover Scripts`; needs no packages."""

import unittest

from demo_model.numerals import SYSTEMS, held_out

EXAMPLES = {
    "english": {0: "zero", 4207: "four thousand two hundred seven", 21_000: "twenty-one thousand"},
    "french": {0: "zéro", 71: "soixante et onze", 80: "quatre-vingts", 81: "quatre-vingt-un", 91: "quatre-vingt-onze",
               200: "deux cents", 201: "deux cent un", 1000: "mille", 80_000: "quatre-vingt mille",
               200_000: "deux cent mille", 180_180: "cent quatre-vingt mille cent quatre-vingts",
               21_000: "vingt et un mille"},
    "german": {1: "eins", 16: "sechzehn", 101: "einhunderteins", 111: "einhundertelf", 1000: "eintausend",
               21_021: "einundzwanzigtausendeinundzwanzig", 101_000: "einhunderteintausend"},
    "spanish": {1: "uno", 31: "treinta y uno", 100: "cien", 101: "ciento uno", 700: "setecientos", 1000: "mil",
                21_000: "veintiún mil", 31_000: "treinta y un mil", 100_000: "cien mil", 101_000: "ciento un mil"},
    "ordinal": {0: "zeroth", 12: "twelfth", 20: "twentieth", 21: "twenty-first", 108: "one hundred eighth",
                1000: "one thousandth"},
    "digits": {0: "zero", 4207: "four two zero seven"},
    "roman": {1: "I", 4: "IV", 1987: "MCMLXXXVII", 3999: "MMMCMXCIX"},
    "japanese": {0: "零", 10: "十", 110: "百十", 1000: "千", 10_000: "一万", 11_111: "一万千百十一",
                 120_000: "十二万", 999_999: "九十九万九千九百九十九"},
}


class NumeralsTest(unittest.TestCase):
    def test_examples(self):
        self.assertEqual(EXAMPLES.keys(), SYSTEMS.keys())
        for system, examples in EXAMPLES.items():
            for n, words in examples.items():
                self.assertEqual(SYSTEMS[system].spell(n), words, (system, n))

    def test_spellings_are_distinct(self):
        for name, system in SYSTEMS.items():
            numbers = range(system.low, min(system.high, 12_000) + 1)
            self.assertEqual(len({system.spell(n) for n in numbers}), len(numbers), name)

    def test_a_tenth_is_held_out(self):
        self.assertFalse(any(held_out(n) for n in range(100)))
        self.assertAlmostEqual(sum(map(held_out, range(1_000_000))) / 1_000_000, 0.1, delta=0.005)


if __name__ == "__main__":
    unittest.main()
