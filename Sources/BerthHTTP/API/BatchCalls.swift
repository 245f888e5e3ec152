// The bodies of the batch routes: an order, and the form that a file is uploaded in.

import BerthCore
import OrderedCollections

/// `POST /v1/batches`
public struct CreateBatchCall: Sendable, Equatable {
    public var input: String
    public var endpoint: String
    /// As it was written, and in seconds. OpenAI knows "24h" only; here any number of minutes, hours or days will do.
    public var window: String
    public var windowSeconds: Int
    /// An object of strings.
    public var metadata: JSON?
    public var outputLifeSeconds: Int?

    public init(body: [UInt8]) throws(APIError) {
        let reader = try FieldReader(body: body)
        func text(_ key: String) throws(APIError) -> String {
            let value = try reader.required(key)
            guard let text = value.string else { throw .wrongType(key, "a string", value) }
            return text
        }
        input = try text("input_file_id")
        endpoint = try text("endpoint")
        window = try text("completion_window")
        guard let seconds = Self.seconds(window), Limits.completionWindowSeconds.contains(seconds) else {
            throw .invalid("completion_window", "must be a time between \"1m\" and \"30d\", as in \"24h\".")
        }
        windowSeconds = seconds
        metadata = try reader.metadata()
        if let life = try reader.object("output_expires_after") {
            outputLifeSeconds = try ExpiryFields.seconds("output_expires_after", anchor: life["anchor"], seconds: life["seconds"])
        }
    }

    private static func seconds(_ text: String) -> Int? {
        guard let unit = text.last, let length = ["m": 60, "h": 3600, "d": 86_400][unit], let count = Int(text.dropLast()), count > 0, count < 100_000 else { return nil }
        return count * length
    }
}

/// `expires_after`, of a file or of what a batch writes.
enum ExpiryFields {
    static func seconds(_ name: String, anchor: JSON?, seconds: JSON?) throws(APIError) -> Int {
        guard anchor == "created_at" else { throw .invalid("\(name).anchor", "must be \"created_at\".") }
        return try FieldReader.int(seconds ?? nil, "\(name).seconds", in: Limits.fileLifeSeconds)
    }
}

extension FieldReader {
    fileprivate func metadata() throws(APIError) -> JSON? {
        guard let members = try object("metadata") else { return nil }
        guard members.count <= Limits.metadataEntries else { throw .invalid("metadata", "has more than \(Limits.metadataEntries) entries.") }
        for (key, value) in members {
            guard key.utf8.count <= Limits.metadataKeyBytes else { throw .invalid("metadata", "has a key of more than \(Limits.metadataKeyBytes) bytes.") }
            guard let text = value.string else { throw .wrongType("metadata", "a map of strings to strings", value) }
            guard text.utf8.count <= Limits.metadataValueBytes else { throw .invalid("metadata", "has a value of more than \(Limits.metadataValueBytes) bytes.") }
        }
        return .object(members)
    }
}

/// `POST /v1/files`: the parts of the form, as they come.
public struct UploadForm: Sendable {
    /// What is to be done with a piece of the body.
    public enum Output: Sendable, Equatable {
        /// A piece of the file.
        case content([UInt8])
        /// The form is complete and right.
        case end
    }

    private var parser: MultipartParser
    private var part: String?
    private var values: [String: [UInt8]] = [:]
    /// As the client calls it, without folders.
    public private(set) var fileName: String?
    public private(set) var lifeSeconds: Int?
    private var isComplete = false

    /// - Throws: 400 where the content type is another.
    public init(contentType: String?) throws(APIError) {
        do { parser = try MultipartParser(contentType: contentType ?? "") } catch { throw error.apiError }
    }

    public mutating func feed(_ bytes: [UInt8]) { parser.feed(bytes) }

    /// The next thing to do; nil while more input is needed.
    public mutating func next() throws(APIError) -> Output? {
        while let event = try nextEvent() {
            switch event {
            case .part(let name, let file):
                part = name
                guard name == "file" else { continue }
                guard fileName == nil else { throw .invalid("file", "is there twice.") }
                guard let file else { throw .invalid("file", "must be a file, with a name.") }
                fileName = Self.shown(file)
            case .data(let bytes):
                guard let part else { continue }
                if part == "file" { return .content(bytes) }
                guard values[part, default: []].count + bytes.count <= Limits.partFieldBytes else {
                    throw .invalid(part.shortened, "has more than \(Limits.partFieldBytes) bytes.")
                }
                values[part, default: []] += bytes
            case .partEnd:
                if let part, part != "file", values[part] == nil { values[part] = [] }
                part = nil
                // As early as it can be known: the file may be large and is mostly the last part.
                if values["purpose"] != nil { try checkPurpose() }
            case .end:
                try finish()
                return .end
            }
        }
        return nil
    }

    private mutating func nextEvent() throws(APIError) -> MultipartParser.Event? {
        do { return try parser.next() } catch { throw error.apiError }
    }

    /// The body has ended.
    /// - Throws: 400 where the form has not.
    public func requireEnd() throws(APIError) {
        guard isComplete else { throw APIError(.badRequest, "The multipart body ends before its last boundary.") }
    }

    private func text(_ name: String) -> String? { values[name].map { String(decoding: $0, as: UTF8.self) } }

    private func checkPurpose() throws(APIError) {
        guard let purpose = text("purpose") else { throw .invalid("purpose", "is required.", code: "missing_required_parameter") }
        guard purpose == "batch" else { throw .invalid("purpose", "must be \"batch\", not \"\(purpose.shortened)\": files are for batches only.") }
    }

    private mutating func finish() throws(APIError) {
        try checkPurpose()
        guard fileName != nil else { throw .invalid("file", "is required.", code: "missing_required_parameter") }
        if let seconds = text("expires_after[seconds]") {
            lifeSeconds = try ExpiryFields.seconds(
                "expires_after", anchor: text("expires_after[anchor]").map(JSON.string), seconds: Int(seconds).map { JSON($0) } ?? .string(seconds))
        } else if values["expires_after[anchor]"] != nil {
            throw .invalid("expires_after.seconds", "is required.", code: "missing_required_parameter")
        }
        isComplete = true
    }

    private static func shown(_ name: String) -> String {
        var shown = String(name.split(separator: "/").last ?? "file")
        while shown.utf8.count > Limits.fileNameBytes { shown.removeLast() }
        return shown
    }
}
