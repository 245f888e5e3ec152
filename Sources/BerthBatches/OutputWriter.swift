// Writes what a batch has brought: good lines into one file, errors into another, both in the order of the input.

import BerthCore

/// Lives from the first piece of writing to the last; a daemon that is killed in between begins anew.
final class OutputWriter {
    let batch: Batch
    private let store: BatchStore
    private var output: Part?
    private var errors: Part?
    private var last = 0

    private struct Part {
        let id: String
        let file: ContentFile
    }

    init(_ batch: Batch, _ store: BatchStore) {
        self.batch = batch
        self.store = store
    }

    /// Writes some lines. True once there are no more.
    func advance() throws(BatchError) -> Bool {
        let lines = try store.database.rows(
            "SELECT number, state, result FROM lines WHERE batch = ? AND number > ? ORDER BY number LIMIT ?", .integer(batch.number), .integer(last),
            .integer(Limits.batchStepLines)
        ) { row throws(BatchError) in (number: row.int(0), isGood: row.int(1) == 1, result: row.bytes(2)) }
        for line in lines {
            if line.isGood { try write(line.result, &output) } else { try write(line.result, &errors) }
            last = line.number
        }
        return lines.count < Limits.batchStepLines
    }

    private func write(_ bytes: [UInt8], _ part: inout Part?) throws(BatchError) {
        if part == nil {
            let id = store.newID("file-")
            part = Part(id: id, file: try ContentFile(partial: store.contentPath(id) + ".partial"))
        }
        try part?.file.write(bytes)
    }

    /// Makes both files durable, then tells the database.
    func commit(now: Int) throws(BatchError) {
        var files: [StoredFile] = []
        for (part, suffix) in [(output, "output"), (errors, "error")] {
            guard let part else { continue }
            try part.file.commit(to: store.contentPath(part.id))
            files.append(StoredFile(
                id: part.id, tenant: batch.tenant, purpose: .batchOutput, name: "\(batch.id)_\(suffix).jsonl", bytes: part.file.bytes, created: now,
                expires: batch.outputLife.map { now + $0 }))
        }
        let status = batch.ending ?? .completed
        try store.database.transaction { () throws(BatchError) in
            for file in files { try store.insert(file) }
            try store.database.run(
                "UPDATE batches SET stage = 4, status = ?, \(status.rawValue) = ?, output = ?, error_output = ? WHERE number = ?", .text(status.rawValue),
                .integer(now), SQLValue(output?.id), SQLValue(errors?.id), .integer(batch.number))
        }
    }
}
