// A batch and where it stands.
//
//     scanning ──▶ running ──▶ writing ──▶ sweeping ──▶ done
//         │           │           ▲            ▲
//         │           └─▶ closing ┘            │          cancelled, or out of time: what is open becomes an error
//         └────────────── nothing to run ──────┘          failed
//
// The stage says what is to be done next; the status is what OpenAI's clients see of it. Both are in the database, so that a daemon that starts
// goes on where one was killed.

import BerthCore

public struct Batch: Sendable, Equatable {
    public enum Status: String, Sendable, CaseIterable {
        case validating, failed, inProgress = "in_progress", finalizing, completed, expired, cancelling, cancelled

        public var hasEnded: Bool {
            switch self {
            case .failed, .completed, .expired, .cancelled: true
            case .validating, .inProgress, .finalizing, .cancelling: false
            }
        }
    }

    enum Stage: Int, Sendable {
        /// The input is read, and each of its lines gets a row.
        case scanning = 0
        case running = 1
        /// Lines without an answer get an error.
        case closing = 2
        /// Output and error file are written.
        case writing = 3
        /// The lines' rows are removed.
        case sweeping = 4
        case done = 5
    }

    /// Its row.
    let number: Int
    public let id: String
    public let tenant: TenantName
    public let endpoint: String
    public let window: String
    public let input: String
    public var metadata: JSON?
    /// Seconds that its files are kept; nil: until they are deleted.
    let outputLife: Int?
    public let status: Status
    let stage: Stage
    /// How it will end, once that is known.
    let ending: Status?
    /// OpenAI's list of errors, where the batch failed as a whole.
    let errors: JSON?
    public let created: Int
    public let expires: Int
    let times: [(name: String, second: Int?)]
    let scannedBytes: Int
    /// Lines that have a row; blank ones have none.
    let scannedLines: Int
    /// The number of the last line that was scanned.
    let lastNumber: Int
    public let goodLines: Int
    public let failedLines: Int
    let promptTokens: Int
    /// Of these, those that were there already.
    let cachedTokens: Int
    let completionTokens: Int
    let output: String?
    let errorOutput: String?

    public static func == (one: Batch, other: Batch) -> Bool { one.number == other.number && one.json == other.json && one.stage == other.stage }

    /// OpenAI's batch object.
    public var json: JSON {
        func text(_ value: String?) -> JSON { value.map(JSON.string) ?? nil }
        var members: [(String, JSON)] = [
            ("id", .string(id)), ("object", "batch"), ("endpoint", .string(endpoint)), ("errors", errors ?? nil), ("input_file_id", .string(input)),
            ("completion_window", .string(window)), ("status", .string(status.rawValue)), ("output_file_id", text(status.hasEnded ? output : nil)),
            ("error_file_id", text(status.hasEnded ? errorOutput : nil)), ("created_at", JSON(created)), ("expires_at", JSON(expires)),
        ]
        for (name, second) in times { members.append((name + "_at", second.map { JSON($0) } ?? nil)) }
        members.append(("request_counts", ["total": JSON(scannedLines), "completed": JSON(goodLines), "failed": JSON(failedLines)]))
        members.append((
            "usage",
            [
                "input_tokens": JSON(promptTokens), "input_tokens_details": ["cached_tokens": JSON(cachedTokens)], "output_tokens": JSON(completionTokens),
                "output_tokens_details": ["reasoning_tokens": 0], "total_tokens": JSON(promptTokens + completionTokens),
            ]
        ))
        members.append(("metadata", metadata ?? nil))
        return JSON(members: members)
    }

    private static let timeNames = ["in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"]
    static let columns = """
        number, id, endpoint, window, input, metadata, output_life, status, stage, ending, errors, created, expires, scanned_bytes, scanned_lines, good_lines,
        failed_lines, prompt_tokens, completion_tokens, output, error_output, last_number, tenant, cached_tokens, \(timeNames.joined(separator: ", "))
        """

    init(_ row: Row) throws(BatchError) {
        guard let status = Status(rawValue: row.text(7)), let stage = Stage(rawValue: row.int(8)), let tenant = TenantName(row.text(22)) else {
            throw BatchError(.storage, "A batch in an unknown state, or of no tenant.")
        }
        self.tenant = tenant
        func json(_ column: Int32) -> JSON? { row.optionalText(column).flatMap { try? JSON(parsing: $0) } }
        (number, id, endpoint, window, input) = (row.int(0), row.text(1), row.text(2), row.text(3), row.text(4))
        (metadata, outputLife, self.status, self.stage) = (json(5), row.optionalInt(6), status, stage)
        ending = row.optionalText(9).flatMap { Status(rawValue: $0) }
        (errors, created, expires) = (json(10), row.int(11), row.int(12))
        (scannedBytes, scannedLines, goodLines, failedLines) = (row.int(13), row.int(14), row.int(15), row.int(16))
        (promptTokens, completionTokens, output, errorOutput) = (row.int(17), row.int(18), row.optionalText(19), row.optionalText(20))
        (lastNumber, cachedTokens) = (row.int(21), row.int(23))
        times = Self.timeNames.enumerated().map { ($0.element, row.optionalInt(Int32(24 + $0.offset))) }
    }
}

/// What a client asks for.
public struct BatchOrder: Sendable, Equatable {
    public var input: String
    public var endpoint: String
    /// As the client wrote it, and in seconds.
    public var window: String
    public var windowSeconds: Int
    /// An object of strings.
    public var metadata: JSON?
    public var outputLifeSeconds: Int?

    public init(input: String, endpoint: String, window: String = "24h", windowSeconds: Int = 86_400, metadata: JSON? = nil, outputLifeSeconds: Int? = nil) {
        self.input = input
        self.endpoint = endpoint
        self.window = window
        self.windowSeconds = windowSeconds
        self.metadata = metadata
        self.outputLifeSeconds = outputLifeSeconds
    }
}
