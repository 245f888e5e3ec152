// What the server needs from the model behind it. `Assembly.swift` makes it of the real parts; tests make it of scripted ones.

import BerthCore
import BerthEngine
import BerthHTTP

/// Facts about the base model.
public struct ModelDescription: Sendable {
    /// The name that clients use for the base model, beside "base".
    public var name: String
    /// Tokens of prompt and output together.
    public var contextLength: Int
    /// What a request without `max_tokens` may grow to at most, prompt included: a share of the pool, where that is smaller than the context. Moves with
    /// the pool.
    public var openEndedTokens: Int { min(openEnded?.withLock { $0 } ?? contextLength, contextLength) }
    private let openEnded: Shared<Int>?
    public var vocabularySize: Int
    /// What `generation_config.json` says about sampling; applies to what a request leaves open.
    public var defaults: SamplingFields
    /// Seconds since 1970.
    public var created: Int

    public init(
        name: String, contextLength: Int, openEnded: Shared<Int>? = nil, vocabularySize: Int, defaults: SamplingFields = SamplingFields(), created: Int
    ) {
        self.name = name
        self.contextLength = contextLength
        self.openEnded = openEnded
        self.vocabularySize = vocabularySize
        self.defaults = defaults
        self.created = created
    }
}

/// Text to tokens and back. Called on worker threads; may take long.
public protocol TextService: Sendable {
    func encode(_ text: String, addSpecialTokens: Bool) -> [Int32]
    func decode(_ tokens: [Int32], skipSpecialTokens: Bool) -> String
    /// The bytes that a token stands for, alone.
    func bytes(of token: Int32) -> [UInt8]
    /// The conversation as the checkpoint's template writes it.
    /// - Throws: a sentence for the client: no template, or one that refuses these messages.
    func render(_ chat: ChatInput) throws(APIError) -> String
}

/// An adapter as the admin socket shows it.
public struct AdapterListing: Sendable, Equatable {
    public var name: AdapterName
    /// "resident", "loading", "registered" (on disk) or "rejected".
    public var state: String
    public var bytes: Int?
    public var digest: String?
    /// How many modules of the model it changes.
    public var modules: Int?
    public var ranks: [Int]
    public var uses: Int
    public var isPinned: Bool
    public var audience: AdapterAudience
    /// Why it was rejected.
    public var reason: String?
    public var warnings: [String]

    public init(
        name: AdapterName, state: String, bytes: Int? = nil, digest: String? = nil, modules: Int? = nil, ranks: [Int] = [], uses: Int = 0,
        isPinned: Bool = false, audience: AdapterAudience = .unsaid, reason: String? = nil, warnings: [String] = []
    ) {
        self.name = name
        self.state = state
        self.bytes = bytes
        self.digest = digest
        self.modules = modules
        self.ranks = ranks
        self.uses = uses
        self.isPinned = isPinned
        self.audience = audience
        self.reason = reason
        self.warnings = warnings
    }
}

/// The engine at one moment.
public struct EngineStatus: Sendable, Equatable {
    public struct Request: Sendable, Equatable {
        public var id: RequestID
        public var tenant: TenantName
        public var adapter: AdapterName?
        /// Lower goes first among its tenant's.
        public var priority: Int
        /// "waiting", "prefill" or "decode".
        public var state: String
        public var promptTokens: Int
        public var generatedTokens: Int

        public init(id: RequestID, tenant: TenantName, adapter: AdapterName?, priority: Int = 0, state: String, promptTokens: Int, generatedTokens: Int) {
            self.id = id
            self.tenant = tenant
            self.adapter = adapter
            self.priority = priority
            self.state = state
            self.promptTokens = promptTokens
            self.generatedTokens = generatedTokens
        }
    }

    public struct PageClass: Sendable, Equatable {
        public var name: String
        public var pages: Int
        /// Bytes of these pages that hold nothing.
        public var wasteBytes: Int
        public init(name: String, pages: Int, wasteBytes: Int = 0) {
            self.name = name
            self.pages = pages
            self.wasteBytes = wasteBytes
        }
    }

