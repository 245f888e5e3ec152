// Reads the generated tables: `key=ranges,` and `character:decomposition,` in ASCII, hexadecimal.
//
// Each table is read once, when a tokenizer first needs it (a millisecond), and is immutable from then on.

extension UnicodeTables {
    /// One entry of a table: `key`, then numbers.
    struct Entry {
        /// What stands before the colon or the equals sign.
        let key: String
        /// The single numbers and ranges after it.
        let ranges: [ClosedRange<UInt32>]
    }

    static func entries(_ table: StaticString) -> [Entry] {
        let bytes = UnsafeBufferPointer(start: table.utf8Start, count: table.utf8CodeUnitCount)
        return bytes.split(separator: UInt8(ascii: ",")).map { entry in
            let end = entry.firstIndex { $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: "=") } ?? entry.endIndex
            var ranges: [ClosedRange<UInt32>] = []
            var low: UInt32?
            var value: UInt32 = 0
            for byte in entry[end...].dropFirst() + [UInt8(ascii: " ")] {
                if let digit = hexadecimalDigit(byte) {
                    value = value << 4 | UInt32(digit)
                } else {
                    if byte == UInt8(ascii: "-") { low = value } else {
                        ranges.append((low ?? value)...value)
                        low = nil
                    }
                    value = 0
                }
            }
            return Entry(key: String(decoding: entry[..<end], as: UTF8.self), ranges: ranges)
        }
    }

    private static let additionEntries = entries(additions)

    /// Newer characters of a general category ("L" means all that begin with L) or a script ("han"), as text for a PCRE2 class.
    static func additionRanges(ofCategory category: String) -> String {
        var text = ""
        for entry in additionEntries where entry.key == category || (category.utf8.count == 1 && entry.key.hasPrefix(category)) {
            for range in entry.ranges {
                text += "\\x{\(String(range.lowerBound, radix: 16))}"
                if range.count > 1 { text += "-\\x{\(String(range.upperBound, radix: 16))}" }
            }
        }
        return text
    }
}

/// A set of Unicode scalars: a bit for each of the first 256, sorted ranges above. O(log ranges) per question.
struct ScalarSet: Sendable {
    private var latin: [Bool]
    private var ranges: [ClosedRange<UInt32>]

    /// The set called `name` in `UnicodeTables.sets`.
    init(named name: String) {
        ranges = UnicodeTables.entries(UnicodeTables.sets).filter { $0.key == name }.flatMap(\.ranges)
        precondition(!ranges.isEmpty, "UnicodeTables.sets has no set '\(name)'")
        latin = []
        latin = (0..<256).map { search($0) }
    }

    @inline(__always)
    func contains(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 256 ? latin[Int(scalar.value)] : search(scalar.value)
    }

    private func search(_ value: UInt32) -> Bool {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < value { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].lowerBound <= value
    }
}
