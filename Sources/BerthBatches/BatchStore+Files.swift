// Files: uploaded, listed, read and deleted.

import BerthCore
import Glibc

/// A file on its way in. Dropped, it leaves nothing.
public final class Upload {
    let id: String
    let tenant: TenantName
    let content: ContentFile
    /// Of the tenant, for this file.
    private let bytesLeft: Int?

    init(id: String, of tenant: TenantName, content: ContentFile, bytesLeft: Int?) {
        self.id = id
        self.tenant = tenant
        self.content = content
        self.bytesLeft = bytesLeft
    }

    public func write(_ bytes: some Collection<UInt8>) throws(BatchError) {
        guard content.bytes + bytes.count <= Limits.uploadFileBytes else {
            throw BatchError(.tooLarge, "The file is larger than \(ByteSize(bytes: Limits.uploadFileBytes)).", parameter: "file")
        }
        if let bytesLeft, content.bytes + bytes.count > bytesLeft {
            throw BatchError(.quota, "The file is larger than the \(ByteSize(bytes: bytesLeft)) that this tenant has left: delete some.", quota: .bytes)
        }
        try content.write(bytes)
    }
}

extension BatchStore {
    public func beginUpload(of tenant: TenantName, quota: BatchQuota = BatchQuota()) throws(BatchError) -> Upload {
        let (count, bytes) = try filesAndBytes()
        let mine = try filesAndBytes(of: tenant)
        guard count < Limits.storedFiles else { throw BatchError(.quota, "There are \(Limits.storedFiles) files already: delete some.") }
        guard bytes < Limits.storedFileBytes else {
            throw BatchError(.quota, "The stored files have more than \(ByteSize(bytes: Limits.storedFileBytes)): delete some.")
        }
        guard mine.count == 0 || mine.count < Limits.storedFiles - count && mine.bytes <= Limits.storedFileBytes - bytes else {
            throw BatchError(
                .quota, "This tenant's \(mine.count) files of \(ByteSize(bytes: mine.bytes)) take as much as they leave to others: delete some.", quota: .share)
        }
        let left = quota.bytes.map { $0 - mine.bytes }
        if let left, left <= 0 {
            throw BatchError(.quota, "This tenant's files have \(ByteSize(bytes: mine.bytes)), all that it may keep: delete some.", quota: .bytes)
        }
        let id = newID("file-")
        return Upload(id: id, of: tenant, content: try ContentFile(partial: contentPath(id) + ".partial"), bytesLeft: left)
    }

    private func filesAndBytes(of tenant: TenantName? = nil) throws(BatchError) -> (count: Int, bytes: Int) {
        try database.rows("SELECT count(*), total(bytes) FROM files WHERE ?1 IS NULL OR tenant = ?1", SQLValue(tenant?.text)) { row throws(BatchError) in
            (row.int(0), row.int(1))
        }[0]
    }

    /// Makes the file durable and visible.
    public func finish(_ upload: Upload, name: String, lifeSeconds: Int?, now: Int) throws(BatchError) -> StoredFile {
        let life = lifeSeconds ?? Limits.batchFileLifeSeconds
        let file = StoredFile(id: upload.id, tenant: upload.tenant, purpose: .batch, name: name, bytes: upload.content.bytes, created: now, expires: now + life)
        try upload.content.commit(to: contentPath(upload.id))
        try insert(file)
        return file
    }

    func insert(_ file: StoredFile) throws(BatchError) {
        try database.run(
            "INSERT INTO files (\(StoredFile.columns)) VALUES (?, ?, ?, ?, ?, ?, ?)", .text(file.id), .text(file.purpose.rawValue), .text(file.name),
            .integer(file.bytes), .integer(file.created), SQLValue(file.expires), .text(file.tenant.text))
    }

    public func file(_ id: String, of tenant: TenantName) throws(BatchError) -> StoredFile {
        let file = try file(id)
        guard file.tenant == tenant else { throw Self.unknown(file: id) }
        return file
    }

    /// Whosever it is.
    func file(_ id: String) throws(BatchError) -> StoredFile {
        let found = try database.rows("SELECT \(StoredFile.columns) FROM files WHERE id = ?", .text(id)) { row throws(BatchError) in try StoredFile(row) }
        guard let file = found.first else { throw Self.unknown(file: id) }
        return file
    }

    private static func unknown(file id: String) -> BatchError { BatchError(.notFound, "There is no file '\(id.prefix(100))'.", parameter: "file_id") }

    /// - Parameter after: the file after which the page begins.
    public func files(
        of tenant: TenantName, purpose: String? = nil, after: String? = nil, limit: Int, ascending: Bool = false
    ) throws(BatchError) -> Page<StoredFile> {
        let place = try after.map { id throws(BatchError) in try rowNumber(of: id, in: "files", "file", tenant) }
        let found = try database.rows(
            """
            SELECT \(StoredFile.columns) FROM files
            WHERE tenant = ?4 AND (?1 IS NULL OR purpose = ?1) AND (?2 IS NULL OR number \(ascending ? ">" : "<") ?2)
            ORDER BY number \(ascending ? "ASC" : "DESC") LIMIT ?3
            """, SQLValue(purpose), SQLValue(place), .integer(limit + 1), .text(tenant.text)) { row throws(BatchError) in try StoredFile(row) }
        return Page(found, limit: limit)
    }

    /// Up to `Limits.filePieceBytes` of a file's content from `place`; empty at its end.
    public func content(_ id: String, of tenant: TenantName, at place: Int) throws(BatchError) -> [UInt8] {
        _ = try file(id, of: tenant)
        return try ContentReader(path: contentPath(id)).read(at: place, count: Limits.filePieceBytes)
    }

    public func deleteFile(_ id: String, of tenant: TenantName) throws(BatchError) {
        _ = try file(id, of: tenant)
        try deleteFile(id)
    }

    private func deleteFile(_ id: String) throws(BatchError) {
        if let batch = try database.rows("SELECT id FROM batches WHERE input = ? AND stage < 2", .text(id), read: { row throws(BatchError) in row.text(0) }).first {
            throw BatchError(.conflict, "The batch '\(batch)' still reads this file: cancel it first.", parameter: "file_id")
        }
        try database.run("DELETE FROM files WHERE id = ?", .text(id))
        unlink(contentPath(id))
    }

    func rowNumber(of id: String, in table: String, _ kind: String, _ tenant: TenantName) throws(BatchError) -> Int {
        guard let number = try database.int("SELECT number FROM \(table) WHERE id = ? AND tenant = ?", .text(id), .text(tenant.text)) else {
            throw BatchError(.notFound, "There is no \(kind) '\(id.prefix(100))'.", parameter: "after")
        }
        return number
    }

    /// Deletes the files whose time is up. Returns the second of the next.
    func expireFiles(now: Int) throws(BatchError) -> Int? {
        let unused = "NOT EXISTS (SELECT 1 FROM batches WHERE input = files.id AND stage < 2)"
        for id in try database.rows("SELECT id FROM files WHERE expires <= ? AND \(unused)", .integer(now), read: { row throws(BatchError) in row.text(0) }) {
            try deleteFile(id)
        }
        return try database.rows("SELECT min(expires) FROM files WHERE \(unused)") { row throws(BatchError) in row.optionalInt(0) }.first ?? nil
    }
}
