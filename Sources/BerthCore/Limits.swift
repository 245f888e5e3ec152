// Every bound of a queue, a buffer or a loop that meets the outside world, by name.
//
// A number that limits something stands here and nowhere else, so that one page says what the daemon will take.

/// Named bounds. Counts are counts, sizes are bytes, durations are nanoseconds.
public enum Limits {
    // MARK: documents
    /// Nesting of arrays and objects in any JSON document.
    public static let jsonDepth = 128
    /// `config.json`, `generation_config.json`, `tokenizer_config.json`, `adapter_config.json`.
    public static let configurationFileBytes = 4 << 20
    /// `tokenizer.json`.
    public static let tokenizerFileBytes = 128 << 20
    /// The JSON header of one safetensors file.
    public static let safetensorsHeaderBytes = 8 << 20
    /// Dimensions of one tensor.
    public static let tensorDimensions = 8
    /// `model.safetensors.index.json`.
    public static let checkpointIndexBytes = 64 << 20
    public static let checkpointShards = 4096

    /// The header of a prepared image, and the extents in one.
    public static let imageHeaderBytes = 64 << 20
    public static let imageExtents = 1_000_000
    /// Weights of fewer bytes are packed at every start, which takes no time, instead of being stored.
    public static let leastImageBytes = 64 << 20

    // MARK: adapters
    public static let adapterNameBytes = 128
    /// Tenants whose sums are remembered while they have no request, and adapters whose sums are kept apart for one of them.
    public static let rememberedTenants = 8192
    public static let accountedAdapters = 1024
    public static let adapterRank = 1024
    /// Keys of `rank_pattern` or `alpha_pattern`, their length, and the steps that matching one of them may take.
    public static let adapterPatterns = 65_536
    public static let adapterPatternBytes = 1024
    public static let adapterPatternSteps = 100_000
    public static let registeredAdapters = 100_000
    /// The file that remembers what administrators loaded, and the one that remembers which adapters were checked.
    public static let adapterRegistryBytes = 32 << 20
    /// Adapters that are read from disk at the same time.
    public static let adapterReads = 4
    /// Waiting requests whose adapters are known to be needed soon.
    public static let adapterLookAhead = 32
    /// Folders that are watched for adapters that come, go and change.
    public static let watchedFolders = 65_536

    // MARK: prefixes
    /// Trees of blocks that are remembered though nothing is in them, and blocks that are looked at for the longest common beginning.
    public static let prefixScopes = 4096
    public static let prefixCandidates = 16

    // MARK: tenants
    public static let tenantNameBytes = 64
    /// Tenants of a configuration, files of `tenants.d`, and what one line of a section may list.
    public static let configuredTenants = 4096
    public static let tenantFiles = 4096
    public static let tenantListEntries = 1024
    public static let apiKeyBytes = 256
    /// Keys of all tenants: each request's is compared with every one.
    public static let apiKeys = 16_384
    /// Tenants that the door remembers while they ask for nothing.
    public static let tenantAccounts = 8192
    /// Tenants with series of their own in the metrics; the others share one.
    public static let tenantSeries = 100
    /// What a request may say of its urgency beside its tenant's others, and how many more urgent ones go before an older one of it until that is raised.
    public static let priorities = -1000...1000
    public static let overtakings = 8

    // MARK: experts
    /// Experts that are read from disk at the same time, and threads that read them.
    public static let expertReads = 6
    /// Reads that a wave may have begun: the disk has something to do while a piece computes.
    public static let waveReads = 32
    /// The same beside streams, whose next step must not wait for them.
    public static let guestReads = 3
    /// Reads begun on a guess about the next layer that may be under way.
    public static let expertGuesses = 8
    /// Reads begun between two steps that may be under way.
    public static let expertsAhead = 4
    /// What is remembered of the routing of adapters and beginnings of prompts.
    public static let routingProfiles = 64
    /// Of the oldest waiting requests, those whose order the routing may change; and how many may be let in before one that came earlier.
    public static let admissionWindow = 8
    public static let passedOver = 4

    // MARK: memory
    /// Kernel mappings that windows over scattered pages may take: half of what Linux gives a process by default (`vm.max_map_count`).
    public static let poolMappings = 32_768
    /// What the engine gives back to the kernel between two steps.
    public static let memoryPieceBytes = 64 << 20
    /// Holders of pages that a picture of the pool names.
    public static let poolHolders = 64

