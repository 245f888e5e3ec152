// Normalizers: what happens to a text before it is cut into pieces.
//
// The component tree of tokenizer.json becomes a flat list of steps on UTF-8 bytes. Beside the bytes travels how many of them
// come from the first character of the user's text (see `Pieces.Piece.fromFirst`).

import BerthCore

/// A text on its way through the normalizers.
struct NormalizedText {
    /// Well-formed UTF-8.
    var bytes: [UInt8]
    /// So many bytes, from the start, come from the first character of the user's text; 0 when it is gone.
    var fromFirst: Int
}

/// The normalizer of a tokenizer.
struct Normalizer: Sendable {
    private enum Step: Sendable {
        case unicode(UnicodeNormalization)
        case lowercase
        case prepend([UInt8])
        case replace(TextPattern, with: [UInt8])
        case strip(left: Bool, right: Bool)
        case stripAccents
        case byteLevel
    }

    private var steps: [Step] = []

    /// No normalizer: the text stays as it is.
    init() {}

    init(_ reader: ComponentReader) throws(TextError) { try append(reader) }

    private mutating func append(_ reader: ComponentReader) throws(TextError) {
        let type = try reader.string("type")
        switch type {
        case "Sequence": for part in try reader.components("normalizers") { try append(part) }
        case "NFC": steps.append(.unicode(UnicodeNormalization(isCompatibility: false, composes: true)))
        case "NFD": steps.append(.unicode(UnicodeNormalization(isCompatibility: false, composes: false)))
        case "NFKC": steps.append(.unicode(UnicodeNormalization(isCompatibility: true, composes: true)))
        case "NFKD": steps.append(.unicode(UnicodeNormalization(isCompatibility: true, composes: false)))
        case "Lowercase": steps.append(.lowercase)
        case "Prepend": steps.append(.prepend(Array(try reader.string("prepend").utf8)))
        case "Replace": steps.append(.replace(try reader.pattern("pattern"), with: Array(try reader.string("content").utf8)))
        case "Strip": steps.append(.strip(left: try reader.bool("strip_left"), right: try reader.bool("strip_right")))
        case "StripAccents": steps.append(.stripAccents)
        case "ByteLevel": steps.append(.byteLevel)
        default: throw reader.error(.unsupported, "type", "no such normalizer: '\(type)'")
        }
        guard steps.count <= Limits.tokenizerSteps else { throw TextError(.tooLarge, "\(reader.path): more than \(Limits.tokenizerSteps) steps") }
    }

    /// The normal form of a token that is to be found in normalized text.
    func normalized(_ token: [UInt8]) -> [UInt8] {
        var text = NormalizedText(bytes: token, fromFirst: 0)
        normalize(&text)
        return text.bytes
    }

    func normalize(_ text: inout NormalizedText) {
        for step in steps {
            switch step {
            case .unicode(let form): text.fromFirst = form.normalize(&text.bytes, mark: text.fromFirst)
            case .lowercase: Self.mapScalars(&text) { scalar, output in
                if scalar.isASCII {
                    output.append(scalar >= "A" && scalar <= "Z" ? Unicode.Scalar(UInt8(scalar.value) + 0x20) : scalar)
                } else {
                    output.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
                }
            }
            case .prepend(let prefix): if !text.bytes.isEmpty {
                text.bytes.insert(contentsOf: prefix, at: 0)
                if text.fromFirst > 0 { text.fromFirst += prefix.count }
            }
            case .replace(let pattern, let content): Self.replace(&text, pattern, content)
            case .strip(let left, let right): Self.strip(&text, left, right)
            case .stripAccents: Self.mapScalars(&text) { scalar, output in
                if !CharacterSet.isMark(scalar) { output.append(scalar) }
            }
            case .byteLevel: Self.mapScalars(&text) { scalar, output in
                for byte in UTF8.encode(scalar)! { output.append(contentsOf: ByteAlphabet.encoded[Int(byte)]) }
            }
            }
        }
    }

    /// Replaces each scalar by what `change` appends for it.
    private static func mapScalars(_ text: inout NormalizedText, _ change: (Unicode.Scalar, inout [UInt8]) -> Void) {
        var output: [UInt8] = []
        output.reserveCapacity(text.bytes.count)
        var fromFirst = 0
        text.bytes.withUnsafeBufferPointer { bytes in
            var at = 0
            while at < bytes.count {
                change(utf8Scalar(bytes, at: at), &output)
                if at < text.fromFirst { fromFirst = output.count }
                at += utf8Length(bytes[at])
            }
        }
        text = NormalizedText(bytes: output, fromFirst: fromFirst)
    }

    private static func replace(_ text: inout NormalizedText, _ pattern: TextPattern, _ content: [UInt8]) {
        var output: [UInt8] = []
        output.reserveCapacity(text.bytes.count)
        var fromFirst = 0
        var copied = 0
        text.bytes.withUnsafeBufferPointer { bytes in
            pattern.forEachMatch(in: bytes) { start, end in
                output.append(contentsOf: bytes[copied..<start])
                if copied < text.fromFirst { fromFirst = output.count - max(0, start - text.fromFirst) }
                output.append(contentsOf: content)
                // The replacement comes from where the last replaced byte came from.
                if end <= text.fromFirst, !content.isEmpty { fromFirst = output.count }
                copied = end
            }
            output.append(contentsOf: bytes[copied...])
            if copied < text.fromFirst { fromFirst = output.count - max(0, bytes.count - text.fromFirst) }
        }
        text = NormalizedText(bytes: output, fromFirst: fromFirst)
    }

    private static func strip(_ text: inout NormalizedText, _ left: Bool, _ right: Bool) {
        let range = text.bytes.withUnsafeBufferPointer { bytes in
            var start = 0
            var end = bytes.count
            while left, start < end, CharacterSet.isWhiteSpace(utf8Scalar(bytes, at: start)) { start += utf8Length(bytes[start]) }
            while right, end > start {
                var last = end - 1
                while bytes[last] & 0xC0 == 0x80 { last -= 1 }
                guard CharacterSet.isWhiteSpace(utf8Scalar(bytes, at: last)) else { break }
                end = last
            }
            return start..<end
        }
        text = NormalizedText(bytes: Array(text.bytes[range]), fromFirst: max(0, min(range.upperBound, text.fromFirst) - range.lowerBound))
    }
}
