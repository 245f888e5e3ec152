// The engine's events to the answer that the client gets: whole or as a stream of chunks.
//
// A pure state machine: events in, outputs out. With streaming, every token with text makes one chunk; a token whose
// text is still held back (half a character, a possible stop string) sends nothing, and what was to be said about it goes
// out with the next chunk. A client that reads slowly gets fewer, larger chunks (`pause`). Without streaming, the choices are collected and given out at the end.

import BerthCore
import BerthEngine
import BerthHTTP

struct AnswerAssembler {
    enum Output: Equatable {
        /// Bytes of an event stream.
        case chunk([UInt8])
        /// The event stream is complete (its last bytes were given as a chunk).
        case endOfStream
        /// The whole answer of a request without streaming.
        case answer(JSON)
        /// The request failed. A stream that has begun says so in an event of its own.
        case failure(APIError)
    }

    private struct Choice {
        var prompt: Int
        /// Text and reports that are not sent yet; without streaming, everything so far.
        var text = ""
        var reports: [TokenReport] = []
        var tokens: [Int32] = []
        /// Unicode scalars of the reports that were sent.
        var offset = 0
        var hasBegun = false
        /// Something of this choice was sent.
        var isOpen = false
        var finishReason: String?
        /// Where they were asked for.
        var promptLogprobs: [PromptTokenReport?]?
    }

    let identity: AnswerIdentity
    private let call: PreparedGeneration
    private let text: any TextService
    private var choices: [Choice]
    private var unfinished: Int
    private(set) var usage: AnswerUsage
    /// Of each prompt of which a choice has ended.
    private var cachedTokens: [Int: Int] = [:]
    private var hasFailed = false
    /// The client reads more slowly than the model writes: text is held back and goes out in larger pieces.
    private var isPaused = false

    init(_ call: PreparedGeneration, identity: AnswerIdentity, text: any TextService) {
        self.call = call
        self.identity = identity
        self.text = text
        choices = (0..<call.choiceCount).map { Choice(prompt: $0 / call.delivery.n) }
        unfinished = call.choiceCount
        usage = AnswerUsage(promptTokens: call.prompts.reduce(0) { $0 + $1.tokens.count })
    }

    var isComplete: Bool { unfinished == 0 || hasFailed }

    mutating func receive(_ event: GenerationEvent, choice index: Int) -> [Output] {
        guard !isComplete, choices[index].finishReason == nil else { return [] }
        switch event {
        case .prompt(let logprobs):
            begin(index, promptLogprobs: logprobs)
            return []
        case .token(let token):
            begin(index)
            choices[index].text += token.text
            if let logprob = token.logprob { choices[index].reports.append(report(logprob)) }
            if call.delivery.returnsTokenIDs { choices[index].tokens.append(token.token) }
            guard call.delivery.streams, !isPaused, !choices[index].text.isEmpty else { return [] }
            return [.chunk(takeChunk(index))]
        case .finished(.cancelled, _, _):
            // Nobody but the daemon itself cancels a request whose client is still there.
            return fail(.unavailable("The request was ended by the daemon.", code: "cancelled"))
        case .finished(let reason, let rest, let used):
            begin(index)
            choices[index].text += rest
            choices[index].finishReason = reason.rawValue
            usage.completionTokens += used.completionTokens
            countCached(used.cachedTokens, ofPrompt: choices[index].prompt)
            unfinished -= 1
            return finish(index)
        case .failed(let failure): return fail(APIError(failure))
        }
    }

    /// A prompt of several choices was there as far as the first of them found it: the others found what that one had computed.
    private mutating func countCached(_ count: Int, ofPrompt prompt: Int) {
        let least = min(count, cachedTokens[prompt] ?? .max)
        usage.cachedTokens += least - (cachedTokens[prompt] ?? 0)
        cachedTokens[prompt] = least
    }

    /// From now on tokens are collected.
    mutating func pause() { isPaused = true }

    /// Gives out what was collected, and goes on as before.
    mutating func resume() -> [Output] {
        isPaused = false
        guard call.delivery.streams, !isComplete else { return [] }
        return choices.indices.filter { !choices[$0].text.isEmpty }.map { .chunk(takeChunk($0)) }
    }

