// A model that needs no weights: tokens are bytes, and the prompt says how it behaves.
//
// The output to prompt P is a fixed function of P and the adapter, one token per millisecond. Prompts that start with a
// word steer it: "stall" never leaves prefill, "slow" takes 20 ms per token, "flood" makes tokens of 20 KB, "fail" fails
// before and "break" after the first tokens.

import BerthCore
import BerthEngine
import BerthHTTP
import BerthLoop
import Glibc
import Synchronization

@testable import BerthServer

struct ByteText: TextService {
    func encode(_ text: String, addSpecialTokens: Bool) -> [Int32] { (addSpecialTokens ? [256] : []) + text.utf8.map(Int32.init) }
    func decode(_ tokens: [Int32], skipSpecialTokens: Bool) -> String { String(decoding: tokens.filter { $0 < 256 }.map(UInt8.init), as: UTF8.self) }
    func bytes(of token: Int32) -> [UInt8] { token < 256 ? [UInt8(token)] : Array("<s>".utf8) }
    func render(_ chat: ChatInput) throws(APIError) -> String {
        var text = ""
        for message in chat.messages.array ?? [] {
            if message["role"] == "refused" { throw APIError(.badRequest, "The chat template refuses these messages: no such role.", parameter: "messages") }
            text += "\(message["role"]?.string ?? ""): \(message["content"]?.string ?? "")\n"
        }
        return text + (chat.addsGenerationPrompt ? "assistant: " : "")
    }
}

final class ScriptedGeneration: GenerationService {
    private struct Running {
        var request: GenerationRequest
        var prompt: String
        var produced = 0
        var nextTick = 0
    }

    private struct State {
        var submitted: [GenerationRequest] = []
        var running: [RequestID: Running] = [:]
        var cancelled: [RequestID] = []
        var isStopped = false
        var policies: [TenantName: TenantPolicy] = [:]
        var pages = 10
    }

    private let state = Mutex(State())
    private let deliver: @Sendable (EventBatch) -> Void
    static let queueLimit = 300

    init(deliver: @escaping @Sendable (EventBatch) -> Void) {
        self.deliver = deliver
        joiner.withLock { $0 = JoinableThread(name: "scripted") { self.run() } }
    }

    private let joiner = Mutex<JoinableThread?>(nil)

    /// What the model answers to a prompt, token by token.
    static func output(_ prompt: String, adapter: AdapterName?, count: Int) -> String {
        let start = prompt.utf8.reduce(adapter == nil ? 0 : 7) { ($0 &* 31 &+ Int($1)) % 1_000_003 }
        return String((0..<count).map { Character(Unicode.Scalar(UInt8(97 + (start + $0 * 7 + $0 * $0) % 26))) })
    }

    private func run() {
        var tick = 0
        while true {
            usleep(1000)
            tick += 1
            var batch: EventBatch = []
            let isStopped = state.withLock { state in
                for id in state.running.keys.sorted(by: { $0.rawValue < $1.rawValue }) { step(&state, id, tick, &batch) }
                return state.isStopped
            }
            if !batch.isEmpty { deliver(batch) }
            if isStopped { return }
        }
    }

    private func step(_ state: inout State, _ id: RequestID, _ tick: Int, _ batch: inout EventBatch) {
        guard var running = state.running[id], running.nextTick <= tick, !running.prompt.hasPrefix("stall") else { return }
        let request = running.request
        let usage = Usage(promptTokens: request.prompt.count, completionTokens: running.produced)
        func end(_ event: GenerationEvent) {
            state.running[id] = nil
            batch.append((id, event))
        }
        if running.prompt.hasPrefix("fail") { return end(.failed(GenerationFailure(.adapterRejected, "adapter x does not fit"))) }
        if running.prompt.hasPrefix("break"), running.produced == 3 { return end(.failed(GenerationFailure(.internalError, "it broke"))) }
        if running.produced == 0, let alternatives = request.promptLogprobs {
            batch.append((id, .prompt(request.prompt.enumerated().map { $0.offset == 0 ? nil : logprob($0.element, alternatives, rank: 2) })))
        }
        if running.produced == request.maxTokens { return end(.finished(.length, text: "", usage: usage)) }
        let text = Self.output(running.prompt, adapter: request.adapter, count: running.produced + 1).last!
        let token = Int32(text.asciiValue!)
        running.produced += 1
        running.nextTick = running.prompt.hasPrefix("slow") ? tick + 20 : tick + 1
        state.running[id] = running
        let shown = running.prompt.hasPrefix("flood") ? String(repeating: text, count: 20_000) : String(text)
        batch.append((id, .token(GeneratedToken(token: token, text: shown, logprob: request.logprobs.map { logprob(token, $0) }))))
    }

    private func logprob(_ token: Int32, _ alternatives: Int, rank: Int? = nil) -> TokenLogprob {
        let top = (0..<alternatives).map { TokenLogprob.Alternative(token: Int32(65 + $0), logprob: -1 - Float($0)) }
        return TokenLogprob(token: token, logprob: -0.5, top: top, rank: rank)
    }

    // MARK: GenerationService

    func submit(_ request: GenerationRequest) -> Bool {
        state.withLock { state in
            guard state.running.count < Self.queueLimit else { return false }
            state.submitted.append(request)
            state.running[request.id] = Running(request: request, prompt: ByteText().decode(request.prompt, skipSpecialTokens: true))
            return true
        }
    }

