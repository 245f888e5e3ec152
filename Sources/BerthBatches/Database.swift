// SQLite as the stores of this module use it: one connection, statements prepared once, transactions.
//
// Write-ahead logging with synchronous=FULL: when a transaction has returned, it survives a power cut. Used by one thread.

import CSQLite

/// A column's value on its way into a statement.
enum SQLValue {
    case integer(Int)
    case text(String)
    case blob([UInt8])
    case null

    init(_ value: Int?) { self = value.map(SQLValue.integer) ?? .null }
    init(_ value: String?) { self = value.map(SQLValue.text) ?? .null }
}

final class Database {
    private let handle: OpaquePointer
    private var statements: [String: OpaquePointer] = [:]
    private let path: String

    /// Opens the database at `path`, which is made where it is missing.
    init(path: String) throws(BatchError) {
        self.path = path
        var handle: OpaquePointer?
        let code = sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nil)
        guard code == SQLITE_OK, let handle else {
            let reason = handle.map { String(cString: sqlite3_errmsg($0)) } ?? String(cString: sqlite3_errstr(code))
            sqlite3_close(handle)
            throw BatchError(.storage, "The database cannot be opened: \(reason).", detail: path)
        }
        self.handle = handle
        do throws(BatchError) {
            // Room is given back in pieces, after a batch has ended. Only a new database takes this.
            try run("PRAGMA auto_vacuum = INCREMENTAL")
            try run("PRAGMA journal_mode = WAL")
            try run("PRAGMA synchronous = FULL")
            try run("PRAGMA foreign_keys = ON")
        } catch {
            close()
            throw error
        }
    }

    deinit { close() }

    private func close() {
        for statement in statements.values { sqlite3_finalize(statement) }
        statements = [:]
        sqlite3_close_v2(handle)
    }

    /// Runs a statement to its end; rows that it gives are passed over.
    func run(_ sql: String, _ values: SQLValue...) throws(BatchError) { try execute(sql, values) { _ throws(BatchError) in } }

    /// The rows of a query, as `read` makes them.
    func rows<Value>(_ sql: String, _ values: SQLValue..., read: (Row) throws(BatchError) -> Value) throws(BatchError) -> [Value] {
        var result: [Value] = []
        try execute(sql, values) { row throws(BatchError) in result.append(try read(row)) }
        return result
    }

    /// The first column of the first row.
    func int(_ sql: String, _ values: SQLValue...) throws(BatchError) -> Int? {
        var result: Int?
        try execute(sql, values) { row throws(BatchError) in if result == nil { result = row.int(0) } }
        return result
    }

    /// Rows that the last statement changed.
    var changes: Int { Int(sqlite3_changes(handle)) }

    /// All of `body`, durably, or nothing of it. Not nested.
    func transaction<Value>(_ body: () throws(BatchError) -> Value) throws(BatchError) -> Value {
        try run("BEGIN IMMEDIATE")
        do throws(BatchError) {
            let value = try body()
            try run("COMMIT")
            return value
        } catch {
            // Some failures have rolled back by themselves; a second time says so, and no more.
            try? run("ROLLBACK")
            throw error
        }
    }

    private func execute(_ sql: String, _ values: [SQLValue], _ take: (Row) throws(BatchError) -> Void) throws(BatchError) {
        let statement = try prepared(sql)
        defer {
            sqlite3_reset(statement)
            sqlite3_clear_bindings(statement)
        }
        for (index, value) in values.enumerated() { try bind(value, Int32(index + 1), statement) }
        while true {
            switch sqlite3_step(statement) {
            case SQLITE_ROW: try take(Row(statement: statement))
            case SQLITE_DONE: return
            default: throw failure()
            }
        }
    }

    private func prepared(_ sql: String) throws(BatchError) -> OpaquePointer {
        if let statement = statements[sql] { return statement }
        var statement: OpaquePointer?
        guard sqlite3_prepare_v2(handle, sql, -1, &statement, nil) == SQLITE_OK, let statement else { throw failure() }
        statements[sql] = statement
        return statement
    }

    private func bind(_ value: SQLValue, _ index: Int32, _ statement: OpaquePointer) throws(BatchError) {
        let code: Int32
        switch value {
        case .integer(let number): code = sqlite3_bind_int64(statement, index, Int64(number))
        case .text(let text):
            var text = text
            code = text.withUTF8 { bytes in
                bytes.withMemoryRebound(to: CChar.self) { berth_bind_text(statement, index, $0.baseAddress, Int32($0.count)) }
            }
        case .blob(let bytes): code = bytes.withUnsafeBytes { berth_bind_blob(statement, index, $0.baseAddress, Int32($0.count)) }
        case .null: code = sqlite3_bind_null(statement, index)
        }
        guard code == SQLITE_OK else { throw failure() }
    }

    private func failure() -> BatchError {
        BatchError(.storage, "The database failed: \(String(cString: sqlite3_errmsg(handle))).", detail: path)
    }
}

/// The row that a statement stands at; valid until its next step.
struct Row {
    fileprivate let statement: OpaquePointer

    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(statement, column) == SQLITE_NULL }
    func int(_ column: Int32) -> Int { Int(sqlite3_column_int64(statement, column)) }
    func optionalInt(_ column: Int32) -> Int? { isNull(column) ? nil : int(column) }
    func text(_ column: Int32) -> String { String(decoding: bytes(column), as: UTF8.self) }
    func optionalText(_ column: Int32) -> String? { isNull(column) ? nil : text(column) }
    func bytes(_ column: Int32) -> [UInt8] {
        // The pointer first, then the count: the call may convert.
        guard let pointer = sqlite3_column_blob(statement, column) else { return [] }
        return Array(UnsafeRawBufferPointer(start: pointer, count: Int(sqlite3_column_bytes(statement, column))))
    }
}
