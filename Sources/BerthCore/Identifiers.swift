// The names that clients and files give to things, checked once where they enter.

/// A request in the engine. Never used twice in the life of a daemon.
public struct RequestID: Sendable, Hashable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    public var description: String { String(rawValue) }
}

/// The name of an adapter: parts between slashes (`org/name`), each of letters, digits, `.`, `_`, `-` and `:`, and not starting with `.` or
/// `-`; 1 to `Limits.adapterNameBytes` bytes in all.
///
/// So no part is empty, `.` or `..`. No commas: names stand in comma-separated metric labels. A name never becomes part of a path; where a
/// folder gives the name, it is one without slashes.
public struct AdapterName: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let text: String

    /// Nil where `text` is not a valid name.
    public init?(_ text: String) {
        guard text.utf8.count <= Limits.adapterNameBytes else { return nil }
        let parts = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard parts.allSatisfy(Self.isPart) else { return nil }
        self.text = text
    }

    fileprivate static func isPart(_ bytes: Substring.UTF8View) -> Bool {
        guard let first = bytes.first, first != UInt8(ascii: "."), first != UInt8(ascii: "-") else { return false }
        return bytes.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: ":"): true
            default: false
            }
        }
    }

    public static func < (left: AdapterName, right: AdapterName) -> Bool { left.text < right.text }
    public var description: String { text }
}

/// Who a request belongs to: a name from the configuration, or `uid:1000` where no configuration names the caller. Letters, digits, `.`, `_`, `-`
/// and `:`, not starting with `.` or `-`; 1 to `Limits.tenantNameBytes` bytes.
public struct TenantName: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let text: String

    /// Nil where `text` is not a valid name.
    public init?(_ text: String) {
        guard text.utf8.count <= Limits.tenantNameBytes, AdapterName.isPart(text.utf8[...]) else { return nil }
        self.text = text
    }

    /// The tenant that a user is where no configuration says otherwise.
    public init(uid: UInt32) { text = "uid:\(uid)" }

    /// The daemon itself: what it asks of the model at start.
    public static let daemon = TenantName("berth")!

    public static func < (left: TenantName, right: TenantName) -> Bool { left.text < right.text }
    public var description: String { text }
}
