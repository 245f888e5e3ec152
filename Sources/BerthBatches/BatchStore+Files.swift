// Files: uploaded, listed, read and deleted.

import BerthCore
import Glibc

/// A file on its way in. Dropped, it leaves nothing.
public final class Upload {
    let id: String
    let content: ContentFile

    init(id: String, content: ContentFile) {
        self.id = id
        self.content = content
    }

    public func write(_ bytes: some Collection<UInt8>) throws(BatchError) {
        guard content.bytes + bytes.count <= Limits.uploadFileBytes else {
            throw BatchError(.tooLarge, "The file is larger than \(ByteSize(bytes: Limits.uploadFileBytes)).", parameter: "file")
        }
        try content.write(bytes)
    }
}

extension BatchStore {
    public func beginUpload() throws(BatchError) -> Upload {
        guard try database.int("SELECT count(*) FROM files") ?? 0 < Limits.storedFiles else {
            throw BatchError(.quota, "There are \(Limits.storedFiles) files already: delete some.")
        }
        guard try database.int("SELECT total(bytes) FROM files") ?? 0 < Limits.storedFileBytes else {
            throw BatchError(.quota, "The stored files have more than \(ByteSize(bytes: Limits.storedFileBytes)): delete some.")
        }
        let id = newID("file-")
        return Upload(id: id, content: try ContentFile(partial: contentPath(id) + ".partial"))
    }

    /// Makes the file durable and visible.
    public func finish(_ upload: Upload, name: String, lifeSeconds: Int?, now: Int) throws(BatchError) -> StoredFile {
        let life = lifeSeconds ?? Limits.batchFileLifeSeconds
        let file = StoredFile(id: upload.id, purpose: .batch, name: name, bytes: upload.content.bytes, created: now, expires: now + life)
        try upload.content.commit(to: contentPath(upload.id))
        try insert(file)
        return file
    }

    func insert(_ file: StoredFile) throws(BatchError) {
        try database.run(
            "INSERT INTO files (\(StoredFile.columns)) VALUES (?, ?, ?, ?, ?, ?)", .text(file.id), .text(file.purpose.rawValue), .text(file.name),
            .integer(file.bytes), .integer(file.created), SQLValue(file.expires))
    }

    public func file(_ id: String) throws(BatchError) -> StoredFile {
        let found = try database.rows("SELECT \(StoredFile.columns) FROM files WHERE id = ?", .text(id)) { row throws(BatchError) in try StoredFile(row) }
        guard let file = found.first else { throw BatchError(.notFound, "There is no file '\(id.prefix(100))'.", parameter: "file_id") }
        return file
    }

    /// - Parameter after: the file after which the page begins.
    public func files(purpose: String? = nil, after: String? = nil, limit: Int, ascending: Bool = false) throws(BatchError) -> Page<StoredFile> {
        let place = try after.map { id throws(BatchError) in try rowNumber(of: id, in: "files", "file") }
        let found = try database.rows(
            """
            SELECT \(StoredFile.columns) FROM files WHERE (?1 IS NULL OR purpose = ?1) AND (?2 IS NULL OR number \(ascending ? ">" : "<") ?2)
            ORDER BY number \(ascending ? "ASC" : "DESC") LIMIT ?3
            """, SQLValue(purpose), SQLValue(place), .integer(limit + 1)) { row throws(BatchError) in try StoredFile(row) }
        return Page(found, limit: limit)
    }

    /// Up to `Limits.filePieceBytes` of a file's content from `place`; empty at its end.
    public func content(_ id: String, at place: Int) throws(BatchError) -> [UInt8] {
        _ = try file(id)
        return try ContentReader(path: contentPath(id)).read(at: place, count: Limits.filePieceBytes)
    }

    public func deleteFile(_ id: String) throws(BatchError) {
        _ = try file(id)
        if let batch = try database.rows("SELECT id FROM batches WHERE input = ? AND stage < 2", .text(id), read: { row throws(BatchError) in row.text(0) }).first {
            throw BatchError(.conflict, "The batch '\(batch)' still reads this file: cancel it first.", parameter: "file_id")
        }
        try database.run("DELETE FROM files WHERE id = ?", .text(id))
        unlink(contentPath(id))
    }

    func rowNumber(of id: String, in table: String, _ kind: String) throws(BatchError) -> Int {
        guard let number = try database.int("SELECT number FROM \(table) WHERE id = ?", .text(id)) else {
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
