// The names that clients and files give to things, checked once where they enter.

/// A request in the engine. Never used twice in the life of a daemon.
public struct RequestID: Sendable, Hashable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public var description: String { String(rawValue) }
}

/// The name of an adapter: 1 to `Limits.adapterNameBytes` of letters, digits, `.`, `_`, `-` and `:`, not starting with `.` or `-`.
///
/// No slashes (names become file names), no commas (names stand in comma-separated metric labels).
public struct AdapterName: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let text: String

    /// Nil where `text` is not a valid name.
    public init?(_ text: String) {
        let bytes = text.utf8
        guard let first = bytes.first, bytes.count <= Limits.adapterNameBytes, first != UInt8(ascii: "."), first != UInt8(ascii: "-") else { return nil }
        let isAllowed = bytes.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: ":"): true
            default: false
            }
        }
        guard isAllowed else { return nil }
        self.text = text
    }

    public static func < (left: AdapterName, right: AdapterName) -> Bool { left.text < right.text }
    public var description: String { text }
}
