// Whether a tenant's own priorities are kept, and its less urgent requests come to their turns.
//
// Between two looks the engine has made at most one pass over the queue, so what has happened can be told from how requests stood before and stand now:
// - who is let in goes before nobody of its line that is more urgent, waited all the time, and waits for no disk and no prefix;
// - of bulk requests, who gives up its pages is the least urgent that its tenant had running; of streams `AgeWatch` sees it;
// - one request is raised for so many that were let in before an older, less urgent one: no fewer than those that surely were, no more than those that can have been;
// - who is raised is older than all that were passed with it, and goes next.
//
// What may go before a request at most is for `StarvationWatch`.

import BerthCore
import BerthEngine

struct PriorityWatch {
    /// How a request stands.
    struct Standing: Equatable {
        var isRunning = false
        /// It waits for its turn and nothing else.
        var isQueued = true
        /// It runs, and has all of its prompt computed.
        var isDecoding = false
        var preemptions = 0
        var isRaised = false
    }

    private struct Entry {
        let id: RequestID
        /// Requests of one tenant and class.
        let line: Int
        let isBulk: Bool
        let priority: Int
        var standing = Standing()
        /// Nil where it has ended since the last look.
        var now: Standing? = Standing()

        var rank: Int { standing.isRaised ? .min : priority }
        /// How often it was let in since the last look.
        var timesLetIn: Int? { now.map { ($0.isRunning ? 1 : 0) - (standing.isRunning ? 1 : 0) + $0.preemptions - standing.preemptions } }
        private var isUndisturbed: Bool { now?.preemptions == standing.preemptions }
        var hasWaited: Bool { isUndisturbed && !standing.isRunning && now?.isRunning == false }
        var hasRun: Bool { isUndisturbed && standing.isRunning && now?.isRunning == true }
        var hasDecoded: Bool { isUndisturbed && standing.isDecoding && now?.isDecoding == true }
        var hasMadeWay: Bool { (now?.preemptions ?? 0) > standing.preemptions }
    }

    /// Requests that have not ended, in the order in which they came.
    private var entries: [Entry] = []
    private let mostOvertakings: Int
    /// Of those let in, how many by line surely were before an older, less urgent one, and can have been.
    private var (certain, possible): ([Int], [Int])
    /// Of all requests at the last look.
    private var (preemptions, raised) = (0, 0)

    /// - Parameter overtakings: as the engine is configured.
    init(tenants: Int, overtakings: Int) {
        mostOvertakings = overtakings
        certain = Array(repeating: 0, count: tenants * 2)
        possible = certain
    }

    /// A request came.
    mutating func begin(_ id: RequestID, tenant: Int, _ serviceClass: ServiceClass, priority: Int) {
        let isBulk = serviceClass == .bulk
        entries.append(Entry(id: id, line: tenant * 2 + (isBulk ? 1 : 0), isBulk: isBulk, priority: priority))
    }

    /// How a promise was broken since the last look; nil where none was.
    /// - Parameter counters: the engine's sums.
    mutating func fault(now standings: [RequestID: Standing], _ counters: EngineCounters) -> String? {
        let raised = counters.raisedRequests
        for index in entries.indices { entries[index].now = standings[entries[index].id] }
        if let fault = faultInOrder ?? faultInPreemption ?? faultInRaising(raised - self.raised) { return fault }
        self.raised = raised
        countOvertakings(preemptions: counters.preemptions)
        let least = certain.reduce(0) { $0 + $1 / mostOvertakings }, most = possible.reduce(0) { $0 + $1 / mostOvertakings }
        entries.removeAll { $0.now == nil }
        for index in entries.indices { entries[index].standing = entries[index].now! }
        guard raised >= least else { return "\(raised) requests were raised, and older ones were overtaken often enough for \(least)" }
        guard raised <= most else { return "\(raised) requests were raised, and older ones were not overtaken often enough for more than \(most)" }
        return nil
    }

    private var faultInOrder: String? {
        for entry in entries where (entry.timesLetIn ?? 0) > 0 && !entry.now!.isRaised {
            let passed = entries.first { $0.line == entry.line && $0.hasWaited && $0.now!.isQueued && $0.rank < entry.priority }
            if let passed { return "request \(entry.id) was let in, and \(passed.id), which is more urgent, waited" }
        }
        return nil
    }

    private var faultInPreemption: String? {
        for entry in entries where entry.isBulk && entry.hasMadeWay {
            let kept = entries.first { $0.line == entry.line && $0.hasRun && !$0.now!.isRaised && $0.priority > entry.rank }
            if let kept { return "request \(entry.id) gave up its pages, and \(kept.id), which is less urgent, kept its own" }
        }
        return nil
    }

    /// - Parameter raised: since the last look. Each of them may have been overtaken by as many as it takes.
    private func faultInRaising(_ raised: Int) -> String? {
        for (index, entry) in entries.enumerated() where entry.now?.isRaised == true && !entry.standing.isRaised {
            let older = entries[..<index].first { $0.line == entry.line && $0.hasWaited && !$0.now!.isRaised && $0.priority >= entry.priority }
            if let older { return "request \(entry.id) was raised, and \(older.id) was passed with it and is older" }
            guard entry.hasWaited, entry.now!.isQueued else { continue }
            let passing = entries[index...].count { $0.line == entry.line && ($0.timesLetIn ?? 0) > 0 && !$0.now!.isRaised && $0.priority < entry.priority }
            if passing > mostOvertakings * raised { return "\(passing) requests were let in before \(entry.id), which was raised meanwhile" }
        }
        return nil
    }

    private mutating func countOvertakings(preemptions: Int) {
        // Of one that has ended nothing more is known than that it can have been let in, if it did not run or somebody who has ended made way.
        let isAllKnown = preemptions - self.preemptions == entries.reduce(0) { $0 + ($1.now ?? $1.standing).preemptions - $1.standing.preemptions }
        self.preemptions = preemptions
        for (index, entry) in entries.enumerated() {
            let older = entries[..<index].lazy.filter { $0.line == entry.line }
            let times = entry.timesLetIn ?? (entry.standing.isRunning && isAllKnown ? 0 : 1)
            guard times > 0 else { continue }
            let mayBeRaised = entry.now?.isRaised ?? true
            if older.contains(where: { !$0.standing.isRaised && !$0.hasDecoded && ($0.priority > entry.priority || mayBeRaised) }) { possible[entry.line] += times }
            if entry.now != nil, older.contains(where: { $0.hasWaited && !$0.now!.isRaised && $0.priority > entry.rank }) { certain[entry.line] += times }
        }
    }
}

extension PriorityWatch.Standing {
    init(_ status: RequestStatus) {
        isRunning = status.phase == "prefilling" || status.phase == "decoding"
        isQueued = status.phase == "queued"
        isDecoding = isRunning && status.promptTokens + status.generatedTokens - status.computedTokens <= 1
        preemptions = status.preemptions
        isRaised = status.isRaised
    }
}
