// A stored file: an uploaded input, or what a batch has written.

import BerthCore

public struct StoredFile: Sendable, Equatable {
    public enum Purpose: String, Sendable, CaseIterable {
        /// The input of batches.
        case batch
        /// Outputs and errors of one.
        case batchOutput = "batch_output"
    }

    public var id: String
    public var tenant: TenantName
    public var purpose: Purpose
    /// As the client calls it; names no file of this machine.
    public var name: String
    public var bytes: Int
    /// Seconds since 1970.
    public var created: Int
    public var expires: Int?

    /// OpenAI's file object.
    public var json: JSON {
        [
            "id": .string(id), "object": "file", "bytes": JSON(bytes), "created_at": JSON(created), "expires_at": expires.map { JSON($0) } ?? nil,
            "filename": .string(name), "purpose": .string(purpose.rawValue), "status": "processed", "status_details": nil,
        ]
    }

    static let columns = "id, purpose, name, bytes, created, expires, tenant"

    init(_ row: Row) throws(BatchError) {
        guard let purpose = Purpose(rawValue: row.text(1)), let tenant = TenantName(row.text(6)) else {
            throw BatchError(.storage, "A file of an unknown purpose, or of no tenant.")
        }
        self.init(
            id: row.text(0), tenant: tenant, purpose: purpose, name: row.text(2), bytes: row.int(3), created: row.int(4), expires: row.optionalInt(5))
    }

    init(id: String, tenant: TenantName, purpose: Purpose, name: String, bytes: Int, created: Int, expires: Int?) {
        self.id = id
        self.tenant = tenant
        self.purpose = purpose
        self.name = name
        self.bytes = bytes
        self.created = created
        self.expires = expires
    }
}
