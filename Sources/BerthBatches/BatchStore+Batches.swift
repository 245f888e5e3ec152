// Batches: ordered, listed, cancelled, and out of time.

import BerthCore

extension BatchStore {
    /// Takes an order. Its lines are scanned by `step`.
    public func create(_ order: BatchOrder, of tenant: TenantName, quota: BatchQuota = BatchQuota(), now: Int) throws(BatchError) -> Batch {
        guard BatchLine.endpoints.contains(order.endpoint) else {
            throw BatchError(.invalid, "'endpoint' must be one of \(BatchLine.endpoints.joined(separator: ", ")).", parameter: "endpoint")
        }
        let input: StoredFile
        do { input = try file(order.input, of: tenant) } catch {
            guard error.code == .notFound else { throw error }
            throw BatchError(.invalid, error.message, parameter: "input_file_id")
        }
        guard input.purpose == .batch else {
            throw BatchError(.invalid, "The file's purpose is '\(input.purpose.rawValue)', not 'batch'.", parameter: "input_file_id")
        }
        let open = try database.int("SELECT count(*) FROM batches WHERE stage < 4") ?? 0
        guard open < Limits.openBatches else { throw BatchError(.quota, "\(Limits.openBatches) batches have not ended: wait for some.") }
        let mine = try database.int("SELECT count(*) FROM batches WHERE stage < 4 AND tenant = ?", .text(tenant.text)) ?? 0
        guard mine == 0 || mine < Limits.openBatches - open else {
            throw BatchError(.quota, "\(mine) batches of this tenant have not ended: wait for some.", quota: .share)
        }
        if let most = quota.lines {
            let lines = try database.int("SELECT total(scanned_lines) FROM batches WHERE stage < 4 AND tenant = ?", .text(tenant.text)) ?? 0
            guard lines < most else { throw BatchError(.quota, "The batches of this tenant that have not ended have \(lines) lines, of \(most).", quota: .lines) }
        }
        let id = newID("batch_")
        try database.transaction { () throws(BatchError) in
            try database.run(
                """
                INSERT INTO batches (id, endpoint, window, input, metadata, output_life, status, stage, created, expires, tenant)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """, .text(id), .text(order.endpoint), .text(order.window), .text(order.input), SQLValue(order.metadata?.text), SQLValue(order.outputLifeSeconds),
                .text(Batch.Status.validating.rawValue), .integer(Batch.Stage.scanning.rawValue), .integer(now), .integer(now + order.windowSeconds), .text(tenant.text))
            try database.run(
                "DELETE FROM batches WHERE stage = 5 AND number <= (SELECT number FROM batches ORDER BY number DESC LIMIT 1 OFFSET ?)", .integer(Limits.rememberedBatches))
        }
        return try batch(id)
    }

    public func batch(_ id: String, of tenant: TenantName) throws(BatchError) -> Batch {
        let batch = try batch(id)
        guard batch.tenant == tenant else { throw Self.unknown(batch: id) }
        return batch
    }

    /// Whosever it is.
    func batch(_ id: String) throws(BatchError) -> Batch {
        let found = try database.rows("SELECT \(Batch.columns) FROM batches WHERE id = ?", .text(id)) { row throws(BatchError) in try Batch(row) }
        guard let batch = found.first else { throw Self.unknown(batch: id) }
        return batch
    }

    private static func unknown(batch id: String) -> BatchError {
        BatchError(.notFound, "There is no batch '\(id.prefix(100))'.", parameter: "batch_id")
    }

    public func batches(of tenant: TenantName, after: String? = nil, limit: Int) throws(BatchError) -> Page<Batch> {
        let place = try after.map { id throws(BatchError) in try rowNumber(of: id, in: "batches", "batch", tenant) }
        let found = try database.rows(
            "SELECT \(Batch.columns) FROM batches WHERE tenant = ?1 AND (?2 IS NULL OR number < ?2) ORDER BY number DESC LIMIT ?3", .text(tenant.text),
            SQLValue(place), .integer(limit + 1)
        ) { row throws(BatchError) in try Batch(row) }
        return Page(found, limit: limit)
    }

    /// Ends a batch early. What is answered by now stays; the other lines become errors.
    public func cancel(_ id: String, of tenant: TenantName, now: Int) throws(BatchError) -> Batch {
        let batch = try batch(id, of: tenant)
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