    // MARK: the loop
    /// What one read of a socket takes at most.
    public static let readBytes = 64 << 10
    /// Batches of events (one per engine step) that may wait for the loop; a full mailbox makes the engine wait.
    public static let mailboxMessages = 4096

    // MARK: models
    public static let contextTokens = 1 << 24
    public static let vocabularyTokens = 1 << 20
    /// Hidden and intermediate sizes.
    public static let layerWidth = 1 << 17
    public static let modelLayers = 1024
    public static let attentionHeads = 1024
    public static let headDimension = 256
    public static let expertsPerLayer = 1024
    /// Experts that one row may choose.
    public static let chosenExperts = 64
    public static let endTokens = 64

    // MARK: HTTP
    public static let headerBytes = 16 << 10
    public static let headerFields = 64
    public static let bodyBytes = 4 << 20
    /// Bodies of the inference socket that are being received or read, all together; and what is set aside at first for one whose length is not said.
    public static let bodiesBytes = 32 << 20
    public static let unknownBodyBytes = 16 << 10
    /// The line before a chunk of a chunked body: its size and extensions.
    public static let chunkLineBytes = 256
    /// One server-sent event, as a client reads it.
    public static let eventBytes = 16 << 20
    /// Of one socket. No user has more than are left for others.
    public static let connections = 2048
    /// Bytes that one connection may send ahead of the request being answered before it is not read from any more.
    public static let pipelinedBytes = 256 << 10
    public static let headerNanoseconds: UInt64 = 5_000_000_000
    public static let bodyNanoseconds: UInt64 = 30_000_000_000
    public static let idleNanoseconds: UInt64 = 120_000_000_000
    /// How long a refused client may go on sending before its connection is closed.
    public static let lingerNanoseconds: UInt64 = 2_000_000_000
    /// Requests whose bodies are being parsed and tokenised at one time; more are answered with 503.
    public static let preparingRequests = 512
    /// How many of them at once: the worker threads of libuv.
    public static let preparingWorkers = 4
    /// Answers of the engine thread (status, loading) that routes may wait for at one time.
    public static let pendingReplies = 256
    /// Event-stream bytes queued for one client: above the first its request pauses, above the second it is cancelled.
    public static let queuedStreamBytes = 1 << 20
    public static let queuedStreamHardBytes = 4 << 20
    /// How long a client may take nothing of what is queued for it before its request is cancelled.
    public static let stalledClientNanoseconds: UInt64 = 30_000_000_000

    /// What a client may say that it will wait.
    public static let requestTimeoutSeconds = 0.001...86_400

    // MARK: requests
    /// Requests that wait or run in the engine.
    public static let queuedRequests = 4096
    /// Administrative commands that wait for the engine.
    public static let queuedCommands = 1024
    /// `n` of one request, and prompts in one request's array.
    public static let choicesPerRequest = 128
    public static let stopStrings = 16
    public static let stopStringBytes = 1024
    public static let logitBiasEntries = 1024
    public static let badWords = 256
    /// Adapters of which it is known how long their outputs are.
    public static let outputWindows = 1024
    /// Bulk requests that run in one wave.
    public static let waveRequests = 512
    public static let topLogprobs = 20

