// Batches: ordered, listed, cancelled, and out of time.

import BerthCore

extension BatchStore {
    /// Takes an order. Its lines are scanned by `step`.
    public func create(_ order: BatchOrder, now: Int) throws(BatchError) -> Batch {
        guard BatchLine.endpoints.contains(order.endpoint) else {
            throw BatchError(.invalid, "'endpoint' must be one of \(BatchLine.endpoints.joined(separator: ", ")).", parameter: "endpoint")
        }
        let input: StoredFile
        do { input = try file(order.input) } catch {
            guard error.code == .notFound else { throw error }
            throw BatchError(.invalid, error.message, parameter: "input_file_id")
        }
        guard input.purpose == .batch else {
            throw BatchError(.invalid, "The file's purpose is '\(input.purpose.rawValue)', not 'batch'.", parameter: "input_file_id")
        }
        guard try database.int("SELECT count(*) FROM batches WHERE stage < 4") ?? 0 < Limits.openBatches else {
            throw BatchError(.quota, "\(Limits.openBatches) batches have not ended: wait for some.")
        }
        let id = newID("batch_")
        try database.transaction { () throws(BatchError) in
            try database.run(
                """
                INSERT INTO batches (id, endpoint, window, input, metadata, output_life, status, stage, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """, .text(id), .text(order.endpoint), .text(order.window), .text(order.input), SQLValue(order.metadata?.text), SQLValue(order.outputLifeSeconds),
                .text(Batch.Status.validating.rawValue), .integer(Batch.Stage.scanning.rawValue), .integer(now), .integer(now + order.windowSeconds))
            try database.run(
                "DELETE FROM batches WHERE stage = 5 AND number <= (SELECT number FROM batches ORDER BY number DESC LIMIT 1 OFFSET ?)", .integer(Limits.rememberedBatches))
        }
        return try batch(id)
    }

    public func batch(_ id: String) throws(BatchError) -> Batch {
        let found = try database.rows("SELECT \(Batch.columns) FROM batches WHERE id = ?", .text(id)) { row throws(BatchError) in try Batch(row) }
        guard let batch = found.first else { throw BatchError(.notFound, "There is no batch '\(id.prefix(100))'.", parameter: "batch_id") }
        return batch
    }

    public func batches(after: String? = nil, limit: Int) throws(BatchError) -> Page<Batch> {
        let place = try after.map { id throws(BatchError) in try rowNumber(of: id, in: "batches", "batch") }
        let found = try database.rows(
            "SELECT \(Batch.columns) FROM batches WHERE ?1 IS NULL OR number < ?1 ORDER BY number DESC LIMIT ?2", SQLValue(place), .integer(limit + 1)
        ) { row throws(BatchError) in try Batch(row) }
        return Page(found, limit: limit)
    }

    /// Ends a batch early. What is answered by now stays; the other lines become errors.
    public func cancel(_ id: String, now: Int) throws(BatchError) -> Batch {
        let batch = try batch(id)
        if batch.status == .cancelling { return batch }
        guard batch.stage == .scanning || batch.stage == .running, batch.ending == nil else {
            throw BatchError(.conflict, "A batch that is '\(batch.status.rawValue)' cannot be cancelled.", parameter: "batch_id")
        }
        try end(batch, as: .cancelled, status: .cancelling, time: "cancelling", now: now)
        return try self.batch(id)
    }

    /// Ends the batches and deletes the files whose time is up. Returns the batches that ended so, and the second at which to ask again.
    public func expire(now: Int) throws(BatchError) -> (batches: [String], next: Int?) {
        let isOpen = "stage < 2 AND ending IS NULL"
        let late = try database.rows("SELECT \(Batch.columns) FROM batches WHERE \(isOpen) AND expires <= ?", .integer(now)) { row throws(BatchError) in try Batch(row) }
        for batch in late { try end(batch, as: .expired, status: .finalizing, time: "finalizing", now: now) }
        let nextFile = try expireFiles(now: now)
        let nextBatch = try database.rows("SELECT min(expires) FROM batches WHERE \(isOpen)") { row throws(BatchError) in row.optionalInt(0) }.first ?? nil
        return (late.map(\.id), [nextFile, nextBatch].compactMap { $0 }.min())
    }

    /// A batch that is still being scanned is scanned to its end first, so that every line is in its files.
    private func end(_ batch: Batch, as ending: Batch.Status, status: Batch.Status, time: String, now: Int) throws(BatchError) {
        let stage = batch.stage == .running ? Batch.Stage.closing : batch.stage
        try database.run(
            "UPDATE batches SET ending = ?, status = ?, stage = ?, \(time) = ? WHERE number = ?", .text(ending.rawValue), .text(status.rawValue),
            .integer(stage.rawValue), .integer(now), .integer(batch.number))
        claimed[batch.number] = nil
    }
}
