// Costs in a file: what `berth-bench calibrate` writes and `berth-bench simulate --costs` reads.

import BerthCore

/// What is wrong with a file of costs.
public struct StepCostsError: Error, CustomStringConvertible {
    public let description: String
}

extension StepCosts {
    private static let prices: [(name: String, path: WritableKeyPath<StepCosts, Double> & Sendable)] = [
        ("attendedByPrompt", \.attendedByPrompt), ("attendedByStream", \.attendedByStream), ("logitRow", \.logitRow), ("sequence", \.sequence),
        ("adapter", \.adapter), ("adapterRow", \.adapterRow), ("expert", \.expert), ("expertRow", \.expertRow), ("step", \.step), ("request", \.request),
    ]

    public var json: JSON {
        var members: [(String, JSON)] = [
            ("unit", "nanoseconds"),
            ("passes", .array(passes.map { ["rows": JSON($0.rows), "nanoseconds": .number($0.nanoseconds)] })),
        ]
        for (name, path) in Self.prices { members.append((name, .number(self[keyPath: path]))) }
        return .object(.init(uniqueKeysWithValues: members))
    }

    /// What the document does not name has its default. Unknown names, numbers below zero and a table that does not rise are refused.
    public init(json: JSON) throws(StepCostsError) {
        self.init()
        guard let members = json.object else { throw StepCostsError(description: "costs are an object, not \(json.kind)") }
        for (name, value) in members {
            if name == "unit" {
                guard value == "nanoseconds" else { throw StepCostsError(description: "the unit of costs must be nanoseconds") }
            } else if name == "passes" {
                passes = try Self.passes(value)
            } else if let price = Self.prices.first(where: { $0.name == name }) {
                guard let number = value.double, number >= 0, number < 1e15 else { throw StepCostsError(description: "\(name) is no duration: \(value.text)") }
                self[keyPath: price.path] = number
            } else {
                throw StepCostsError(description: "there is no cost named \(name)")
            }
        }
    }

    private static func passes(_ value: JSON) throws(StepCostsError) -> [Pass] {
        guard let entries = value.array, !entries.isEmpty, entries.count <= 1024 else { throw StepCostsError(description: "passes must be a list of 1 to 1024") }
        var passes: [Pass] = []
        for entry in entries {
            guard let rows = entry["rows"]?.int, let nanoseconds = entry["nanoseconds"]?.double, rows > (passes.last?.rows ?? 0), rows <= 1 << 20,
                nanoseconds >= 0, nanoseconds < 1e15
            else { throw StepCostsError(description: "passes must have rising rows and nanoseconds: \(entry.text)") }
            passes.append(Pass(rows: rows, nanoseconds: nanoseconds))
        }
        return passes
    }
}
