// The classes of characters in patterns, and how they are written for PCRE2.
//
// Each release of Unicode adds letters. What `\p{L}` means must depend on the tokenizer and not on the PCRE2 of the
// machine: classes name PCRE2's property and add, as ranges, the characters that Oniguruma's Unicode (16) knows and
// PCRE2 10.36 to 10.43 (Unicode 13 or 14) may not (`UnicodeTables.additions`). White space is listed in full, because
// PCRE2's `\s` also takes U+180E.

import BerthCore

/// A set of characters, as the text between the brackets of a PCRE2 class.
struct UnicodeClass {
    let body: String

    static let whiteSpace = UnicodeClass(body: #"\t-\r\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"#)
    static let hexadecimal = UnicodeClass(body: "0-9a-fA-F")
    static let digit = UnicodeClass(categories: ["Nd"])
    /// Letters, marks, decimal digits, letter numbers, connectors and the circled letters.
    static let word = UnicodeClass(
        categories: ["L", "M", "Nd", "Nl", "Pc"], also: #"\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189}"#)

    /// What Oniguruma's `\w` and `\b` take for words outside of brackets: there its table of Latin-1 counts ², ³, ¹, ¼, ½ and ¾ in.
    static let wordOutsideBrackets = UnicodeClass(body: word.body + #"\x{b2}\x{b3}\x{b9}\x{bc}-\x{be}"#)

    private init(body: String) { self.body = body }

    /// The union of general categories ("L" means all that begin with L).
    private init(categories: [String], also: String = "") {
        body = categories.map { "\\p{\($0)}" + UnicodeTables.additionRanges(ofCategory: $0) }.joined() + also
    }

    /// The class that Oniguruma calls `property`, in `\p{…}` or `[:…:]`.
    init(property: String, at path: String) throws(TextError) {
        let name = property.lowercased().filter { $0 != " " && $0 != "_" && $0 != "-" }
        if let category = Self.categories[name] {
            self.init(categories: [category])
            return
        }
        switch name {
        case "alpha", "alphabetic": self.init(categories: ["L", "Nl"], also: #"\p{Alphabetic}"#)
        case "alnum": self.init(categories: ["L", "Nl", "Nd"], also: #"\p{Alphabetic}"#)
        case "digit": self = .digit
        case "word", "w": self = .word
        case "space", "whitespace", "wspace": self = .whiteSpace
        case "xdigit": self = .hexadecimal
        case "upper", "uppercase": self.init(categories: ["Lu"], also: #"\p{Uppercase}"#)
        case "lower", "lowercase": self.init(categories: ["Ll"], also: #"\p{Lowercase}"#)
        case "punct": self.init(categories: ["P", "S"])
        case "cntrl": self.init(categories: ["Cc"])
        case "blank": self.init(categories: ["Zs"], also: #"\t"#)
        case "any": self.init(body: #"\x{0}-\x{10ffff}"#)
        case "ascii": self.init(body: #"\x00-\x7f"#)
        default:
            // A script (PCRE2 would include characters that are merely used with it) or a property of the same name.
            guard !name.isEmpty, name.utf8.allSatisfy({ $0 >= UInt8(ascii: "a") && $0 <= UInt8(ascii: "z") || $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }) else {
                throw TextError(.unsupported, "\(path): the property '\(property)' in a regular expression")
            }
            self.init(body: Self.properties.contains(name) ? "\\p{\(name)}" : "\\p{sc:\(name)}" + UnicodeTables.additionRanges(ofCategory: name))
        }
    }

    /// Oniguruma's names of general categories, without separators and in lower case, to the short ones.
    private static let categories: [String: String] = {
        let long = [
            "Lu": "uppercaseletter", "Ll": "lowercaseletter", "Lt": "titlecaseletter", "Lm": "modifierletter", "Lo": "otherletter", "L": "letter",
            "Mn": "nonspacingmark", "Mc": "spacingmark", "Me": "enclosingmark", "M": "mark", "Nd": "decimalnumber", "Nl": "letternumber",
            "No": "othernumber", "N": "number", "Pc": "connectorpunctuation", "Pd": "dashpunctuation", "Ps": "openpunctuation",
            "Pe": "closepunctuation", "Pi": "initialpunctuation", "Pf": "finalpunctuation", "Po": "otherpunctuation", "P": "punctuation",
            "Sm": "mathsymbol", "Sc": "currencysymbol", "Sk": "modifiersymbol", "So": "othersymbol", "S": "symbol", "Zs": "spaceseparator",
            "Zl": "lineseparator", "Zp": "paragraphseparator", "Z": "separator", "Cc": "control", "Cf": "format", "Co": "privateuse",
            "Cs": "surrogate", "Cn": "unassigned", "C": "other",
        ]
        var names = ["combiningmark": "M"]
        for (short, name) in long {
            names[short.lowercased()] = short
            names[name] = short
        }
        return names
    }()

    private static let properties: Set<String> = ["emoji", "emojipresentation", "emojimodifier", "emojimodifierbase", "emojicomponent", "extendedpictographic"]
}

/// One element of a class in brackets.
enum ClassMember {
    case scalar(Unicode.Scalar)
    case range(Unicode.Scalar, Unicode.Scalar)
    case set(UnicodeClass, isNegated: Bool)
}

/// The elements of a class, as far as PCRE2 can list them in brackets, and the others as expressions beside it.
struct ClassBody {
    private var items = ""
    private var expressions: [String] = []

    mutating func add(_ member: ClassMember) {
        switch member {
        case .scalar(let scalar): items += OnigurumaPattern.literal(scalar)
        case .range(let low, let high): items += OnigurumaPattern.literal(low) + "-" + OnigurumaPattern.literal(high)
        case .set(let set, isNegated: false): items += set.body
        case .set(let set, isNegated: true): expressions.append("[^\(set.body)]")
        }
    }

    /// Adds all that `expression`, which matches one character, matches.
    mutating func add(expression: String) { expressions.append(expression) }

    /// An expression for one character of the class.
    var rendered: String {
        let listed = items.isEmpty ? [] : ["[\(items)]"]
        let all = listed + expressions
        if all.isEmpty { return "(?!)" }
        return all.count == 1 ? all[0] : "(?:\(all.joined(separator: "|")))"
    }

    /// An expression for one character that is in all of `bodies`; when negated, for one that is not.
    static func intersection(_ bodies: [ClassBody], isNegated: Bool) -> String {
        if bodies.count == 1, bodies[0].expressions.isEmpty {
            return isNegated ? "[^\(bodies[0].items)]" : "[\(bodies[0].items)]"
        }
        let conditions = bodies.dropLast().map { "(?=\($0.rendered))" }.joined()
        let expression = conditions + bodies[bodies.count - 1].rendered
        // Lookarounds first, then exactly one character: lookbehinds can still tell its length.
        return isNegated ? "(?:(?!\(expression))(?s:.))" : "(?:\(expression))"
    }
}
