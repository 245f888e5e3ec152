// `berth batch …`: files of requests, worked through by the daemon while others are served.

import ArgumentParser
import BerthClient
import BerthCore
import Glibc

struct BatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "batch", abstract: "Work through a file of requests.",
        discussion: """
            Each line of the file is a request: {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "…", "messages": […]}}. \
            The daemon goes on when this command is interrupted, and after a restart.
            """,
        subcommands: [Run.self, List.self, Show.self, Cancel.self], defaultSubcommand: Run.self)

    struct Run: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "run", abstract: "Upload a file, wait, and fetch the answers.")

        @OptionGroup var connection: SocketOptions
        @OptionGroup var results: ResultOptions
        @Argument(help: "The file of requests.") var input: String
        @Option(help: "How long it may take; what is not answered by then becomes an error.") var window = "24h"
        @Option(help: "What the lines have as their \"url\"; by default what the first one has.") var endpoint: String?
        @Flag(help: "Do not wait.") var detach = false

        func run() async throws {
            let client = connection.client
            let endpoint = try endpoint ?? firstURL(of: input)
            let file = try await client.uploadFile(input)
            let batch: Batch
            do {
                batch = try await client.createBatch(BatchRequest(input: file.id, endpoint: endpoint, window: window, metadata: ["file": String(input.suffix(200))]))
            } catch {
                try? await client.deleteFile(file.id)
                throw error
            }
            note("batch \(batch.id)")
            if detach { return note(results.wayBack(to: batch.id)) }
            try await results.await(batch, client)
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the batches, newest first.")

        @OptionGroup var connection: SocketOptions
        @Option(help: "How many.") var limit = 20

        func run() async throws {
            let batches = try await connection.client.batches(limit: limit)
            printTable(["BATCH", "STATUS", "LINES", "DONE", "ERRORS", "FILE"], batches.map { batch in
                [batch.id, batch.status, "\(batch.totalLines)", "\(batch.completedLines)", "\(batch.failedLines)", batch.metadata["file"] ?? ""]
            })
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Say where a batch stands; wait for it and fetch its answers.")

        @OptionGroup var connection: SocketOptions
        @OptionGroup var results: ResultOptions
        @Argument(help: "The batch's id.") var id: String
        @Flag(help: "Wait until it has ended.") var wait = false

        func run() async throws {
            let batch = try await connection.client.batch(id)
            if wait || batch.hasEnded { return try await results.await(batch, connection.client) }
            note(BatchProgress.summary(batch))
        }
    }

    struct Cancel: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "End a batch early; what is answered by now stays.")

        @OptionGroup var connection: SocketOptions
        @Argument(help: "The batch's id.") var id: String

        func run() async throws {
            print("\(id): \(try await connection.client.cancelBatch(id).status)")
        }
    }

    /// The `url` of the file's first line.
    private static func firstURL(of path: String) throws -> String {
        guard let stream = fopen(path, "r") else { throw ValidationError("\(path): \(String(cString: strerror(errno)))") }
        defer { fclose(stream) }
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        while getline(&line, &capacity, stream) > 0, let line {
            let text = String(cString: line)
            if text.allSatisfy(\.isWhitespace) { continue }
            if let url = try? JSON(parsing: text)["url"]?.string { return url }
            break
        }
        throw ValidationError("\(path): the first line names no \"url\"; say --endpoint /v1/chat/completions or /v1/completions")
    }
}

/// Where a batch's answers go.
struct ResultOptions: ParsableArguments {
    @Option(name: [.short, .long], help: "A file for the answers; without it they are printed.") var output: String?
    @Option(help: "A file for the lines that are errors; by default beside the answers.") var errors: String?

    func wayBack(to id: String) -> String {
        "the daemon goes on; to come back: berth batch show \(id) --wait" + (output.map { " -o \($0)" } ?? "") + (errors.map { " --errors \($0)" } ?? "")
    }

