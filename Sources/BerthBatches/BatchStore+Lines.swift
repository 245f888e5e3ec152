// Lines go out to be answered and come back with their result.

import BerthCore

/// A line to be answered.
public struct ClaimedLine: Sendable {
    public let batch: String
    public let tenant: TenantName
    let batchNumber: Int
    /// Counts the input's lines from 1.
    public let number: Int
    public let customID: String
    public let endpoint: String
    /// The request's body.
    public let body: [UInt8]
    /// What the line takes in memory until it is answered.
    public let bytes: Int

    /// The line's name in the output.
    public var id: String { BatchStore.lineID(batch, number) }
}

/// A line's answer.
public struct FinishedLine: Sendable {
    public let line: ClaimedLine
    public let isGood: Bool
    /// The line of the output or error file.
    public let result: [UInt8]
    public let promptTokens: Int
    /// Of these, those that were there already.
    public let cachedTokens: Int
    public let completionTokens: Int

    /// - Parameter status: of the answer as if it had been a request of its own; 200 is good.
    public init(_ line: ClaimedLine, status: Int, body: JSON) {
        self.line = line
        isGood = status == 200
        result = ResultLine.response(id: line.id, customID: line.customID, status: status, body: body)
        promptTokens = body["usage"]?["prompt_tokens"]?.int ?? 0
        cachedTokens = body["usage"]?["prompt_tokens_details"]?["cached_tokens"]?.int ?? 0
        completionTokens = body["usage"]?["completion_tokens"]?.int ?? 0
    }
}

extension BatchStore {
    static func lineID(_ batch: String, _ number: Int) -> String { "batch_req_\(batch.dropFirst("batch_".count))_\(number)" }

    /// Lines that nobody answers yet: the same number of each tenant, and among a tenant's of each running batch, as far as there are so many. None is
    /// given twice, as long as this store is open; what is not finished when it is closed, the next one gives again.
    /// - Parameters:
    ///   - bytes: no further line is taken once there are so many.
    ///   - held: tenants of which no line is wanted now.
    public func claim(lines count: Int, bytes: Int, exceptOf held: Set<TenantName> = []) throws(BatchError) -> [ClaimedLine] {
        var batches = try database.rows("SELECT \(Batch.columns) FROM batches WHERE stage = 1 ORDER BY number") { row throws(BatchError) in try Batch(row) }
        batches.removeAll { held.contains($0.tenant) }
        var lines: [ClaimedLine] = []
        var taken = 0
        while !batches.isEmpty, lines.count < count, taken < bytes {
            var further: [Batch] = []
            let left = count - lines.count
            let batchesOf = Dictionary(grouping: batches, by: \.tenant).mapValues(\.count)
            for batch in batches {
                let few = min(max(1, left / batchesOf.count / batchesOf[batch.tenant]!), count - lines.count)
                guard few > 0, taken < bytes else { break }
                let new = try claim(few, of: batch, bytes: bytes - taken)
                lines += new.lines
                taken += new.lines.reduce(0) { $0 + $1.bytes }
                if !new.isLast { further.append(batch) }
            }
            batches = further
        }
        return lines
    }

    private func claim(_ count: Int, of batch: Batch, bytes: Int) throws(BatchError) -> (lines: [ClaimedLine], isLast: Bool) {
        let places = try database.rows(
            "SELECT number, custom_id, place, bytes FROM lines WHERE batch = ? AND state = 0 AND number > ? ORDER BY number LIMIT ?", .integer(batch.number),
            .integer(claimed[batch.number] ?? 0), .integer(count)
        ) { row throws(BatchError) in (number: row.int(0), customID: row.text(1), place: row.int(2), bytes: row.int(3)) }
        guard !places.isEmpty else { return ([], true) }
        var lines: [ClaimedLine] = []
        var taken = 0
        let reader = try? ContentReader(path: contentPath(batch.input))
        for place in places where taken < bytes {
            // What was a good line when it was scanned; the disk may have lost or changed it.
            guard let text = try? reader?.read(at: place.place, count: place.bytes), let line = try? BatchLine(text, endpoint: batch.endpoint) else {
                try giveUp(batch)
                return (lines, true)
            }
            lines.append(ClaimedLine(
                batch: batch.id, tenant: batch.tenant, batchNumber: batch.number, number: place.number, customID: place.customID, endpoint: batch.endpoint, body: line.body.utf8,
                bytes: place.bytes))
            taken += place.bytes
        }
        claimed[batch.number] = lines.last?.number
        return (lines, places.count < count && lines.count == places.count)
    }

    /// Takes lines back that nobody will answer for a while: they are given again. So may be later ones of their batches that are being answered.
    public func giveBack(_ lines: [ClaimedLine]) {
        for line in lines { if let last = claimed[line.batchNumber] { claimed[line.batchNumber] = min(last, line.number - 1) } }
    }

    /// The rest of the input cannot be read: its lines become errors, and other batches go on.
    private func giveUp(_ batch: Batch) throws(BatchError) {
        try database.run(
            "UPDATE batches SET stage = 2, status = ?, ending = ? WHERE number = ? AND stage = 1", .text(Batch.Status.finalizing.rawValue),
            .text(Batch.Status.completed.rawValue), .integer(batch.number))
        claimed[batch.number] = nil
    }

    /// Keeps the answers. One for a line that has got its result otherwise (its batch was cancelled) is dropped.
    public func finish(_ answers: [FinishedLine], now: Int) throws(BatchError) {
        try database.transaction { () throws(BatchError) in
            for answer in answers {
                let (batch, number) = (SQLValue.integer(answer.line.batchNumber), SQLValue.integer(answer.line.number))
                try database.run(
                    "UPDATE lines SET state = ?, result = ? WHERE batch = ? AND number = ? AND state = 0", .integer(answer.isGood ? 1 : 2), .blob(answer.result), batch, number)
                guard database.changes == 1 else { continue }
                try database.run(
                    """
                    UPDATE batches SET \(answer.isGood ? "good_lines = good_lines" : "failed_lines = failed_lines") + 1, prompt_tokens = prompt_tokens + ?,
                    cached_tokens = cached_tokens + ?, completion_tokens = completion_tokens + ? WHERE number = ?
                    """, .integer(answer.promptTokens), .integer(answer.cachedTokens), .integer(answer.completionTokens), batch)
            }
            for batch in Set(answers.map(\.line.batchNumber)) where try !hasOpenLines(batch) { try beginWriting(batch, now: now) }
        }
    }

    func hasOpenLines(_ batch: Int) throws(BatchError) -> Bool {
        try database.int("SELECT 1 FROM lines WHERE batch = ? AND state = 0 LIMIT 1", .integer(batch)) != nil
    }

    /// All lines of a running batch have their result.
    private func beginWriting(_ batch: Int, now: Int) throws(BatchError) {
        try database.run(
            "UPDATE batches SET stage = 3, status = ?, ending = ?, finalizing = ? WHERE number = ? AND stage = 1", .text(Batch.Status.finalizing.rawValue),
            .text(Batch.Status.completed.rawValue), .integer(now), .integer(batch))
        claimed[batch] = nil
    }
}
