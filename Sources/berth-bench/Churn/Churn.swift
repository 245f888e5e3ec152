// A churn: who does what, until enough is done.

import BerthClient
import BerthCore
import Glibc

struct Churn: Sendable {
    struct Goal: Sendable {
        var seconds: Double
        var loads: Int
        var moves: Int
    }

    /// An answer that must not change.
    private struct Probe: Sendable {
        var request: CompletionRequest
        var text: String
    }

    var client: BerthClient
    var admin: BerthAdmin
    /// Folders of adapters.
    var adapters: [String]
    var goal: Goal
    var streams: Int
    var most: ByteSize?
    var process: ProcessFiles?
    var seed: UInt64

    /// Adapters that are loaded at a time, at most.
    private static let names = 24
    private static let systemPrompts = ["You answer in one word. ", "You are a patient teacher of numbers, and you never hurry. ", "1 = one\n2 = two\n3 = three\n"]

    static func folders(of directory: String) throws -> [String] {
        guard let listing = opendir(directory) else { throw BenchError("\(directory): \(String(cString: strerror(errno)))") }
        defer { closedir(listing) }
        var folders: [String] = []
        while let entry = readdir(listing) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: entry.pointee.d_name)) { String(cString: $0) }
            }
            if access("\(directory)/\(name)/adapter_config.json", F_OK) == 0, let path = realpath("\(directory)/\(name)", nil) {
                folders.append(String(cString: path))
                free(path)
            }
        }
        guard !folders.isEmpty else { throw BenchError("\(directory) holds no adapters") }
        return folders.sorted()
    }

    func run() async throws -> ChurnReport {
        let clock = ContinuousClock()
        let state = ChurnState(goal: goal, start: clock.now)
        let listed = try await client.models()
        let models = listed.map(\.name)
        let context = listed.compactMap(\.contextLength).min() ?? 512
        let memory = try await admin.memory()
        guard let limit = memory["limit_bytes"]?.int, let least = memory["least_bytes"]?.int else { throw BenchError("the daemon does not tell its memory") }
        let probes = try await makeProbes(models)
        let before = try await process?.quietDescriptors()

        await withTaskGroup(of: Void.self) { group in
            for index in 0..<streams { group.addTask { await stream(index, models, context: context, state) } }
            group.addTask { await load(state) }
            group.addTask { await move(least...max(least, min(most?.bytes ?? limit, memory["most_bytes"]?.int ?? limit)), state) }
            group.addTask { await probe(probes, state) }
            group.addTask {
                while await !state.isDone {
                    if let bytes = process?.residentBytes { await state.sample(bytes) }
                    try? await Task.sleep(nanoseconds: 1_000_000_000)
                }
            }
        }

        var report = await state.report
        _ = try await admin.setMemory(bytes: limit)
        report.problems += try await leftOver()
        report.problems += try await probes.asyncFilter { try await client.complete($0.request).text != $0.text }.map { "the answer to \($0.request.model ?? "base") has changed" }
        if let before, let after = try await process?.quietDescriptors() {
            report.descriptors = (before, after)
            report.problems += after.more(than: before)
        }
        if let peaks = report.peaks, Double(peaks.late) > Double(peaks.early) * 1.03 + Double(8 << 20) {
            report.problems.append("memory grew from \(ByteSize(bytes: peaks.early)) to \(ByteSize(bytes: peaks.late))")
        }
        report.seconds = state.start.duration(to: clock.now).seconds
        return report
    }

    // MARK: who asks

    static func request(_ models: [String], context: Int, _ random: inout RandomSource) -> CompletionRequest {
        var prompt = Bool.random(using: &random) ? systemPrompts.randomElement(using: &random)! : ""
        // Mostly short; one in eight fills much of the context. A number takes six tokens at most, a system prompt and the answer 160.
        let most = max(9, min(300, (context - 160) / 6))
        let numbers = Int.random(in: 0..<8, using: &random) == 0 ? Int.random(in: 9...most, using: &random) : Int.random(in: 1...8, using: &random)
        prompt += (0..<numbers).map { _ in "\(Int.random(in: 0..<1000, using: &random)) =" }.joined(separator: " ")
        var options = SamplingOptions(maxTokens: Int.random(in: 1...60, using: &random), temperature: Bool.random(using: &random) ? 0 : 1, seed: Int.random(in: 0..<1 << 30, using: &random))
        options.ignoresEndTokens = Bool.random(using: &random)
        if Int.random(in: 0..<6, using: &random) == 0 { options.extra["service_tier"] = "flex" }
        if Int.random(in: 0..<10, using: &random) == 0 { options.n = 2 }
        // Half of them say nothing, which is 0; the others overtake each other.
        if Bool.random(using: &random) { options.priority = Int.random(in: Limits.priorities, using: &random) }
        return CompletionRequest(model: models.randomElement(using: &random), prompt: prompt, options: options)
    }

    private func stream(_ index: Int, _ models: [String], context: Int, _ state: ChurnState) async {
        var random = RandomSource(seed: seed &+ UInt64(index) &* 7919)
        while await !state.isDone {
            let loaded = await state.loaded
            let request = Self.request(Int.random(in: 0..<3, using: &random) == 0 && !loaded.isEmpty ? loaded : models, context: context, &random)
            // One in four is given up, at once or after some tokens.
            var patience = Int.random(in: 0..<4, using: &random) == 0 ? Int.random(in: 0...10, using: &random) : Int.max
            do {
                for try await _ in try await client.stream(request) {
                    patience -= 1
                    if patience <= 0 { break }
                }
                await state.count(patience <= 0 ? \.cancelled : \.finished)
            } catch { await state.note(error, model: request.model, loaded: loaded) }
        }
    }

    private func load(_ state: ChurnState) async {
        var random = RandomSource(seed: seed &+ 1)
        while await !state.isDone {
            let loaded = await state.loaded
            do {
                if loaded.count < Self.names / 2 || (loaded.count < Self.names && Bool.random(using: &random)) {
                    let name = "churn-\(Int.random(in: 0..<Self.names, using: &random))"
                    try await admin.loadAdapter(name, path: adapters.randomElement(using: &random)!)
                    await state.didLoad(name)
                } else if let name = loaded.randomElement(using: &random) {
                    try await admin.unloadAdapter(name)
                    await state.didUnload(name)
                }
            } catch { await state.problem("an adapter could not be loaded or unloaded: \(error)") }
            try? await Task.sleep(nanoseconds: 2_000_000)
        }
        for name in await state.loaded {
            do { try await admin.unloadAdapter(name) } catch { await state.problem("\(name) could not be unloaded: \(error)") }
            await state.didUnload(name)
        }
    }

    private func move(_ range: ClosedRange<Int>, _ state: ChurnState) async {
        guard goal.moves > 0 else { return }
        var random = RandomSource(seed: seed &+ 2)
        let pause = max(0.02, goal.seconds / Double(goal.moves))
        while await !state.isDone {
            do {
                try await admin.setMemory(bytes: Int.random(in: range, using: &random))
                await state.count(\.moves)
            } catch { await state.problem("the limit could not be moved: \(error)") }
            try? await Task.sleep(nanoseconds: UInt64(pause * 1e9))
        }
    }

    // MARK: what must not change

    private func makeProbes(_ models: [String]) async throws -> [Probe] {
        var probes: [Probe] = []
        for (index, model) in models.enumerated() {
            var options = SamplingOptions(maxTokens: 24, temperature: index % 2 == 0 ? 0 : 1, seed: index)
            options.ignoresEndTokens = true
            let request = CompletionRequest(model: model, prompt: Self.systemPrompts[index % 3] + "\(37 * index + 5) =", options: options)
            probes.append(Probe(request: request, text: try await client.complete(request).text))
        }
        return probes
    }

    private func probe(_ probes: [Probe], _ state: ChurnState) async {
        var index = 0
        while await !state.isDone {
            let probe = probes[index % probes.count]
            index += 1
            do {
                if try await client.complete(probe.request).text != probe.text { await state.problem("\(probe.request.model ?? "base") answered otherwise than at rest") }
                await state.count(\.probes)
            } catch { await state.note(error, model: nil, loaded: []) }
        }
    }

    /// Waits for the last request to end, and says what is still there.
    private func leftOver() async throws -> [String] {
        for _ in 0..<600 {
            let requests = try await admin.requests()["requests"]?.array ?? []
            if requests.isEmpty { break }
            try await Task.sleep(nanoseconds: 50_000_000)
        }
        var problems: [String] = []
        let requests = try await admin.requests()["requests"]?.array ?? []
        if !requests.isEmpty { problems.append("\(requests.count) requests never ended") }
        let pool = try await admin.pool()
        let classes = pool["by_class"]?.object ?? [:]
        for name in ["kv", "activation"] where classes[name]?["in_use"]?.int != 0 { problems.append("\(classes[name]?["in_use"]?.int ?? -1) pages of \(name) that nobody uses") }
        let held = classes.values.reduce(0) { $0 + ($1["pages"]?.int ?? 0) }
        if held + (pool["free"]?.int ?? 0) != pool["pages"]?.int { problems.append("pages: \(held) held and \(pool["free"]?.int ?? -1) free of \(pool["pages"]?.int ?? -1)") }
        let left = (try await admin.adapters()["adapters"]?.array ?? []).compactMap { $0["name"]?.string }.filter { $0.hasPrefix("churn-") }
        if !left.isEmpty { problems.append("adapters are still there: \(left.joined(separator: ", "))") }
        return problems
    }
}