    public var requests: [Request] = []
    public var pageBytes = 0
    public var pages = 0
    public var freePages = 0
    public var classes: [PageClass] = []
    /// Pages that hold KV of running requests.
    public var kvPages = 0
    /// Pages of KV that nobody uses and that stay for whoever begins alike.
    public var cachedPages = 0
    /// Who holds what.
    public var picture = PoolPicture()
    /// Tokens looked up in the prefix cache, and found there.
    public var prefixQueries = 0
    public var prefixHits = 0
    /// Blocks that left the cache for others' sake.
    public var prefixEvictions = 0
    public var runningAdapters: [AdapterName] = []
    public var waitingAdapters: [AdapterName] = []
    public var steps = 0
    /// Nil where all experts are in memory.
    public var experts: ExpertStatus?
    public var waves = WaveStatus()
    /// Everybody who has asked for something, by name.
    public var tenants: [TenantStatus] = []

    public init() {}

    public var running: Int { requests.count { $0.state != "waiting" } }
    public var waiting: Int { requests.count { $0.state == "waiting" } }
}

/// Takes requests and reports their events to the callback that the assembly was given.
public protocol GenerationService: Sendable {
    /// Takes the request; its events follow. False where the queue is full.
    func submit(_ request: GenerationRequest) -> Bool
    /// Ends a request at once, in whatever state it is. It reports nothing any more, or one last `.finished(.cancelled)`.
    func cancel(_ id: RequestID)
    /// Asks the engine's thread for a sign of life.
    func ping(reply: @escaping @Sendable (Bool) -> Void)
    func status(reply: @escaping @Sendable (EngineStatus) -> Void)
    /// Replaces what tenants may have of the engine. Those that are not named have the defaults.
    func setTenants(_ policies: [TenantName: TenantPolicy], reply: @escaping @Sendable (Bool) -> Void)
    /// Ends the engine's thread and waits for it.
    func shutdown()
}

/// The adapters of the base model. Registration is durable where the assembly makes it so.
public protocol AdapterService: Sendable {
    /// Whom an adapter was loaded for; nil where there is none of that name.
    func audience(of name: AdapterName) -> AdapterAudience?
    /// Adapters that can be used, with the second (since 1970) of their registration.
    func registered() -> [(name: AdapterName, created: Int, audience: AdapterAudience)]
    func statuses(reply: @escaping @Sendable ([AdapterListing]) -> Void)
    /// Validates the adapter at `path` entirely, then puts it in place of an older one of that name.
    /// - Parameters:
    ///   - audience: nil leaves it as it is.
    ///   - quotas: what these tenants may have loaded for them.
    func load(
        _ name: AdapterName, path: String, pinned: Bool, audience: AdapterAudience?, quotas: [TenantName: AdapterQuota],
        reply: @escaping @Sendable (Result<AdapterListing, APIError>) -> Void)
    func unload(_ name: AdapterName, reply: @escaping @Sendable (Result<AdapterListing, APIError>) -> Void)
    func setPinned(_ name: AdapterName, _ pinned: Bool, reply: @escaping @Sendable (Result<AdapterListing, APIError>) -> Void)
    /// Takes over what has changed in the adapter's files, so that a request that begins now is served with what is there now. Looks at the file
    /// system, and may wait for a disk: called on worker threads.
    func refresh(_ name: AdapterName)
    /// Looks at the configured directory and at every adapter's files anew. `isQuiet`: what has been said before and is still so is not said again.
    func rescan(isQuiet: Bool, reply: @escaping @Sendable (AdapterReload) -> Void)
    /// Begins to read adapters whole that were registered without. Called once, when requests are answered.
    func inspectInBackground()
}

/// A loaded model with everything that serves it.
public struct ModelService: Sendable {
    public var description: ModelDescription
    public var text: any TextService
    public var generation: any GenerationService
    public var adapters: any AdapterService
    /// Nil where the memory is nobody's to move.
    public var memory: (any MemoryService)?

    public init(
        description: ModelDescription, text: any TextService, generation: any GenerationService, adapters: any AdapterService,
        memory: (any MemoryService)? = nil
    ) {
        self.description = description
        self.text = text
        self.generation = generation
        self.adapters = adapters
        self.memory = memory
    }
}

/// Events of one engine step, in order.
public typealias EventBatch = [(RequestID, GenerationEvent)]
