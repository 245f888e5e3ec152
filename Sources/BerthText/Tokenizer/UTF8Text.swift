// Bytes that may or may not be UTF-8.
//
// The tokens of a byte-level tokenizer are arbitrary bytes: one may end in the middle of a character and the next may
// never finish it. `LossyUTF8` turns such a stream into text in the way of the Unicode standard (section 3.9, "substitution
// of maximal subparts"), which is also what the reference package does: one U+FFFD for each maximal invalid piece.

/// What stands at one position of a byte sequence.
enum UTF8Step: Equatable {
    /// A well-formed scalar of so many bytes.
    case scalar(Int)
    /// So many bytes that belong together and are not well-formed, whatever follows.
    case invalid(Int)
    /// The beginning of a scalar, cut off by the end of the bytes.
    case unfinished

    @inline(__always)
    init(_ bytes: UnsafeBufferPointer<UInt8>, at start: Int) {
        let lead = bytes[start]
        if lead < 0x80 {
            self = .scalar(1)
            return
        }
        // After Table 3-7: only the second byte has a narrower range than 80…BF, and it depends on the first.
        let count: Int
        var second: ClosedRange<UInt8> = 0x80...0xBF
        switch lead {
        case 0xC2...0xDF: count = 2
        case 0xE0: (count, second) = (3, 0xA0...0xBF)
        case 0xED: (count, second) = (3, 0x80...0x9F)
        case 0xE1...0xEF: count = 3
        case 0xF0: (count, second) = (4, 0x90...0xBF)
        case 0xF4: (count, second) = (4, 0x80...0x8F)
        case 0xF1...0xF3: count = 4
        default:
            self = .invalid(1)
            return
        }
        for offset in 1..<count {
            guard start + offset < bytes.count else {
                self = .unfinished
                return
            }
            let allowed = offset == 1 ? second : 0x80...0xBF
            guard allowed.contains(bytes[start + offset]) else {
                self = .invalid(offset)
                return
            }
        }
        self = .scalar(count)
    }
}

/// Turns a stream of bytes into well-formed UTF-8, holding back at most three bytes of an unfinished scalar.
struct LossyUTF8 {
    static let replacement: [UInt8] = [0xEF, 0xBF, 0xBD]
    private var pending: [UInt8] = []

    /// Takes `bytes`, and appends all text that is certain to `output`.
    mutating func feed(_ bytes: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
        guard pending.isEmpty else {
            let joined = pending + bytes
            pending.removeAll(keepingCapacity: true)
            joined.withUnsafeBufferPointer { feed($0, into: &output) }
            return
        }
        var copied = 0
        var at = 0
        loop: while at < bytes.count {
            switch UTF8Step(bytes, at: at) {
            case .scalar(let length): at += length
            case .invalid(let length):
                output.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[copied..<at]))
                output.append(contentsOf: Self.replacement)
                at += length
                copied = at
            case .unfinished: break loop
            }
        }
        output.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[copied..<at]))
        pending.append(contentsOf: bytes[at...])
    }

    /// Ends the stream: what is unfinished becomes one U+FFFD.
    mutating func finish(into output: inout [UInt8]) {
        guard !pending.isEmpty else { return }
        pending.removeAll()
        output.append(contentsOf: Self.replacement)
    }
}

/// The length of the well-formed scalar that starts with `lead`.
@inline(__always)
func utf8Length(_ lead: UInt8) -> Int {
    lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
}

/// The scalar that starts at `start` of well-formed UTF-8.
@inline(__always)
func utf8Scalar(_ bytes: UnsafeBufferPointer<UInt8>, at start: Int) -> Unicode.Scalar {
    let lead = UInt32(bytes[start])
    func next(_ offset: Int) -> UInt32 { UInt32(bytes[start + offset]) & 0x3F }
    let value =
        switch utf8Length(bytes[start]) {
        case 1: lead
        case 2: (lead & 0x1F) << 6 | next(1)
        case 3: (lead & 0x0F) << 12 | next(1) << 6 | next(2)
        default: (lead & 0x07) << 18 | next(1) << 12 | next(2) << 6 | next(3)
        }
    return Unicode.Scalar(value) ?? "\u{FFFD}"
}

extension [UInt8] {
    /// Appends the UTF-8 of `scalar`.
    @inline(__always)
    mutating func append(_ scalar: Unicode.Scalar) {
        if scalar.isASCII { append(UInt8(truncatingIfNeeded: scalar.value)) } else { append(contentsOf: UTF8.encode(scalar)!) }
    }
}
