// Sizes as people write them: "8G", "512M", "64K", "4096".

/// A number of bytes with a textual form. K, M, G and T are powers of 1024; a trailing "B" or "iB" is allowed.
public struct ByteSize: Sendable, Hashable, Comparable, CustomStringConvertible {
    public var bytes: Int

    public init(bytes: Int) { self.bytes = bytes }

    /// Reads "8G", "1.5GiB", "4096". Nil where the text is no size, is negative or does not fit an `Int`.
    public init?(_ text: String) {
        var digits = Substring(text)
        for suffix in ["iB", "B", "b"] where digits.hasSuffix(suffix) {
            digits.removeLast(suffix.count)
            break
        }
        var shift = 0
        if let unit = digits.last, let power = ["k": 10, "m": 20, "g": 30, "t": 40][unit.lowercased()] {
            shift = power
            digits.removeLast()
        }
        guard let first = digits.utf8.first, first != UInt8(ascii: "."), digits.utf8.allSatisfy({ "0123456789.".utf8.contains($0) }) else { return nil }
        guard let value = Double(digits), value.isFinite else { return nil }
        guard let bytes = Int(exactly: (value * Double(1 << shift)).rounded()) else { return nil }
        self.bytes = bytes
    }

    public static func < (left: ByteSize, right: ByteSize) -> Bool { left.bytes < right.bytes }

    /// The size with three significant digits in the largest unit that keeps it at least 1: "7.45 GiB".
    public var description: String {
        var value = Double(bytes)
        var unit = 0
        while value >= 1024, unit < 4 {
            value /= 1024
            unit += 1
        }
        if unit == 0 { return "\(bytes) B" }
        let scale = value >= 100 ? 1.0 : value >= 10 ? 10.0 : 100.0
        return "\((value * scale).rounded() / scale) \(["B", "KiB", "MiB", "GiB", "TiB"][unit])"
    }
}