    func cancel(_ id: RequestID) {
        let wasRunning = state.withLock { state in
            state.cancelled.append(id)
            return state.running.removeValue(forKey: id) != nil
        }
        if wasRunning { deliver([(id, .finished(.cancelled, text: "", usage: Usage()))]) }
    }

    func ping(reply: @escaping @Sendable (Bool) -> Void) { reply(true) }

    func status(reply: @escaping @Sendable (EngineStatus) -> Void) {
        var status = EngineStatus()
        status.pages = state.withLock { $0.pages }
        status.freePages = 6
        status.pageBytes = 65_536
        status.classes = [.init(name: "kv", pages: 4, wasteBytes: 512)]
        status.kvPages = 4
        var kv = PoolPicture.Class(.kv)
        (kv.pages, kv.inUse, kv.cached) = (4, 3, 1)
        status.picture.classes = [kv]
        status.picture.holders = [.init(kind: .request, name: "5", state: .running, pages: 3)]
        status.picture.evictions = [Eviction(use: .adapter, cause: .pressure): 2]
        status.picture.tenants = [TenantName("acme")!: 3]
        status.requests = state.withLock { $0.running.values.map { .init(id: $0.request.id, tenant: $0.request.tenant, adapter: $0.request.adapter, priority: $0.request.priority, state: "decode", promptTokens: $0.request.prompt.count, generatedTokens: $0.produced) } }
        status.runningAdapters = Array(Set(status.requests.compactMap(\.adapter))).sorted()
        reply(status)
    }

    func setTenants(_ policies: [TenantName: TenantPolicy], reply: @escaping @Sendable (Bool) -> Void) {
        state.withLock { $0.policies = policies }
        reply(true)
    }

    func shutdown() {
        state.withLock { $0.isStopped = true }
        let thread = joiner.withLock { $0.take() }
        thread?.join()
    }

    // MARK: what tests look at

    var submitted: [GenerationRequest] { state.withLock { $0.submitted } }
    var policies: [TenantName: TenantPolicy] { state.withLock { $0.policies } }
    /// Of the pool.
    func setPages(_ pages: Int) { state.withLock { $0.pages = pages } }
    var cancelledCount: Int { state.withLock { $0.cancelled.count } }
    var runningCount: Int { state.withLock { $0.running.count } }
}

final class ScriptedAdapters: AdapterService {
    private struct Entry {
        var isPinned = false
        var audience = AdapterAudience.unsaid
    }

    private let entries: Mutex<[AdapterName: Entry]>

    init(_ names: [String]) { entries = Mutex(Dictionary(uniqueKeysWithValues: names.map { (AdapterName($0)!, Entry()) })) }

    private static func listing(_ name: AdapterName, _ entry: Entry) -> AdapterListing {
        AdapterListing(name: name, state: "registered", bytes: 1000, modules: 2, ranks: [4, 8], isPinned: entry.isPinned, audience: entry.audience)
    }

    func audience(of name: AdapterName) -> AdapterAudience? { entries.withLock { $0[name]?.audience } }
    func registered() -> [(name: AdapterName, created: Int, audience: AdapterAudience)] {
        entries.withLock { $0.sorted { $0.key < $1.key } }.map { ($0.key, 7, $0.value.audience) }
    }
    func statuses(reply: @escaping @Sendable ([AdapterListing]) -> Void) {
        reply(entries.withLock { $0 }.sorted { $0.key < $1.key }.map { Self.listing($0.key, $0.value) })
    }
    func load(
        _ name: AdapterName, path: String, pinned: Bool, audience: AdapterAudience?, quotas: [TenantName: AdapterQuota],
        reply: @escaping @Sendable (Result<AdapterListing, APIError>) -> Void
    ) {
        guard path == "/good" else { return reply(.failure(APIError(.unprocessableContent, "adapter_config.json is missing", code: "adapter_rejected"))) }
        let entry = entries.withLock { entries in
            let entry = Entry(isPinned: pinned, audience: audience ?? entries[name]?.audience ?? .unsaid)
            entries[name] = entry
            return entry
        }
        reply(.success(Self.listing(name, entry)))
    }
    func unload(_ name: AdapterName, reply: @escaping @Sendable (Result<AdapterListing, APIError>) -> Void) {
        let entry = entries.withLock { $0.removeValue(forKey: name) }
        reply(entry.map { .success(Self.listing(name, $0)) } ?? .failure(.unknownModel(name.text)))
    }
    func setPinned(_ name: AdapterName, _ pinned: Bool, reply: @escaping @Sendable (Result<AdapterListing, APIError>) -> Void) {
        let entry = entries.withLock { entries -> Entry? in
            entries[name]?.isPinned = pinned
            return entries[name]
        }
        reply(entry.map { .success(Self.listing(name, $0)) } ?? .failure(.unknownModel(name.text)))
    }
    func refresh(_ name: AdapterName) {}
    func inspectInBackground() {}
    func rescan(isQuiet: Bool, reply: @escaping @Sendable (AdapterReload) -> Void) {
        entries.withLock { $0[AdapterName("found")!] = Entry() }
        var reload = AdapterReload()
        reload.added = [AdapterName("found")!]
        reply(reload)
    }
}
