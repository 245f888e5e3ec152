// The sets of characters by which pre-tokenizers and normalizers decide.
//
// The reference takes them from Rust's standard library and from crates of various ages. The Swift library's tables are of
// another Unicode version, so these come from `UnicodeTables`, where the reference's own answers are written down.

enum CharacterSet {
    /// The property White_Space (it has not changed since Unicode 6.3).
    @inline(__always)
    static func isWhiteSpace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09...0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }

    private static let numbers = ScalarSet(named: "number")
    private static let punctuation = ScalarSet(named: "punctuation")
    private static let words = ScalarSet(named: "word")
    private static let marks = ScalarSet(named: "mark")

    /// The categories Nd, Nl and No.
    static func isNumeric(_ scalar: Unicode.Scalar) -> Bool { numbers.contains(scalar) }

    /// ASCII punctuation (symbols such as `$` included) and the categories that begin with P.
    static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool { punctuation.contains(scalar) }

    /// What `\w` matches in Rust's regular expressions: alphabetic, marks, decimal digits, connectors, join controls.
    static func isWord(_ scalar: Unicode.Scalar) -> Bool { words.contains(scalar) }

    /// The categories that begin with M.
    static func isMark(_ scalar: Unicode.Scalar) -> Bool { marks.contains(scalar) }
}