    /// Bytes of text that are collected and not given out.
    var heldBytes: Int { choices.reduce(0) { $0 + $1.text.utf8.count } }

    /// Ends the answer with an error: as an event where the stream has begun, else as a response.
    mutating func fail(_ error: APIError) -> [Output] {
        guard !isComplete else { return [] }
        hasFailed = true
        return [.failure(error)]
    }

    private mutating func finish(_ index: Int) -> [Output] {
        guard call.delivery.streams else {
            return unfinished == 0 ? [.answer(identity.answer(choices.indices.map { takePiece($0) }, usage: usage))] : []
        }
        var bytes = takeChunk(index)
        guard unfinished == 0 else { return [.chunk(bytes)] }
        if call.delivery.includesUsage { bytes += SSEEncoder.event(identity.usageChunk(usage)) }
        return [.chunk(bytes + SSEEncoder.done), .endOfStream]
    }

    /// Puts the echoed prompt before the first token.
    private mutating func begin(_ index: Int, promptLogprobs: [TokenLogprob?] = []) {
        guard !choices[index].hasBegun else { return }
        choices[index].hasBegun = true
        let prompt = call.prompts[choices[index].prompt]
        if let count = call.delivery.promptLogprobs {
            choices[index].promptLogprobs = promptLogprobs.map { $0.map { promptReport($0, alternatives: count) } }
        }
        guard let echo = prompt.echo else { return }
        choices[index].text = echo
        guard call.logprobs != nil else { return }
        for (token, logprob) in zip(prompt.tokens, promptLogprobs) {
            choices[index].reports.append(
                logprob.map { report($0, alternatives: call.logprobs) } ?? TokenReport(text: shown(token), bytes: text.bytes(of: token), logprob: nil, top: []))
        }
    }

    private mutating func takeChunk(_ index: Int) -> [UInt8] {
        SSEEncoder.event(identity.chunk(takePiece(index), announcesUsage: call.delivery.includesUsage))
    }

    private mutating func takePiece(_ index: Int) -> AnswerPiece {
        var piece = AnswerPiece(index: index, text: choices[index].text)
        if call.logprobs != nil, !choices[index].reports.isEmpty || !call.delivery.streams {
            piece.logprobs = choices[index].reports
            piece.textOffset = choices[index].offset
            if !call.isChat { choices[index].offset += choices[index].reports.reduce(0) { $0 + $1.text.unicodeScalars.count } }
        }
        if call.delivery.returnsTokenIDs {
            piece.tokenIDs = choices[index].tokens
            if !choices[index].isOpen { piece.promptTokenIDs = call.prompts[choices[index].prompt].tokens }
        }
        piece.opensMessage = call.isChat && !choices[index].isOpen
        choices[index].isOpen = true
        piece.finishReason = choices[index].finishReason
        piece.promptLogprobs = choices[index].promptLogprobs
        choices[index].text = ""
        choices[index].reports = []
        choices[index].tokens = []
        return piece
    }

    private func report(_ logprob: TokenLogprob, alternatives: Int? = nil) -> TokenReport {
        TokenReport(
            text: shown(logprob.token), bytes: text.bytes(of: logprob.token), logprob: logprob.logprob,
            top: logprob.top.prefix(alternatives ?? .max).map { .init(text: shown($0.token), bytes: text.bytes(of: $0.token), logprob: $0.logprob) })
    }

    private func promptReport(_ logprob: TokenLogprob, alternatives: Int) -> PromptTokenReport {
        var entries = logprob.top.prefix(alternatives).enumerated().map { rank, entry in
            PromptTokenReport.Entry(token: entry.token, text: shown(entry.token), logprob: entry.logprob, rank: rank + 1)
        }
        if !entries.contains(where: { $0.token == logprob.token }) {
            entries.append(.init(token: logprob.token, text: shown(logprob.token), logprob: logprob.logprob, rank: logprob.rank ?? 0))
        }
        return PromptTokenReport(entries: entries)
    }

    private func shown(_ token: Int32) -> String {
        call.delivery.showsTokensAsIDs ? "token_id:\(token)" : String(decoding: text.bytes(of: token), as: UTF8.self)
    }
}
