// The client library's front: one value per daemon, one method per route.
//
//     let berth = BerthClient()
//     for try await chunk in try await berth.stream(ChatRequest(model: "support-bot", messages: [.user("Where is my parcel?")])) {
//         print(chunk.text, terminator: "")
//     }
//
// Each call opens a connection of its own (a Unix socket costs microseconds), so calls never wait for each other and a cancelled
// or dropped stream closes just its own connection, upon which the daemon stops generating.

import BerthCore
import Glibc

/// Talks to a Berth daemon over its inference socket. A value without state; safe to share.
public struct BerthClient: Sendable {
    /// Path of the inference socket.
    public let socketPath: String
    /// Sent as a bearer key. A daemon without keys does not look at it.
    public var apiKey: String?

    public init(socketPath: String = BerthClient.defaultSocketPath, apiKey: String? = nil) {
        self.socketPath = socketPath
        self.apiKey = apiKey
    }

    /// Where a daemon with default settings listens: `$BERTH_SOCKET`, else in `$XDG_RUNTIME_DIR/berth` if that socket exists, else `/run/berth/berth.sock`.
    public static var defaultSocketPath: String { path(of: "berth.sock", variable: "BERTH_SOCKET") }

    /// `$BERTH_API_KEY`, for programs that take their key from there.
    public static var environmentKey: String? { value("BERTH_API_KEY") }

    private static func value(_ name: String) -> String? { getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 } }

    static func path(of name: String, variable: String) -> String {
        if let path = value(variable) { return path }
        if let directory = value("XDG_RUNTIME_DIR") {
            let path = "\(directory)/berth/\(name)"
            if access(path, F_OK) == 0 { return path }
        }
        return "/run/berth/\(name)"
    }

    // MARK: generation

    /// Continues a text and returns the whole answer.
    public func complete(_ request: CompletionRequest) async throws(BerthClientError) -> Generation {
        try Generation(json: await post("/v1/completions", request.body(stream: false)))
    }

    /// Continues a text and returns the answer as it is made.
    public func stream(_ request: CompletionRequest) async throws(BerthClientError) -> GenerationStream {
        try await open("/v1/completions", request.body(stream: true))
    }

    /// Continues a conversation and returns the whole answer.
    public func chat(_ request: ChatRequest) async throws(BerthClientError) -> Generation {
        try Generation(json: await post("/v1/chat/completions", request.body(stream: false)))
    }

    /// Continues a conversation and returns the answer as it is made.
    public func stream(_ request: ChatRequest) async throws(BerthClientError) -> GenerationStream {
        try await open("/v1/chat/completions", request.body(stream: true))
    }

    // MARK: the rest

    /// The base model and the adapters that this caller may use.
    public func models() async throws(BerthClientError) -> [ModelInfo] {
        var models: [ModelInfo] = []
        for entry in try await get("/v1/models").require("data", \.array) { models.append(try ModelInfo(json: entry)) }
        return models
    }

    /// The tokens of `text` in the base model's vocabulary.
    public func tokenize(_ text: String, addsSpecialTokens: Bool = true) async throws(BerthClientError) -> [Int32] {
        let answer = try await post("/tokenize", ["prompt": .string(text), "add_special_tokens": .bool(addsSpecialTokens)])
        return try answer.require("tokens", \.array).compactMap { $0.int.flatMap { Int32(exactly: $0) } }
    }

    /// The text of `tokens`.
    public func detokenize(_ tokens: [Int32]) async throws(BerthClientError) -> String {
        try await post("/detokenize", ["tokens": .array(tokens.map { JSON(Int($0)) })]).require("prompt", \.string)
    }

    /// The daemon's version.
    public func version() async throws(BerthClientError) -> String { try await get("/version").require("version", \.string) }

    /// Whether a request would be answered now; false while the model loads and while the daemon drains.
    public func isReady() async throws(BerthClientError) -> Bool {
        do {
            _ = try await Exchange.data(socketPath, .get, "/health/ready", apiKey: apiKey)
            return true
        } catch {
            if case .refused(let refusal) = error, refusal.status == 503 { return false }
            throw error
        }
    }

    // MARK: plumbing

    func get(_ path: String) async throws(BerthClientError) -> JSON {
        try await Exchange.json(socketPath, .get, path, apiKey: apiKey)
    }

    func post(_ path: String, _ body: JSON) async throws(BerthClientError) -> JSON {
        try await Exchange.json(socketPath, .post, path, body: body, apiKey: apiKey)
    }

    private func open(_ path: String, _ body: JSON) async throws(BerthClientError) -> GenerationStream {
        let exchange = try await Exchange(socketPath, .post, path, body: body, apiKey: apiKey)
        try await exchange.requireSuccess()
        return GenerationStream(exchange: exchange)
    }
}
