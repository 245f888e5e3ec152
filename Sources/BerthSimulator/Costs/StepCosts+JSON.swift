// Costs in a file: what `berth-bench calibrate` writes, and `simulate --costs` and `compare --costs` read.

import BerthCore

/// What is wrong with a file of costs.
public struct StepCostsError: Error, CustomStringConvertible {
    public let description: String
}

extension StepCosts {
    private static let tables: [(name: String, path: WritableKeyPath<StepCosts, CostTable> & Sendable)] = [("passes", \.passes), ("logits", \.logits)]
    private static let prices: [(name: String, path: WritableKeyPath<StepCosts, Double> & Sendable)] = [
        ("attendedByPrompt", \.attendedByPrompt), ("attendedByStream", \.attendedByStream), ("sequence", \.sequence), ("adapter", \.adapter),
        ("adapterRow", \.adapterRow), ("expert", \.expert), ("expertRow", \.expertRow), ("step", \.step), ("request", \.request), ("wake", \.wake),
    ]

    public var json: JSON {
        let tables = Self.tables.map { name, path in
            (name, JSON.array(self[keyPath: path].points.map { ["rows": JSON($0.rows), "nanoseconds": .number($0.nanoseconds)] }))
        }
        return JSON(members: [("unit", "nanoseconds")] + tables + Self.prices.map { ($0.name, .number(self[keyPath: $0.path])) })
    }

    /// What the document does not name has its default. Unknown names, numbers below zero and a table that does not rise are refused.
    public init(json: JSON) throws(StepCostsError) {
        self.init()
        guard let members = json.object else { throw StepCostsError(description: "costs are an object, not \(json.kind)") }
        for (name, value) in members {
            if name == "unit" {
                guard value == "nanoseconds" else { throw StepCostsError(description: "the unit of costs must be nanoseconds") }
            } else if let table = Self.tables.first(where: { $0.name == name }) {
                self[keyPath: table.path] = try Self.table(value, name)
            } else if let price = Self.prices.first(where: { $0.name == name }) {
                guard let number = value.double, number >= 0, number < 1e15 else { throw StepCostsError(description: "\(name) is no duration: \(value.text)") }
                self[keyPath: price.path] = number
            } else {
                throw StepCostsError(description: "there is no cost named \(name)")
            }
        }
    }

    private static func table(_ value: JSON, _ name: String) throws(StepCostsError) -> CostTable {
        guard let entries = value.array, !entries.isEmpty, entries.count <= 1024 else { throw StepCostsError(description: "\(name) must be a list of 1 to 1024") }
        var points: [CostTable.Point] = []
        for entry in entries {
            guard let rows = entry["rows"]?.int, let nanoseconds = entry["nanoseconds"]?.double, rows > (points.last?.rows ?? 0), rows <= 1 << 20,
                nanoseconds >= (points.last?.nanoseconds ?? 0), nanoseconds < 1e15
            else { throw StepCostsError(description: "\(name) must have rising rows and nanoseconds that do not fall: \(entry.text)") }
            points.append(.init(rows: rows, nanoseconds: nanoseconds))
        }
        return CostTable(points)
    }
}
