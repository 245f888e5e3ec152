// A decoder at work on one sequence of tokens.
//
// A value lives as long as its sequence: `push` for each token, `finish` once. Stage i receives fragments of tokens
// (`feed`) and the ends of tokens (`end`) from stage i - 1, and `close` when there will be no more; behind the last stage
// is the output. Fragments never cut a character.

/// The state of a `Decoder`'s steps between tokens.
struct DecoderStream: Sendable {
    /// One step and what it holds back.
    private struct Stage: Sendable {
        let step: Decoder.Step
        /// The token that is being received, for steps that need it whole.
        var token: [UInt8] = []
        var tokenCount = 0
        /// `.byteLevel`: an unfinished character.
        var text = LossyUTF8()
        /// `.byteFallback`: the bytes of the run; `.wordSuffix`: the last whole token; `.byteLevel`: nothing (working memory).
        var held: [UInt8] = []
        var holdsToken = false
        /// `.strip`: how many characters were taken from the start of this token, whether that is over, and how many that
        /// may have to be taken from its end.
        var taken = 0
        var isInside = false
        var trailing = 0
    }

    private var stages: [Stage]

    init(_ decoder: Decoder) { stages = decoder.steps.map { Stage(step: $0) } }

    /// Takes the next token and appends the text that is certain now.
    mutating func push(_ token: ArraySlice<UInt8>, into output: inout [UInt8]) {
        token.withUnsafeBufferPointer { feed(0, $0, &output) }
        end(0, &output)
    }

    /// There are no more tokens: appends the rest of the text.
    mutating func finish(into output: inout [UInt8]) {
        for index in stages.indices { close(index, &output) }
    }

    private mutating func feed(_ index: Int, _ bytes: [UInt8], _ output: inout [UInt8]) {
        bytes.withUnsafeBufferPointer { feed(index, $0, &output) }
    }

    private mutating func feed(_ index: Int, _ bytes: UnsafeBufferPointer<UInt8>, _ output: inout [UInt8]) {
        guard index < stages.count else {
            output.append(contentsOf: bytes)
            return
        }
        switch stages[index].step {
        case .byteLevel, .byteFallback, .replace, .wordSuffix: stages[index].token.append(contentsOf: bytes)
        case .fuse: feed(index + 1, bytes, &output)
        case .metaspace(let mark, let dropsFirst):
            let isDropped = dropsFirst && stages[index].tokenCount == 0
            feed(index + 1, Decoder.replacing(mark, with: isDropped ? nil : UInt8(ascii: " "), in: Array(bytes)), &output)
        case .strip(let scalar, let start, let end): strip(index, bytes, scalar, start, end, &output)
        case .separate:
            if !stages[index].isInside, stages[index].tokenCount > 0 { feed(index + 1, [UInt8(ascii: " ")], &output) }
            stages[index].isInside = true
            feed(index + 1, bytes, &output)
        }
    }

    private mutating func end(_ index: Int, _ output: inout [UInt8]) {
        guard index < stages.count else { return }
        stages[index].tokenCount += 1
        switch stages[index].step {
        case .fuse: break
        case .metaspace: end(index + 1, &output)
        case .separate:
            stages[index].isInside = false
            end(index + 1, &output)
        case .strip:
            (stages[index].taken, stages[index].isInside, stages[index].trailing) = (0, false, 0)
            end(index + 1, &output)
        case .byteLevel:
            decodeBytes(index, &output)
        case .replace(let pattern, let content): emit(index + 1, Decoder.replacing(pattern, with: content, in: takeToken(index)), &output)
        case .byteFallback:
            let token = takeToken(index)
            if let byte = Decoder.fallbackByte(token) {
                stages[index].held.append(byte)
            } else {
                flushRun(index, &output)
                emit(index + 1, token, &output)
            }
        case .wordSuffix(let suffix):
            if stages[index].holdsToken { emit(index + 1, Decoder.replacing(suffix, with: [UInt8(ascii: " ")], in: stages[index].held), &output) }
            stages[index].held = takeToken(index)
            stages[index].holdsToken = true
        }
    }

    private mutating func decodeBytes(_ index: Int, _ output: inout [UInt8]) {
        stages[index].held.removeAll(keepingCapacity: true)
        stages[index].token.withUnsafeBufferPointer { ByteAlphabet.decode($0, into: &stages[index].held) }
        stages[index].token.removeAll(keepingCapacity: true)
        if index == stages.count - 1 {
            stages[index].held.withUnsafeBufferPointer { stages[index].text.feed($0, into: &output) }
        } else {
            var text: [UInt8] = []
            stages[index].held.withUnsafeBufferPointer { stages[index].text.feed($0, into: &text) }
            feed(index + 1, text, &output)
        }
    }

    private mutating func close(_ index: Int, _ output: inout [UInt8]) {
        switch stages[index].step {
        case .byteLevel:
            var text: [UInt8] = []
            stages[index].text.finish(into: &text)
            emit(index + 1, text, &output)
        case .fuse: end(index + 1, &output)
        case .byteFallback: flushRun(index, &output)
        case .wordSuffix(let suffix):
            if stages[index].holdsToken { emit(index + 1, Decoder.replacing(suffix, with: [], in: stages[index].held), &output) }
        case .metaspace, .replace, .strip, .separate: break
        }
    }

    private mutating func takeToken(_ index: Int) -> [UInt8] {
        var token: [UInt8] = []
        swap(&token, &stages[index].token)
        return token
    }

    /// Passes one whole token on.
    private mutating func emit(_ index: Int, _ token: [UInt8], _ output: inout [UInt8]) {
        feed(index, token, &output)
        end(index, &output)
    }

    /// A run of byte tokens is text if all of it is, and else one U+FFFD for each byte.
    private mutating func flushRun(_ index: Int, _ output: inout [UInt8]) {
        guard !stages[index].held.isEmpty else { return }
        var run: [UInt8] = []
        swap(&run, &stages[index].held)
        let isText = run.withUnsafeBufferPointer { bytes in
            var at = 0
            while at < bytes.count {
                guard case .scalar(let length) = UTF8Step(bytes, at: at) else { return false }
                at += length
            }
            return true
        }
        if isText {
            emit(index + 1, run, &output)
        } else {
            for _ in run { emit(index + 1, LossyUTF8.replacement, &output) }
        }
    }

    /// Takes `scalar` from the start of the token, and holds back those at the end of what has come, which may be its end.
    private mutating func strip(_ index: Int, _ bytes: UnsafeBufferPointer<UInt8>, _ scalar: Unicode.Scalar, _ start: Int, _ end: Int, _ output: inout [UInt8]) {
        if stages[index].isInside, end == 0 {
            feed(index + 1, bytes, &output)
            return
        }
        var passed: [UInt8] = []
        var at = 0
        while at < bytes.count {
            let next = at + utf8Length(bytes[at])
            if utf8Scalar(bytes, at: at) != scalar {
                for _ in 0..<stages[index].trailing { passed.append(scalar) }
                stages[index].trailing = 0
                stages[index].isInside = true
                passed.append(contentsOf: bytes[at..<next])
            } else if !stages[index].isInside, stages[index].taken < start {
                stages[index].taken += 1
            } else {
                stages[index].isInside = true
                stages[index].trailing += 1
                if stages[index].trailing > end {
                    stages[index].trailing -= 1
                    passed.append(scalar)
                }
            }
            at = next
        }
        if !passed.isEmpty { feed(index + 1, passed, &output) }
    }
}
