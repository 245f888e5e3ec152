// Bulk work: files of requests in, files of answers out.
//
//     let file = try await berth.uploadFile("/data/in.jsonl")
//     var batch = try await berth.createBatch(BatchRequest(input: file.id, endpoint: "/v1/chat/completions"))
//     while !batch.hasEnded {
//         try await Task.sleep(for: .seconds(1))
//         batch = try await berth.batch(batch.id)
//     }
//     if let output = batch.outputFile { try await berth.downloadFile(output, to: "/data/out.jsonl") }
//
// A batch goes on in the daemon whether or not its client is there, and through restarts of the daemon.

import BerthCore
import BerthHTTP
import Glibc
import HTTPTypes

/// A file that the daemon keeps: an uploaded input, or what a batch has written.
public struct StoredFile: Sendable, Equatable {
    public var id: String
    public var name: String
    public var bytes: Int
    /// `batch` or `batch_output`.
    public var purpose: String
    /// Seconds since 1970.
    public var created: Int
    /// When the daemon deletes it; nil: never.
    public var expires: Int?

    init(json: JSON) throws(BerthClientError) {
        id = try json.require("id", \.string)
        name = json["filename"]?.string ?? ""
        bytes = json["bytes"]?.int ?? 0
        purpose = json["purpose"]?.string ?? ""
        created = json["created_at"]?.int ?? 0
        expires = json["expires_at"]?.int
    }
}

/// What to do with an uploaded file of requests.
public struct BatchRequest: Sendable, Equatable {
    /// The file's id.
    public var input: String
    /// What every line has as its `url`: `/v1/chat/completions` or `/v1/completions`.
    public var endpoint: String
    /// How long the batch may take, as in `24h`; what is not answered by then becomes an error.
    public var window: String
    /// Up to 16 texts to find it by.
    public var metadata: [String: String]

    public init(input: String, endpoint: String, window: String = "24h", metadata: [String: String] = [:]) {
        self.input = input
        self.endpoint = endpoint
        self.window = window
        self.metadata = metadata
    }
}

/// A batch and where it stands.
public struct Batch: Sendable, Equatable {
    public var id: String
    /// `validating`, `in_progress`, `finalizing`, `cancelling`; at the end `completed`, `failed`, `expired` or `cancelled`.
    public var status: String
    public var endpoint: String
    public var inputFile: String
    /// The answers, once the batch has ended and there are any: one line for each line of the input that was answered.
    public var outputFile: String?
    /// The lines that were not, each with the reason.
    public var errorFile: String?
    /// Lines of the input, those that are answered and those that are errors.
    public var totalLines: Int
    public var completedLines: Int
    public var failedLines: Int
    /// Why the input as a whole was refused (`failed`).
    public var errors: [String]
    /// Seconds since 1970.
    public var created: Int
    public var expires: Int?
    public var metadata: [String: String]

    public var hasEnded: Bool { ["completed", "failed", "expired", "cancelled"].contains(status) }

    init(json: JSON) throws(BerthClientError) {
        id = try json.require("id", \.string)
        status = try json.require("status", \.string)
        endpoint = json["endpoint"]?.string ?? ""
        inputFile = json["input_file_id"]?.string ?? ""
        outputFile = json["output_file_id"]?.string
        errorFile = json["error_file_id"]?.string
        let counts = json["request_counts"]
        totalLines = counts?["total"]?.int ?? 0
        completedLines = counts?["completed"]?.int ?? 0
        failedLines = counts?["failed"]?.int ?? 0
        errors = (json["errors"]?["data"]?.array ?? []).map { error in
            (error["line"]?.int.map { "line \($0): " } ?? "") + (error["message"]?.string ?? "")
        }
        created = json["created_at"]?.int ?? 0
        expires = json["expires_at"]?.int
        metadata = (json["metadata"]?.object ?? [:]).reduce(into: [:]) { $0[$1.key] = $1.value.string }
    }
}

extension BerthClient {
    // MARK: files