    /// Shows how the batch gets on until it has ended, then fetches what it has brought.
    func await(_ first: Batch, _ client: BerthClient) async throws {
        var batch = first
        onInterrupt {
            note("\n\(wayBack(to: first.id))")
            Glibc.exit(130)
        }
        var progress = BatchProgress(first, now: seconds())
        let isTerminal = isatty(STDERR_FILENO) == 1
        while !batch.hasEnded {
            try await Task.sleep(nanoseconds: 250_000_000)
            batch = try await client.batch(batch.id)
            progress.update(batch, now: seconds())
            if isTerminal { note("\r\u{1B}[K\(progress.line)", end: "") }
        }
        if isTerminal { note("\r\u{1B}[K", end: "") }
        note(BatchProgress.summary(batch))
        for error in batch.errors { note("  \(error)") }
        if let file = batch.outputFile { try await fetch(file, to: output, client) }
        if let file = batch.errorFile, let path = errors ?? output.map({ $0 + ".errors" }) {
            try await fetch(file, to: path, client)
            note("errors are in \(path)")
        }
        if batch.status != "completed" { throw ExitCode(1) }
    }

    private func fetch(_ file: String, to path: String?, _ client: BerthClient) async throws {
        if let path { return try await client.downloadFile(file, to: path) }
        try await client.readFile(file) { piece throws(BerthClientError) in
            guard writeAll(piece, to: STDOUT_FILENO) else { throw .localFile("standard output", reason: String(cString: strerror(errno))) }
        }
    }

    private func seconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}

/// How a batch gets on, as a line of text.
struct BatchProgress {
    private var batch: Batch
    private let start: (lines: Int, seconds: Double)
    private var now: Double

    init(_ batch: Batch, now: Double) {
        self.batch = batch
        self.now = now
        start = (batch.completedLines + batch.failedLines, now)
    }

    mutating func update(_ batch: Batch, now: Double) {
        self.batch = batch
        self.now = now
    }

    /// A bar, lines per second since this began to look, and the time that the rest will take at that rate.
    var line: String {
        let done = batch.completedLines + batch.failedLines
        guard batch.status == "in_progress", batch.totalLines > 0 else { return batch.status }
        let width = 30
        let filled = done * width / batch.totalLines
        var text = "[\(String(repeating: "#", count: filled))\(String(repeating: " ", count: width - filled))] \(done)/\(batch.totalLines)"
        let rate = Double(done - start.lines) / max(now - start.seconds, 0.001)
        if rate > 0 { text += "  \(Self.rounded(rate))/s  about \(Self.duration(Double(batch.totalLines - done) / rate)) left" }
        if batch.failedLines > 0 { text += "  \(batch.failedLines) errors" }
        return text
    }

    static func summary(_ batch: Batch) -> String {
        "\(batch.id): \(batch.status), \(batch.totalLines) lines, \(batch.completedLines) answered, \(batch.failedLines) errors"
    }

    private static func rounded(_ rate: Double) -> String { rate < 10 ? String((rate * 10).rounded() / 10) : String(Int(rate.rounded())) }

    static func duration(_ seconds: Double) -> String {
        let seconds = Int(min(seconds.rounded(.up), 1e9))
        if seconds < 60 { return "\(seconds) s" }
        if seconds < 3600 { return "\(seconds / 60) min \(seconds % 60) s" }
        return "\(seconds / 3600) h \(seconds % 3600 / 60) min"
    }
}

/// Writes to standard error at once, so that answers can be piped.
func note(_ text: String, end: String = "\n") { _ = writeAll(Array((text + end).utf8), to: STDERR_FILENO) }

/// False where the other side takes no more; `errno` says why.
private func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    var done = 0
    while done < bytes.count {
        let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + done, bytes.count - done) }
        if count >= 0 { done += count } else if errno != EINTR { return false }
    }
    return true
}
