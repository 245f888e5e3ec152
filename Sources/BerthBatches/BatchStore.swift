// Files and batches on disk: what outlives the daemon.
//
// One folder: `batches.db` (SQLite), `files/<id>` (contents) and `lock`, which one daemon holds. A call that has returned is durable. What is
// promised to a client is in the database before the client hears of it; contents are made durable before their row is written, so a content
// without a row is what a killed daemon left, and is removed at the next start.
//
// Every file and every batch belongs to a tenant. Calls that answer clients name one, and know nothing of the others'.
//
// Belongs to one thread. Time and randomness are passed in.

import BerthCore
import Glibc

public final class BatchStore {
    let database: Database
    let directory: String
    private let lock: Int32
    private var random: any RandomNumberGenerator

    /// By batch: the last line that was claimed. Only in memory: a new daemon claims anew what has no answer.
    var claimed: [Int: Int] = [:]
    var writer: OutputWriter?
    /// Batches whose next piece of work failed; left alone until `retry`.
    var stuck: Set<Int> = []

    /// Opens what is in `directory`, which is made where it is missing.
    /// - Parameter heir: who gets what was stored before there were tenants.
    public init(directory: String, random: any RandomNumberGenerator, heir: TenantName) throws(BatchError) {
        self.directory = directory
        self.random = random
        for end in directory.indices.dropFirst() where directory[end] == "/" { mkdir(String(directory[..<end]), 0o755) }
        for folder in [directory, directory + "/files"] {
            guard mkdir(folder, 0o700) == 0 || errno == EEXIST else { throw .system("The folder of batches cannot be made", path: folder) }
        }
        lock = open(directory + "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw .system("The folder of batches cannot be locked", path: directory) }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            let error = BatchError.system("Another daemon has these batches", path: directory)
            close(lock)
            throw error
        }
        do throws(BatchError) {
            database = try Database(path: directory + "/batches.db")
            try Schema.migrate(database)
            for table in ["files", "batches"] { try database.run("UPDATE \(table) SET tenant = ? WHERE tenant = ''", .text(heir.text)) }
            try removeAbandonedContents()
        } catch {
            close(lock)
            throw error
        }
    }

    deinit { close(lock) }

    func contentPath(_ id: String) -> String { "\(directory)/files/\(id)" }

    /// A name that nobody can guess.
    func newID(_ prefix: String) -> String {
        prefix + (0..<2).map { _ in
            let digits = String(random.next(), radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }

    private func removeAbandonedContents() throws(BatchError) {
        let known = Set(try database.rows("SELECT id FROM files") { row throws(BatchError) in row.text(0) })
        guard let folder = opendir(directory + "/files") else { throw .system("The folder of files cannot be read", path: directory) }
        defer { closedir(folder) }
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != "..", !known.contains(name) { unlink(contentPath(name)) }
        }
    }
}

/// What one tenant may keep; nil is no bound of its own.
public struct BatchQuota: Sendable, Equatable {
    /// Of its files.
    public var bytes: Int?
    /// Of its batches that have not ended.
    public var lines: Int?

    public init(bytes: Int? = nil, lines: Int? = nil) {
        self.bytes = bytes
        self.lines = lines
    }
}

/// Part of a list, newest first unless asked otherwise.
public struct Page<Element: Sendable>: Sendable {
    public var elements: [Element]
    public var hasMore: Bool

    init(_ oneTooMany: [Element], limit: Int) {
        elements = Array(oneTooMany.prefix(limit))
        hasMore = oneTooMany.count > limit
    }
}
