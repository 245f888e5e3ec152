// What is to be done for batches beside running their lines: scanning inputs, closing, writing outputs, sweeping. Always a small piece at a time, so
// that questions to the database are answered in between; every piece is durable, so that a daemon that is killed goes on after the last.

import BerthCore
import Glibc

extension BatchStore {
    /// Does the next piece of work for one batch. False where there is none.
    public func step(now: Int) throws(BatchError) -> Bool {
        let atWork = try database.rows("SELECT \(Batch.columns) FROM batches WHERE stage IN (0, 2, 3, 4) ORDER BY number") { row throws(BatchError) in try Batch(row) }
        guard let batch = atWork.first(where: { !stuck.contains($0.number) }) else { return false }
        do throws(BatchError) {
            switch batch.stage {
            case .scanning: try scan(batch, now: now)
            case .closing: try close(batch, now: now)
            case .writing: try write(batch, now: now)
            case .sweeping: try sweep(batch)
            case .running, .done: break
            }
        } catch {
            // The others go on.
            stuck.insert(batch.number)
            if writer?.batch.number == batch.number { writer = nil }
            throw error
        }
        return true
    }

    /// Whether a piece of work has failed; `retry` gives it another chance.
    public var hasFailedWork: Bool { !stuck.isEmpty }
    public func retry() { stuck = [] }

    // MARK: scanning

    private func scan(_ batch: Batch, now: Int) throws(BatchError) {
        let reader: ContentReader
        do {
            reader = try ContentReader(path: contentPath(batch.input))
        } catch {
            return try fail(batch, [ResultLine.error(number: nil, code: "input_unreadable", message: "The input file cannot be read.")], now: now)
        }
        var scanner = try LineScanner(reader, from: batch.scannedBytes)
        try database.transaction { () throws(BatchError) in
            var progress = (lines: 0, bad: 0, bytes: batch.scannedBytes, number: batch.lastNumber)
            while progress.lines < Limits.batchStepLines, progress.bytes - batch.scannedBytes < Limits.batchStepBytes {
                guard let line = try scanner.next() else { return try endScan(batch, progress, now: now) }
                progress.number += 1
                progress.bytes = line.next
                // A blank line is no request.
                if let content = line.content, content.allSatisfy({ $0 == 0x20 || $0 == 0x0D || $0 == 0x09 }) { continue }
                progress.lines += 1
                guard batch.scannedLines + progress.lines <= Limits.batchLines else {
                    return try fail(
                        batch, [ResultLine.error(number: progress.number, code: "too_many_lines", message: "The file has more than \(Limits.batchLines) lines.")], now: now)
                }
                if try !add(line, number: progress.number, batch) { progress.bad += 1 }
            }
            try keep(progress, batch)
        }
    }

    /// Gives the line its row. False where it is a bad one: its error is its result.
    private func add(_ line: LineScanner.Line, number: Int, _ batch: Batch) throws(BatchError) -> Bool {
        func insert(_ customID: String?, state: Int, result: SQLValue) throws(BatchError) {
            try database.run(
                "INSERT INTO lines (batch, number, custom_id, place, bytes, state, result) VALUES (?, ?, ?, ?, ?, ?, ?)", .integer(batch.number), .integer(number),
                SQLValue(customID), .integer(line.place), .integer(line.bytes), .integer(state), result)
        }
        let fault: BatchLine.Fault
        switch Self.parsed(line, endpoint: batch.endpoint) {
        case .success(let parsed):
            guard let first = try database.int("SELECT number FROM lines WHERE batch = ? AND custom_id = ?", .integer(batch.number), .text(parsed.customID)) else {
                try insert(parsed.customID, state: 0, result: .null)
                return true
            }
            fault = .init(
                code: "duplicate_custom_id", message: "'custom_id' is that of line \(first), too.", parameter: "custom_id", customID: parsed.customID)
        case .failure(let error): fault = error
        }
        let result = ResultLine.fault(
            id: Self.lineID(batch.id, number), customID: fault.customID, number: number, code: fault.code, message: fault.message, parameter: fault.parameter)
        try insert(nil, state: 2, result: .blob(result))
        return false
    }

    private static func parsed(_ line: LineScanner.Line, endpoint: String) -> Result<BatchLine, BatchLine.Fault> {
        Result { () throws(BatchLine.Fault) in
            guard let content = line.content else {
                throw .init(code: "line_too_long", message: "The line is longer than \(ByteSize(bytes: LineScanner.longestLine)).")
            }
            return try BatchLine(content, endpoint: endpoint)
        }
    }

