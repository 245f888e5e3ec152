// What goes into the engine and what comes out of it.
//
// The server makes a `GenerationRequest` of a parsed and tokenised API call; the engine answers with a sequence of
// `GenerationEvent`s that ends with exactly one `.finished` or `.failed`. All are plain values that cross threads.

import BerthCore

/// How the next token is chosen from the logits. Defaults are OpenAI's, save where noted.
public struct SamplingParameters: Sendable, Equatable {
    /// 0 is greedy.
    public var temperature: Float = 1
    /// Keep the smallest set of tokens whose probabilities sum to at least this, in [0, 1]; 0 leaves the likeliest token.
    public var topP: Float = 1
    /// Keep the k most likely tokens; 0 and -1 keep all.
    public var topK: Int = 0
    /// Keep tokens at least this times as likely as the likeliest, in [0, 1].
    public var minP: Float = 0
    /// Divides positive and multiplies negative logits of tokens seen in prompt or output (Keskar et al., 2019). 1 is off.
    public var repetitionPenalty: Float = 1
    /// Subtracted once from the logit of every token in the output.
    public var presencePenalty: Float = 0
    /// Subtracted from the logit of every token, times its count in the output.
    public var frequencyPenalty: Float = 0
    /// Added to the logits of the named tokens.
    public var logitBias: [Int32: Float] = [:]
    /// The same seed, prompt and parameters give the same tokens, whatever else runs.
    public var seed: UInt64 = 0

    public init() {}
}

/// How urgent a request is.
public enum ServiceClass: String, Sendable, CaseIterable {
    /// Somebody waits for the answer.
    case interactive
    /// Takes what others leave idle, and may wait for long: work for throughput.
    case bulk
}

/// One sequence to generate.
public struct GenerationRequest: Sendable {
    public let id: RequestID
    /// Whose it is: who may find its prompt in the prefix cache, and whose share of the machine it takes.
    public var tenant = TenantName.daemon
    /// The adapter to apply; nil is the base model.
    public var adapter: AdapterName?
    /// At least one token; with `maxTokens`, no longer than the context.
    public var prompt: [Int32]
    public var sampling = SamplingParameters()
    /// At most this many tokens are generated. 0 only evaluates the prompt (for `promptLogprobs`).
    public var maxTokens: Int
    /// Generation ends before the first of these strings appears in the text.
    public var stopStrings: [String] = []
    /// Tokens that end the generation, beside the model's own end tokens.
    public var stopTokens: [Int32] = []
    /// The model's end tokens are ordinary tokens.
    public var ignoresEndTokens = false
    /// Nothing but `maxTokens` ends the generation before it has so many tokens.
    public var minTokens = 0
    /// Sequences of tokens that the output must not contain: after all but the last of one, its last is not chosen.
    public var badWords: [[Int32]] = []
    /// The stop string, or the text of the token that ended the generation, is part of the text.
    public var includesStop = false
    /// Special tokens appear in the text.
    public var showsSpecialTokens = false
    /// Report the chosen token's log-probability and this many alternatives with every token; nil reports none.
    public var logprobs: Int?
    /// Report the prompt tokens' log-probabilities and ranks too, before the first token, with so many alternatives; nil reports none.
    public var promptLogprobs: Int?
    public var serviceClass = ServiceClass.interactive
    /// How urgent it is beside others of its tenant and class, of `Limits.priorities`; lower goes first.
    public var priority = 0
    /// When the answer is of no use any more, in nanoseconds of the engine's clock: the request ends then, or before, when its first token cannot come in time.
    public var deadline: UInt64?

    public init(id: RequestID, adapter: AdapterName? = nil, prompt: [Int32], maxTokens: Int) {
        self.id = id
        self.adapter = adapter
        self.prompt = prompt
        self.maxTokens = maxTokens
    }
}

/// A token's natural log-probability under the model (before temperature, penalties and truncation), and the likeliest alternatives.
public struct TokenLogprob: Sendable, Equatable {
    public struct Alternative: Sendable, Equatable {
        public var token: Int32
        public var logprob: Float
        public init(token: Int32, logprob: Float) {
            self.token = token
            self.logprob = logprob
        }
    }

    public var token: Int32
    public var logprob: Float
    /// Sorted by falling log-probability, ties by token.
    public var top: [Alternative]
    /// 1 for the likeliest token; only for tokens of a prompt.
    public var rank: Int?

    public init(token: Int32, logprob: Float, top: [Alternative], rank: Int? = nil) {
        self.token = token
        self.logprob = logprob
        self.top = top
        self.rank = rank
    }
}

/// One generated token.
public struct GeneratedToken: Sendable, Equatable {
    public var token: Int32
    /// The text that became certain with this token: whole characters that are no part of a possible stop string. Often empty.
    public var text: String
    public var logprob: TokenLogprob?

    public init(token: Int32, text: String, logprob: TokenLogprob?) {
        self.token = token
        self.text = text
        self.logprob = logprob
    }
}

public enum FinishReason: String, Sendable {
    /// An end token, a stop token or a stop string.
    case stop
    /// `maxTokens` or the end of the context.
    case length
    /// `cancel` was called.
    case cancelled
}

public struct Usage: Sendable, Equatable {
    public var promptTokens = 0
    public var completionTokens = 0
    /// Of the prompt's tokens, those whose keys and values were there already.
    public var cachedTokens = 0
    public init(promptTokens: Int = 0, completionTokens: Int = 0, cachedTokens: Int = 0) {
        self.promptTokens = promptTokens
        self.completionTokens = completionTokens
        self.cachedTokens = cachedTokens
    }
}

/// Why a request could not be served.
public struct GenerationFailure: Error, Sendable, Equatable {
    public enum Code: String, Sendable {
        /// The request itself is at fault (empty prompt, a token outside the vocabulary, longer than the context…).
        case invalidRequest
        case unknownAdapter
        /// The adapter's files do not fit the base model or cannot be read.
        case adapterRejected
        /// The queue is full, or the request can never fit the pool.
        case overloaded
        /// Weights that the request needs could not be read from disk.
        case unreadable
        case draining
        /// The answer cannot come, or has not come, by when it was wanted.
        case deadline
        case internalError
    }

    public var code: Code
    /// A sentence for the client. Names no path.
    public var message: String
    /// Seconds after which a retry makes sense, where that is known.
    public var retrySeconds: Int?

    public init(_ code: Code, _ message: String, retrySeconds: Int? = nil) {
        self.code = code
        self.message = message
        self.retrySeconds = retrySeconds
    }
}

/// What a running request reports, in order.
public enum GenerationEvent: Sendable {
    /// Only with `promptLogprobs`: one entry per prompt token, the first nil.
    case prompt([TokenLogprob?])
    case token(GeneratedToken)
    /// `text` is what the detokenizer still held (an unfinished character, text that turned out to be no stop string).
    case finished(FinishReason, text: String, usage: Usage)
    case failed(GenerationFailure)
}