/// What is shared by those who churn.
private actor ChurnState {
    let start: ContinuousClock.Instant
    private let goal: Churn.Goal
    private(set) var report = ChurnReport()
    private var names: Set<String> = []

    /// Problems that are told; a flood of the same says nothing more.
    private static let mostProblems = 20

    init(goal: Churn.Goal, start: ContinuousClock.Instant) { (self.goal, self.start) = (goal, start) }

    var isDone: Bool {
        report.problems.count >= Self.mostProblems
            || (start.duration(to: .now).seconds >= goal.seconds && report.counts.loads >= goal.loads && report.counts.moves >= goal.moves)
    }

    var loaded: [String] { names.sorted() }

    func count(_ path: WritableKeyPath<ChurnCounts, Int> & Sendable) { report.counts[keyPath: path] += 1 }
    func sample(_ bytes: Int) { report.resident.append(bytes) }

    func didLoad(_ name: String) {
        names.insert(name)
        report.counts.loads += 1
    }

    func didUnload(_ name: String) {
        names.remove(name)
        report.counts.unloads += 1
    }

    func problem(_ text: String) {
        if report.problems.count < Self.mostProblems { report.problems.append(text) }
    }

    /// A request was refused: fine where the limit was too low for it, or its adapter has just been unloaded.
    func note(_ error: any Error, model: String?, loaded: [String]) {
        if case BerthClientError.refused(let refusal) = error {
            // In the middle of a stream there is no status any more.
            if refusal.status == 503 || refusal.status == 429 || refusal.code == "overloaded" { return count(\.refused) }
            if refusal.code == "model_not_found", let model, loaded.contains(model) { return count(\.refused) }
        }
        problem("a request failed: \(error)")
    }
}

extension Array {
    fileprivate func asyncFilter(_ isIncluded: (Element) async throws -> Bool) async rethrows -> [Element] {
        var kept: [Element] = []
        for element in self where try await isIncluded(element) { kept.append(element) }
        return kept
    }
}
