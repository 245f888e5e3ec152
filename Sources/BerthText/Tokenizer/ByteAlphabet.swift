// GPT-2's alphabet: a printable character for each byte, so that any bytes can be written as text.
//
// Printable Latin-1 characters stand for themselves; the other 68 bytes, in order, are U+0100 and up (a space is Ġ).

/// The bijection between bytes and the characters of byte-level tokens.
enum ByteAlphabet {
    /// The character of each byte.
    static let scalars: [Unicode.Scalar] = {
        var next: UInt32 = 0x100
        return (0...255).map { (byte: UInt32) in
            let isPrintable = (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte)
            if isPrintable { return Unicode.Scalar(byte)! }
            defer { next += 1 }
            return Unicode.Scalar(next)!
        }
    }()

    /// The UTF-8 of the character of each byte.
    static let encoded: [[UInt8]] = scalars.map { Array(UTF8.encode($0)!) }

    /// By scalar value: its byte, or -1.
    private static let byteOfScalar: [Int16] = {
        var table = [Int16](repeating: -1, count: 0x144)
        for (byte, scalar) in scalars.enumerated() { table[Int(scalar.value)] = Int16(byte) }
        return table
    }()

    /// Appends the characters of `bytes`.
    static func encode(_ bytes: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
        encoded.withUnsafeBufferPointer { encoded in
            for byte in bytes { output.append(contentsOf: encoded[Int(byte)]) }
        }
    }

    /// Appends the bytes that the characters of `token` stand for; when one of them is not of the alphabet, the bytes of
    /// `token` itself.
    static func decode(_ token: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
        let start = output.count
        byteOfScalar.withUnsafeBufferPointer { byteOfScalar in
            var at = 0
            while at < token.count {
                let value = Int(utf8Scalar(token, at: at).value)
                guard value < byteOfScalar.count, byteOfScalar[value] >= 0 else {
                    output.removeLast(output.count - start)
                    output.append(contentsOf: token)
                    return
                }
                output.append(UInt8(truncatingIfNeeded: byteOfScalar[value]))
                at += utf8Length(token[at])
            }
        }
    }
}