    // MARK: batches
    /// One uploaded file, its parts' headers and small fields, and how many parts and fields there may be.
    public static let uploadFileBytes = 200 << 20
    public static let partHeaderBytes = 8 << 10
    public static let partFieldBytes = 4 << 10
    public static let uploadParts = 16
    /// What an upload's body has at most beside the file.
    public static let uploadExtraBytes = 256 << 10
    /// Files that are being uploaded at one time, and the bytes of one that may wait to be written before its client is not read from any more.
    public static let uploads = 8
    public static let uploadQueuedBytes = 256 << 10
    /// How long an upload may take.
    public static let uploadNanoseconds: UInt64 = 600_000_000_000
    /// Stored files, and the bytes of all of them.
    public static let storedFiles = 10_000
    public static let storedFileBytes = 20 << 30
    public static let fileNameBytes = 255
    /// Bytes of a file that are read at one time to be sent or scanned.
    public static let filePieceBytes = 256 << 10
    /// Lines of one batch, the bytes of a line beside its body, and of its `custom_id`.
    public static let batchLines = 50_000
    public static let batchLineExtraBytes = 4 << 10
    public static let customIDBytes = 512
    /// Batches that have not ended, and batches that are remembered: the oldest of those that have ended are forgotten.
    public static let openBatches = 1000
    public static let rememberedBatches = 10_000
    /// Errors that a failed batch tells one by one.
    public static let batchErrors = 100
    public static let metadataEntries = 16
    public static let metadataKeyBytes = 64
    public static let metadataValueBytes = 512
    /// Seconds of a completion window, and of a file's life.
    public static let completionWindowSeconds = 60...30 * 86_400
    public static let fileLifeSeconds = 3600...30 * 86_400
    /// How long an uploaded batch file is kept where nothing else is asked for.
    public static let batchFileLifeSeconds = 30 * 86_400
    /// Lines that one step of scanning, closing, writing or sweeping takes, and their bytes: others may ask the database in between.
    public static let batchStepLines = 512
    public static let batchStepBytes = 8 << 20
    /// Commands that wait for the batches' thread.
    public static let batchCommands = 1024
    /// Sequences of bulk work in the engine at one time, the bytes of the lines that they come from, and the lines that are being tokenised.
    public static let bulkSequences = 512
    public static let bulkLineBytes = 8 << 20
    public static let preparingBulkLines = 2
    /// How often a line is tried whose failure may pass, and how long between: doubled every time, up to the second.
    public static let bulkAttempts = 8
    public static let bulkRetryNanoseconds: UInt64 = 250_000_000
    public static let bulkRetryMostNanoseconds: UInt64 = 30_000_000_000
    /// How long a page of files or batches is, at most.
    public static let filePage = 10_000
    public static let batchPage = 100

    // MARK: compute
    /// Threads of the compute pool.
    public static let computeThreads = 256

    // MARK: tokenizers
    /// The greatest id of a token.
    public static let tokenIdentifier = (1 << 22) - 1
    public static let tokenizerMerges = 1 << 22
    /// Tokens outside of the model's vocabulary.
    public static let addedTokens = 1 << 16
    /// One regular expression of a tokenizer, and the nesting of its groups.
    public static let patternBytes = 64 << 10
    public static let patternDepth = 64
    /// What one search may cost in the regular expression engine: backtracking steps and bytes of its stack.
    public static let patternSteps = 50_000_000
    public static let patternStackBytes = 64 << 20
    /// Characters that a decoder takes from an end of a token.
    public static let decoderStrip = 1 << 16
    /// Steps of one normalizer, pre-tokenizer, decoder or post-processor, nested sequences counted through.
    public static let tokenizerSteps = 64

    // MARK: conversations on a terminal
    /// Lines that are remembered, the longest of them, and the size past which the file of them is written anew.
    public static let historyEntries = 1000
    public static let historyEntryBytes = 64 << 10
    public static let historyFileBytes = 1 << 20

    // MARK: chat templates
    /// Evaluation steps of one rendering; a template that needs more is refused.
    public static let templateSteps = 2_000_000
    /// Evaluation steps of all further renderings of one conversation, which look for what its template leaves out, and how
    /// many of them may change a single message or tool.
    public static let templateCheckSteps = 2 * templateSteps
    public static let templateChecks = 8
    /// Evaluation steps of a rendering that finds out how a template wants a conversation.
    public static let templateProbeSteps = 100_000
    public static let templateOutputBytes = 16 << 20
    /// Templates of one checkpoint.
    public static let chatTemplates = 64
    /// Nesting of blocks and parentheses in a template's source.
    public static let templateDepth = 64
    /// Blocks, expressions and macro calls that may be under evaluation at once (bounds the machine stack).
    public static let templateCallDepth = 600
    /// Nesting of a value that a template sees or makes: documents nest to `jsonDepth`, a template may wrap them.
    public static let templateValueDepth = 2 * jsonDepth
    /// Size of one value: elements, with 16 bytes of text counting as one. Lists that hold themselves twice grow fast.
    public static let templateValueWeight = 4 << 20
    /// Elements of one `range(…)`.
    public static let templateRange = 100_000
}
