// Recordings in a file: what `berth-bench record` writes and `berth-bench compare` reads.

import BerthCore

/// What is wrong with a file of recordings.
public struct RecordingError: Error, CustomStringConvertible {
    public let description: String
}

/// Workloads that one daemon has served, one after the other.
public struct Recordings: Sendable, Equatable {
    public var machine: RecordedMachine
    public var workloads: [Recording]

    public init(machine: RecordedMachine, workloads: [Recording]) {
        self.machine = machine
        self.workloads = workloads
    }

    public var json: JSON { ["machine": machine.json, "workloads": .array(workloads.map(\.json))] }

    public init(json: JSON) throws(RecordingError) {
        guard let machine = json["machine"], let workloads = json["workloads"]?.array else {
            throw RecordingError(description: "recordings are an object with a machine and workloads")
        }
        self.machine = try RecordedMachine(json: machine)
        self.workloads = []
        for workload in workloads { self.workloads.append(try Recording(json: workload, adapters: self.machine.adapterPages.count, context: self.machine.contextLength)) }
    }
}

extension RecordedMachine {
    private static let numbers: [(name: String, path: WritableKeyPath<RecordedMachine, Int> & Sendable, bounds: ClosedRange<Int>)] = [
        ("pages", \.pages, 1...1 << 24), ("pageBytes", \.pageBytes, 4096...1 << 34), ("blockTokens", \.blockTokens, 16...SimulatedMachine.mostBlockTokens),
        ("contextLength", \.contextLength, 1...1 << 24), ("running", \.running, 1...4096), ("stepTokens", \.stepTokens, 1...1 << 16),
    ]

    var json: JSON {
        JSON(members: Self.numbers.map { ($0.name, JSON(self[keyPath: $0.path])) } + [("adapterPages", .array(adapterPages.map { JSON($0) }))])
    }

    init(json: JSON) throws(RecordingError) {
        self.init(pages: 1, pageBytes: 4096, blockTokens: 16, contextLength: 1, running: 1, stepTokens: 1)
        for (name, path, bounds) in Self.numbers {
            guard let number = json[name]?.int, bounds.contains(number) else {
                throw RecordingError(description: "the machine's \(name) must be from \(bounds.lowerBound) to \(bounds.upperBound)")
            }
            self[keyPath: path] = number
        }
        let sizes = json["adapterPages"]?.array ?? []
        guard sizes.count <= Limits.registeredAdapters else { throw RecordingError(description: "more adapters than \(Limits.registeredAdapters)") }
        for size in sizes {
            guard let pages = size.int, (1...self.pages).contains(pages) else { throw RecordingError(description: "an adapter of \(size.text) pages") }
            adapterPages.append(pages)
        }
    }
}

extension Recording {
    private static let mostRequests = 1 << 16
    /// A year, in seconds.
    private static let longest = 3.2e7

    var json: JSON {
        let entries = requests.enumerated().map { index, request in
            let answer = answers.isEmpty ? nil : answers[index]
            return JSON(fields: [
                ("after", request.after.map { JSON($0) }), ("nanoseconds", JSON(Int(request.nanoseconds))), ("prompt", JSON(request.prompt)),
                ("output", JSON(request.output)), ("adapter", request.adapter.map { JSON($0) }),
                ("answer", answer.map { .array([.number($0.asked), .number($0.first), .number($0.end)]) }),
            ])
        }
        return JSON(fields: [("name", .string(name)), ("seed", .string(String(seed))), ("gauge", isGauge ? true : nil), ("requests", .array(entries))])
    }

    init(json: JSON, adapters: Int, context: Int) throws(RecordingError) {
        guard let name = json["name"]?.string, let seed = json["seed"]?.string.flatMap({ UInt64($0) }), let entries = json["requests"]?.array, !entries.isEmpty,
            entries.count <= Self.mostRequests
        else { throw RecordingError(description: "a workload has a name, a seed and 1 to \(Self.mostRequests) requests") }
        self.init(name: name, seed: seed, requests: [])
        isGauge = json["gauge"] == true
        for (index, entry) in entries.enumerated() {
            let after = entry["after"]?.int, adapter = entry["adapter"]?.int
            guard let nanoseconds = entry["nanoseconds"]?.int, nanoseconds >= 0, Double(nanoseconds) < Self.longest * 1e9, let prompt = entry["prompt"]?.int,
                let output = entry["output"]?.int, (1...context).contains(prompt), (1...context).contains(output), prompt + output <= context,
                after.map({ (0..<index).contains($0) }) ?? true, adapter.map({ (0..<adapters).contains($0) }) ?? true
            else { throw RecordingError(description: "request \(index) of \(name) is none that this machine could have served: \(entry.text)") }
            requests.append(Request(after: after, nanoseconds: UInt64(nanoseconds), prompt: prompt, output: output, adapter: adapter))
            if let times = entry["answer"]?.array?.compactMap(\.double) {
                guard times.count == 3, times[0] >= 0, times[0] <= times[1], times[1] <= times[2], times[2] < Self.longest else {
                    throw RecordingError(description: "request \(index) of \(name) has an answer before its question")
                }
                answers.append(Answer(asked: times[0], first: times[1], end: times[2]))
            }
        }
        guard answers.isEmpty || answers.count == requests.count else { throw RecordingError(description: "some answers of \(name) are missing") }
    }
}
