// A pattern that pre-tokenizers, normalizers and decoders search for: plain bytes, or a regular expression run by PCRE2.
//
// Patterns in tokenizer.json are written for Oniguruma; `OnigurumaPattern` says the same in PCRE2's words. A pattern is
// compiled once (with the JIT where there is one), then immutable and shared by all threads. Matching is bounded by
// `Limits.patternSteps`: a search that needs more ends there, and the rest of the text counts as not matching, which is
// also what happens in the reference when its engine gives up.

import BerthCore
import CPCRE2

/// A compiled pattern.
struct TextPattern: Sendable {
    private enum Kind: Sendable {
        case literal([UInt8])
        case regex(CompiledRegex)
    }
    private let kind: Kind

    /// Matches `literal` itself; an empty one matches between all characters.
    init(literal: String, at path: String) throws(TextError) {
        kind = literal.isEmpty ? .regex(try CompiledRegex("", at: path)) : .literal(Array(literal.utf8))
    }

    /// Matches what Oniguruma (Ruby syntax, UTF-8) would.
    init(oniguruma pattern: String, at path: String) throws(TextError) {
        guard pattern.utf8.count <= Limits.patternBytes else {
            throw TextError(.tooLarge, "\(path): a pattern of more than \(Limits.patternBytes) bytes")
        }
        var translator = OnigurumaPattern(pattern, path: path)
        kind = .regex(try CompiledRegex(try translator.translated(), at: path))
    }

    /// Calls `body` with the start and end of each match in `text`, in order; matches do not overlap. `text` is valid UTF-8.
    func forEachMatch(in text: UnsafeBufferPointer<UInt8>, _ body: (Int, Int) -> Void) {
        switch kind {
        case .literal(let literal): Self.forEachOccurrence(of: literal, in: text, body)
        case .regex(let regex): regex.forEachMatch(in: text, body)
        }
    }

    private static func forEachOccurrence(of literal: [UInt8], in text: UnsafeBufferPointer<UInt8>, _ body: (Int, Int) -> Void) {
        var at = 0
        while at + literal.count <= text.count {
            var matched = 0
            while matched < literal.count, text[at + matched] == literal[matched] { matched += 1 }
            if matched == literal.count {
                body(at, at + literal.count)
                at += literal.count
            } else {
                at += 1
            }
        }
    }
}

/// Owns PCRE2's code. Immutable after `init`; PCRE2 documents compiled code as safe to share between threads.
private final class CompiledRegex: @unchecked Sendable {
    private let code: OpaquePointer

    init(_ pattern: String, at path: String) throws(TextError) {
        let context = pcre2_compile_context_create_8(nil)
        defer { pcre2_compile_context_free_8(context) }
        pcre2_set_newline_8(context, UInt32(PCRE2_NEWLINE_LF))
        pcre2_set_parens_nest_limit_8(context, UInt32(Limits.patternDepth))
        let options = UInt32(PCRE2_UTF) | UInt32(PCRE2_UCP) | UInt32(PCRE2_MULTILINE) | UInt32(PCRE2_NEVER_BACKSLASH_C)
        var status: Int32 = 0
        var offset = 0
        let bytes = Array(pattern.utf8)
        let compiled = bytes.withUnsafeBufferPointer { pcre2_compile_8($0.baseAddress, $0.count, options, &status, &offset, context) }
        guard let compiled else { throw TextError(.malformed, "\(path): \(Self.message(status)) in the regular expression") }
        code = compiled
        // Without a JIT on this machine the interpreter does the same work, slower.
        _ = pcre2_jit_compile_8(code, UInt32(PCRE2_JIT_COMPLETE))
    }

    deinit { pcre2_code_free_8(code) }

    private static func message(_ status: Int32) -> String {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { buffer in
            let length = pcre2_get_error_message_8(status, buffer.baseAddress, buffer.count)
            return length > 0 ? String(decoding: buffer[..<Int(length)], as: UTF8.self) : "error \(status)"
        }
    }

    func forEachMatch(in text: UnsafeBufferPointer<UInt8>, _ body: (Int, Int) -> Void) {
        let data = pcre2_match_data_create_8(1, nil)
        let context = pcre2_match_context_create_8(nil)
        var stack: OpaquePointer?
        defer {
            pcre2_jit_stack_free_8(stack)
            pcre2_match_context_free_8(context)
            pcre2_match_data_free_8(data)
        }
        pcre2_set_match_limit_8(context, UInt32(Limits.patternSteps))
        let offsets = pcre2_get_ovector_pointer_8(data)!
        // PCRE2 wants an address even for no bytes at all.
        var nothing: UInt8 = 0
        withUnsafePointer(to: &nothing) { nothing in
            let base = text.baseAddress ?? nothing
            var from = 0
            var lastEnd = -1
            while from <= text.count {
                var status = pcre2_match_8(code, base, text.count, from, UInt32(PCRE2_NO_UTF_CHECK), data, context)
                if status == PCRE2_ERROR_JIT_STACKLIMIT, stack == nil {
                    stack = pcre2_jit_stack_create_8(64 << 10, Limits.patternStackBytes, nil)
                    pcre2_jit_stack_assign_8(context, nil, UnsafeMutableRawPointer(stack))
                    status = pcre2_match_8(code, base, text.count, from, UInt32(PCRE2_NO_UTF_CHECK), data, context)
                }
                // Zero means a match whose groups did not fit: only the whole is wanted.
                guard status >= 0 else { return }
                let (start, end) = (offsets[0], offsets[1])
                // \K in a lookahead can put the start behind the end; such a match is none.
                guard start <= end else { return }
                if start == end, end == lastEnd {
                    // An empty match right after a match does not count: look again one character later.
                    from = from < text.count ? from + utf8Length(text[from]) : from + 1
                    continue
                }
                body(start, end)
                from = end
                lastEnd = end
            }
        }
    }
}