    /// Uploads the file at `path`, whose lines are requests: `{"custom_id": "…", "method": "POST", "url": "/v1/chat/completions", "body": {…}}`.
    /// - Parameter lifeSeconds: how long the daemon keeps it; nil is 30 days.
    public func uploadFile(_ path: String, lifeSeconds: Int? = nil) async throws(BerthClientError) -> StoredFile {
        var fields = ["purpose": "batch"]
        if let lifeSeconds {
            fields["expires_after[anchor]"] = "created_at"
            fields["expires_after[seconds]"] = String(lifeSeconds)
        }
        let exchange = try await Exchange(socketPath, .post, "/v1/files", form: try FileForm(path: path, fields: fields), apiKey: apiKey)
        try await exchange.requireSuccess()
        return try StoredFile(json: try await exchange.wholeJSON())
    }

    /// The files that the daemon keeps, newest first.
    public func files() async throws(BerthClientError) -> [StoredFile] {
        var files: [StoredFile] = []
        for entry in try await get("/v1/files").require("data", \.array) { files.append(try StoredFile(json: entry)) }
        return files
    }

    public func file(_ id: String) async throws(BerthClientError) -> StoredFile { try StoredFile(json: await get("/v1/files/\(BerthAdmin.escaped(id))")) }

    public func deleteFile(_ id: String) async throws(BerthClientError) {
        _ = try await Exchange.data(socketPath, .delete, "/v1/files/\(BerthAdmin.escaped(id))", apiKey: apiKey)
    }

    /// Gives a file's content to `take`, piece by piece.
    public func readFile(_ id: String, take: (_ piece: [UInt8]) throws(BerthClientError) -> Void) async throws(BerthClientError) {
        let exchange = try await Exchange(socketPath, .get, "/v1/files/\(BerthAdmin.escaped(id))/content", apiKey: apiKey)
        try await exchange.requireSuccess()
        while let piece = try await exchange.nextBody() { try take(piece) }
    }

    /// Writes a file's content to `path`, which appears when it is complete.
    public func downloadFile(_ id: String, to path: String) async throws(BerthClientError) {
        let partial = "\(path).partial"
        guard let stream = fopen(partial, "w") else { throw .localFile(partial, reason: String(cString: strerror(errno))) }
        var isOpen = true
        defer {
            if isOpen { fclose(stream) }
            unlink(partial)
        }
        try await readFile(id) { piece throws(BerthClientError) in
            guard fwrite(piece, 1, piece.count, stream) == piece.count else { throw .localFile(partial, reason: String(cString: strerror(errno))) }
        }
        isOpen = false
        guard fclose(stream) == 0, rename(partial, path) == 0 else { throw .localFile(path, reason: String(cString: strerror(errno))) }
    }

    // MARK: batches

    /// Begins to work on an uploaded file.
    public func createBatch(_ request: BatchRequest) async throws(BerthClientError) -> Batch {
        var body: JSON = ["input_file_id": .string(request.input), "endpoint": .string(request.endpoint), "completion_window": .string(request.window)]
        if !request.metadata.isEmpty, case .object(var members) = body {
            members["metadata"] = .object(.init(request.metadata.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) }, uniquingKeysWith: { $1 }))
            body = .object(members)
        }
        return try Batch(json: await post("/v1/batches", body))
    }

    public func batch(_ id: String) async throws(BerthClientError) -> Batch { try Batch(json: await get("/v1/batches/\(BerthAdmin.escaped(id))")) }

    /// Batches, newest first.
    /// - Parameters:
    ///   - limit: at most 100.
    ///   - after: the batch after which the list goes on.
    public func batches(limit: Int = 20, after: String? = nil) async throws(BerthClientError) -> [Batch] {
        var batches: [Batch] = []
        let path = "/v1/batches?limit=\(limit)" + (after.map { "&after=\(BerthAdmin.escaped($0))" } ?? "")
        for entry in try await get(path).require("data", \.array) { batches.append(try Batch(json: entry)) }
        return batches
    }

    /// Ends a batch early: what is answered by now is in its files, and so are the other lines, as errors.
    @discardableResult
    public func cancelBatch(_ id: String) async throws(BerthClientError) -> Batch {
        try Batch(json: await post("/v1/batches/\(BerthAdmin.escaped(id))/cancel", [:]))
    }
}
