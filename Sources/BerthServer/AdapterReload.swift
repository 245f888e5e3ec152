// What a reload found.

import BerthCore

/// Adapters by what became of them. Each has been logged by name already.
public struct AdapterReload: Sendable, Equatable {
    public var added: [AdapterName] = []
    public var changed: [AdapterName] = []
    public var removed: [AdapterName] = []
    public var refused: [AdapterName] = []
    public var unchanged = 0
    /// Why the adapters directory could not be looked at; its adapters stay as they were.
    public var problem: String?

    public init() {}

    /// "1 added, 2 changed, 0 removed, 1 refused, 12 as before".
    public var summary: String {
        "\(added.count) added, \(changed.count) changed, \(removed.count) removed, \(refused.count) refused, \(unchanged) as before"
    }
}
