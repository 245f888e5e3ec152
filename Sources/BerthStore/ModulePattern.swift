// Matching of `rank_pattern` and `alpha_pattern` keys against module paths, as PEFT does it.
//
// PEFT (utils/other.py, `get_pattern_key`) tries the keys in their order and takes the first for which Python's
// `re.match(rf"(.*\.)?({key})$", path)` succeeds: keys are regular expressions, mostly plain path endings. Plain ones are
// compared here directly; the others run in PCRE2 with a bound on steps, since a pattern out of a file may backtrack for
// ever.

import BerthCore
import CPCRE2

/// The keys of a pattern dictionary in their order, ready to match.
struct ModulePatterns<Value> {
    private var patterns: [(pattern: ModulePattern, value: Value)] = []

    /// Throws, naming `field` and the key, where a key is no regular expression.
    init(_ members: some Sequence<(key: String, value: Value)>, field: String) throws(AdapterRejection) {
        for (key, value) in members {
            patterns.append((try ModulePattern(key, field: field), value))
        }
    }

    /// The value of the first key that matches `path`.
    func value(for path: String) throws(AdapterRejection) -> Value? {
        for (pattern, value) in patterns where try pattern.matches(path) { return value }
        return nil
    }
}

/// One key. Not Sendable: the match data of the expression is reused.
private final class ModulePattern {
    private let key: String
    private let field: String
    private let plain: [UInt8]?
    private var code: OpaquePointer?
    private var matchData: OpaquePointer?
    private var context: OpaquePointer?

    init(_ key: String, field: String) throws(AdapterRejection) {
        self.key = key
        self.field = field
        let bytes = Array(key.utf8)
        let isPlain = bytes.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "_"), UInt8(ascii: "."): true
            default: false
            }
        }
        plain = isPlain ? bytes : nil
        guard bytes.count <= Limits.adapterPatternBytes else {
            throw AdapterRejection(field, "\(field) has a key longer than \(Limits.adapterPatternBytes) bytes")
        }
        if !isPlain { try compile() }
    }

    private func compile() throws(AdapterRejection) {
        let expression = Array("(.*\\.)?(\(key))$".utf8)
        var errorCode: Int32 = 0
        var errorOffset = 0
        code = pcre2_compile_8(
            expression, expression.count, UInt32(PCRE2_ANCHORED) | UInt32(PCRE2_NEVER_BACKSLASH_C), &errorCode, &errorOffset, nil)
        guard code != nil else {
            throw AdapterRejection(field, "\(field) key '\(key)' is not a valid regular expression (error \(errorCode))")
        }
        matchData = pcre2_match_data_create_8(1, nil)
        context = pcre2_match_context_create_8(nil)
        pcre2_set_match_limit_8(context, UInt32(Limits.adapterPatternSteps))
        pcre2_set_depth_limit_8(context, UInt32(Limits.adapterPatternSteps))
    }

    deinit {
        pcre2_match_context_free_8(context)
        pcre2_match_data_free_8(matchData)
        pcre2_code_free_8(code)
    }

    func matches(_ path: String) throws(AdapterRejection) -> Bool {
        let subject = Array(path.utf8)
        if let plain { return Self.ends(subject, with: plain) }
        let result = pcre2_match_8(code, subject, subject.count, 0, 0, matchData, context)
        if result >= 0 || result == 0 { return true }
        guard result == PCRE2_ERROR_NOMATCH else {
            throw AdapterRejection(field, "\(field) key '\(key)' takes too long to match")
        }
        return false
    }

    /// Whether `path` ends with `plain` at its start or after a dot; a dot in `plain` stands for any character.
    private static func ends(_ path: [UInt8], with plain: [UInt8]) -> Bool {
        let start = path.count - plain.count
        guard start >= 0, start == 0 || path[start - 1] == UInt8(ascii: ".") else { return false }
        return zip(path[start...], plain).allSatisfy { $0 == $1 || $1 == UInt8(ascii: ".") }
    }
}
