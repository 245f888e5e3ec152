// What a churn did, and what it left.

import BerthCore

struct ChurnReport: Sendable {
    var seconds = 0.0
    var counts = ChurnCounts()
    /// Bytes, once a second.
    var resident: [Int] = []
    /// At rest, both times.
    var descriptors: (before: Descriptors, after: Descriptors)?
    /// What must not be. Nothing else is a failure.
    var problems: [String] = []

    /// The highest of the second and of the last quarter: the first is warming up.
    var peaks: (early: Int, late: Int)? {
        guard resident.count >= 8 else { return nil }
        let quarter = resident.count / 4
        return (resident[quarter..<2 * quarter].max()!, resident.suffix(quarter).max()!)
    }

    var lines: [String] {
        var lines = ["\(fixed(seconds, 0)) s: \(counts.finished) answers, \(counts.cancelled) given up, \(counts.refused) refused for want of room"]
        lines.append("\(counts.loads) loads, \(counts.unloads) unloads, \(counts.moves) moves of the limit, \(counts.probes) probes of the same answers")
        if let peaks { lines.append("memory: \(ByteSize(bytes: peaks.early)) in the second quarter, \(ByteSize(bytes: peaks.late)) in the last") }
        if let descriptors { lines.append("descriptors: \(descriptors.before.text) before; \(descriptors.after.text) after") }
        return lines + (problems.isEmpty ? ["nothing was lost"] : problems.map { "LOST: " + $0 })
    }

    var json: JSON {
        [
            "seconds": .number(seconds), "answers": JSON(counts.finished), "cancelled": JSON(counts.cancelled), "refused": JSON(counts.refused),
            "loads": JSON(counts.loads), "unloads": JSON(counts.unloads), "moves": JSON(counts.moves), "probes": JSON(counts.probes),
            "resident_early": peaks.map { JSON($0.early) } ?? nil, "resident_late": peaks.map { JSON($0.late) } ?? nil,
            "descriptors_before": descriptors?.before.json ?? nil, "descriptors_after": descriptors?.after.json ?? nil,
            "problems": .array(problems.map(JSON.string)),
        ]
    }
}

struct ChurnCounts: Sendable {
    var finished = 0
    var cancelled = 0
    /// 503 and 429: the limit was too low for what was asked.
    var refused = 0
    var loads = 0
    var unloads = 0
    var moves = 0
    var probes = 0
}