    private func keep(_ progress: (lines: Int, bad: Int, bytes: Int, number: Int), _ batch: Batch) throws(BatchError) {
        try database.run(
            """
            UPDATE batches SET scanned_bytes = ?, last_number = ?, scanned_lines = scanned_lines + ?, failed_lines = failed_lines + ? WHERE number = ?
            """, .integer(progress.bytes), .integer(progress.number), .integer(progress.lines), .integer(progress.bad), .integer(batch.number))
    }

    private func endScan(_ batch: Batch, _ progress: (lines: Int, bad: Int, bytes: Int, number: Int), now: Int) throws(BatchError) {
        try keep(progress, batch)
        guard batch.ending == nil else { return try setStage(.closing, batch) }
        guard batch.scannedLines + progress.lines > 0 else {
            return try fail(batch, [ResultLine.error(number: nil, code: "empty_file", message: "The file has no lines.")], now: now)
        }
        guard try hasOpenLines(batch.number) else {
            let results = try database.rows("SELECT result FROM lines WHERE batch = ? ORDER BY number LIMIT ?", .integer(batch.number), .integer(Limits.batchErrors)) {
                row throws(BatchError) in row.bytes(0)
            }
            return try fail(batch, results.compactMap { (try? JSON(parsing: $0))?["error"] }, now: now)
        }
        try database.run(
            "UPDATE batches SET stage = 1, status = ?, in_progress = ? WHERE number = ?", .text(Batch.Status.inProgress.rawValue), .integer(now), .integer(batch.number))
    }

    /// The input is wrong as a whole: no line runs, and there are no files.
    private func fail(_ batch: Batch, _ errors: [JSON], now: Int) throws(BatchError) {
        let list: JSON = ["object": "list", "data": .array(errors)]
        try database.run(
            "UPDATE batches SET stage = 4, status = ?, failed = ?, errors = ? WHERE number = ?", .text(Batch.Status.failed.rawValue), .integer(now), .text(list.text),
            .integer(batch.number))
    }

    private func setStage(_ stage: Batch.Stage, _ batch: Batch) throws(BatchError) {
        try database.run("UPDATE batches SET stage = ? WHERE number = ?", .integer(stage.rawValue), .integer(batch.number))
    }

    // MARK: ending

    /// Lines that have no answer get an error that says why.
    private func close(_ batch: Batch, now: Int) throws(BatchError) {
        let (code, message) = switch batch.ending {
        case .expired: ("batch_expired", "This request could not be executed before the completion window expired.")
        case .cancelled: ("batch_cancelled", "The batch was cancelled before this request was executed.")
        default: ("input_unreadable", "The input file cannot be read any more.")
        }
        try database.transaction { () throws(BatchError) in
            let open = try database.rows(
                "SELECT number, custom_id FROM lines WHERE batch = ? AND state = 0 ORDER BY number LIMIT ?", .integer(batch.number), .integer(Limits.batchStepLines)
            ) { row throws(BatchError) in (number: row.int(0), customID: row.text(1)) }
            for line in open {
                let result = ResultLine.fault(id: Self.lineID(batch.id, line.number), customID: line.customID, number: line.number, code: code, message: message)
                try database.run("UPDATE lines SET state = 2, result = ? WHERE batch = ? AND number = ?", .blob(result), .integer(batch.number), .integer(line.number))
            }
            try database.run(
                "UPDATE batches SET failed_lines = failed_lines + ?, finalizing = coalesce(finalizing, ?) WHERE number = ?", .integer(open.count), .integer(now),
                .integer(batch.number))
            if open.count < Limits.batchStepLines { try setStage(.writing, batch) }
        }
    }

    private func write(_ batch: Batch, now: Int) throws(BatchError) {
        let writer = self.writer.flatMap { $0.batch.number == batch.number ? $0 : nil } ?? OutputWriter(batch, self)
        self.writer = writer
        guard try writer.advance() else { return }
        self.writer = nil
        try writer.commit(now: now)
    }

    private func sweep(_ batch: Batch) throws(BatchError) {
        try database.run(
            "DELETE FROM lines WHERE rowid IN (SELECT rowid FROM lines WHERE batch = ? ORDER BY number LIMIT ?)", .integer(batch.number), .integer(Limits.batchStepLines))
        guard database.changes < Limits.batchStepLines else { return }
        try setStage(.done, batch)
        try database.run("PRAGMA incremental_vacuum")
    }
}
