// Which experts stay in memory: the part of the engine that learns from the routing and names who leaves.
//
// The owner tells it, in order: `beginStep`, then for each mixture of the pass `noteUse` with what the router chose (the turn of that layer);
// `requestEnded` when a request leaves; and what became of experts: `becameResident`, `left`, `hold` and `release` around each lease. It asks
// for `victim`, which is the resident, unheld expert expected to be wanted last, and for `chance`, by which experts compete with other
// classes of objects. Everything is deterministic: no clock, no chance, no I/O. Engine thread only.
//
// Under `adaptive`, shadow caches of the real capacity try the fixed rules on the live trace, and the rule that hits most is in charge. Another rule
// takes over when it leads by `hysteresis` of the uses, so that two equals do not swap the cache's contents back and forth.

import Glibc

public final class ExpertPolicy {
    /// A rule for the whole life, or the one that does best on the live trace.
    public enum Kind: Equatable, Sendable {
        case fixed(ExpertScoring)
        case adaptive
    }

    public let shape: ExpertShape
    public let kind: Kind
    public private(set) var position: PassPosition
    private let use = LayerUse()
    private let outlook: ExpertOutlook
    private var residents: ResidentSet
    /// Every rule that is tried, and the shadow cache of each at the real capacity (none under a fixed rule).
    private let rules: [ExpertScores]
    /// The requests' counts, one for each half-life that a rule uses.
    private let histories: [RequestHistory]
    private let records: RoutingRecords
    private var shadows: [ShadowCache]
    private var inCharge = 0
    /// Shadow caches of other sizes under the rule in charge.
    private var curveCaches: [ShadowCache]
    /// SRP and SCH of each layer.
    public private(set) var consistency: RoutingConsistency

    /// The rules that `adaptive` tries. It starts with the first: better than recency wherever routing has locality.
    public static let candidates: [ExpertScoring] =
        [.decayed(halfLife: 4), .lru, .lruLayered] + [2, 8, 16].map { .decayed(halfLife: $0) }
        + [.consistent(halfLife: 4), .marginal(halfLife: 4), .popular(halfLife: 4)]
    /// Steps after which a hit of a shadow cache weighs half.
    private static let memorySteps = 128.0
    private static let hysteresis = 0.002
    /// A rule is judged after so many passes, when the caches are warm.
    private static let leastSteps = 32

    /// - Parameters:
    ///   - capacity: experts that fit, at present.
    ///   - curveShares: other budgets to score, as shares of all experts; each costs about as much as a rule.
    public init(shape: ExpertShape, kind: Kind = .adaptive, capacity: Int, curveShares: [Double] = []) {
        (self.shape, self.kind) = (shape, kind)
        position = PassPosition(layers: shape.layers)
        outlook = ExpertOutlook(shape: shape)
        residents = ResidentSet(shape: shape)
        consistency = RoutingConsistency(shape: shape)
        curveCaches = curveShares.map { ShadowCache(shape: shape, capacity: Int(Double(shape.count) * $0)) }
        records = RoutingRecords(shape: shape)
        let scorings: [ExpertScoring]
        switch kind {
        case .fixed(let scoring): scorings = [scoring]
        case .adaptive: scorings = Self.candidates
        }
        let histories = Set(scorings.compactMap(\.halfLife)).sorted().map { RequestHistory(shape: shape, halfLife: $0) }
        rules = scorings.map { scoring in ExpertScores(scoring, shape: shape, history: histories.first { $0.halfLife == scoring.halfLife }) }
        shadows = kind == .adaptive ? rules.map { _ in ShadowCache(shape: shape, capacity: capacity) } : []
        self.histories = histories
        self.capacity = capacity
    }

    /// Experts that fit: the shadow caches follow it.
    public var capacity: Int {
        didSet {
            precondition(capacity >= 0, "a capacity of \(capacity) experts")
            for index in shadows.indices { shadows[index].capacity = capacity }
        }
    }

    /// The rule in charge.
    public var scoring: ExpertScoring { rules[inCharge].scoring }

    /// Recent hit rates of the rules at the real capacity; empty under a fixed rule.
    public var trials: [(scoring: ExpertScoring, hitRate: Double)] { zip(rules, shadows).map { ($0.scoring, $1.hitRate) } }

    /// Recent hit rates at `curveShares` under the rule in charge, for `ExpertAdvice`.
    public var curve: [ExpertAdvice.Point] {
        curveCaches.map { ExpertAdvice.Point(share: Double($0.capacity) / Double(shape.count), hitRate: $0.hitRate) }
    }

    // MARK: what happens

    public func beginStep() {
        position.beginStep()
        outlook.beginStep(position.step)
        let kept = exp2(-1 / Self.memorySteps)
        for index in shadows.indices { shadows[index].fade(by: kept) }
        for index in curveCaches.indices { curveCaches[index].fade(by: kept) }
        choose()
    }

    /// The turn of a layer: what its router chose.
    /// - Parameters:
    ///   - choices: experts of each row, the same number for every row, row after row.
    ///   - slots: each row's request, as a small number that no other running request has. Rows of a request need not be neighbours.
    public func noteUse(layer: Int, choices: UnsafeBufferPointer<Int32>, slots: UnsafeBufferPointer<Int32>) {
        let range = shape.range(of: layer)
        use.fill(layer: layer, width: range.count, choices: choices, slots: slots)
        position.beginLayer(layer)
        outlook.note(use, step: position.step)
        records.note(use)
        consistency.note(layer: layer, choices: choices, slots: slots)
        for history in histories { history.note(use) }
        for rule in rules { rule.note(use, knowledge, position) }
        residents.rescored(layer)
        for index in shadows.indices { shadows[index].turn(use, first: range.lowerBound, by: rules[index], position) }
        for index in curveCaches.indices { curveCaches[index].turn(use, first: range.lowerBound, by: rules[inCharge], position) }
    }

    public func noteUse(layer: Int, choices: [Int32], slots: [Int32]) {
        choices.withUnsafeBufferPointer { choices in slots.withUnsafeBufferPointer { noteUse(layer: layer, choices: choices, slots: $0) } }
    }

    /// What the request's choices promised leaves with it.
    public func requestEnded(_ slot: Int) {
        for history in histories { history.end(slot) }
        records.end(slot)
        consistency.requestEnded(slot)
        rescoreAll()
    }

    /// A request of a slot that nobody had: others with the same keys are like it.
    func requestBegan(_ slot: Int, _ keys: [RoutingProfileKey]) { records.begin(slot, keys) }

    /// The request does not run for now: what it wanted counts for nothing until it is admitted again, and is remembered.
    func requestPaused(_ slot: Int) {
        for history in histories { history.pause(slot) }
        consistency.requestEnded(slot)
        rescoreAll()
    }

    /// A paused request will run in the next step, and computes the rows again that it had: the experts that they chose are certain.
    func requestReturns(_ slot: Int) {
        guard let used = records.used(by: slot) else { return }
        for history in histories { history.resume(slot) }
        for index in used { outlook.expect(index, inSteps: 1) }
        rescoreAll()
    }

    public func becameResident(_ key: ExpertKey) { residents.insert(shape.index(of: key), layer: Int(key.layer)) }
    public func left(_ key: ExpertKey) { residents.remove(shape.index(of: key), layer: Int(key.layer)) }
    /// A held expert is no victim. Holds are counted; an expert may be held before it is resident.
    public func hold(_ key: ExpertKey) { residents.hold(shape.index(of: key), layer: Int(key.layer)) }
    public func release(_ key: ExpertKey) { residents.release(shape.index(of: key), layer: Int(key.layer)) }

    // MARK: what is known ahead

    public static let lookAheadSteps = ExpertOutlook.window - 1

    /// Experts of a layer that are certain to be wanted in a step to come; 0 is the present step, for a layer whose turn is still ahead.
    /// Up to `lookAheadSteps`; farther ones change nothing.
    public func expect(layer: Int, experts: some Sequence<Int>, inSteps steps: Int) {
        precondition(steps >= 0, "a use \(-steps) steps ago is not ahead")
        for expert in experts { outlook.expect(shape.index(layer, expert), inSteps: steps) }
        rescore(layer)
    }

    /// All uses up to and with the step that is so many ahead have been said: what is not expected is not wanted before.
    public func expectNothingElse(forSteps steps: Int) {
        outlook.allKnown(inSteps: steps)
        rescoreAll()
    }

    // MARK: what it answers

    public func isResident(_ key: ExpertKey) -> Bool { residents.isResident[shape.index(of: key)] }
    public var residentCount: Int { residents.count }

    /// The resident expert that leaves next; nil when all are held.
    public func victim() -> ExpertKey? { residents.victim(by: rules[inCharge], position).map { shape.key(at: $0.index) } }

    /// How likely the expert is wanted soon: 1 when the next layer wants it for certain, about 1/n when it is expected in n steps. Falls with the same order as `victim`.
    public func chance(of key: ExpertKey) -> Double { rules[inCharge].chance(shape.index(of: key), layer: Int(key.layer), position) }

    /// How often each expert was chosen of late, by dense index: kept beside the image, it tells the next start what was hot.
    public var popularity: [Float] { outlook.popularity }
    public func restorePopularity(_ popularity: [Float]) {
        outlook.restore(popularity)
        rescoreAll()
    }

    /// Absent experts that the next step probably wants, the likeliest first. O(experts).
    func absentees(_ limit: Int, leastChance: Double) -> [(key: ExpertKey, chance: Double)] {
        var found: [(key: ExpertKey, chance: Double)] = []
        for layer in 0..<shape.layers {
            for index in shape.range(of: layer) where !residents.isResident[index] {
                let chance = rules[inCharge].chance(index, layer: layer, position)
                if chance >= leastChance { found.append((shape.key(at: index), chance)) }
            }
        }
        found.sort { $0.chance > $1.chance }
        return Array(found.prefix(limit))
    }

    /// How much of what the request will want is in memory, in 0...1: by what it used before (of a slot that is known), by what others like it use, or else by what
    /// all use. Nil where nothing is known at all.
    func overlap(slot: Int?, _ keys: [RoutingProfileKey]) -> Double? {
        slot.flatMap { records.overlap(of: $0, with: residents.isResident) } ?? records.overlap(of: keys, with: residents.isResident)
            ?? RoutingRecords.overlap(of: outlook.popularity, with: residents.isResident)
    }

    // MARK: -

    private var knowledge: Knowledge { Knowledge(outlook: outlook, consistency: consistency) }

    private func choose() {
        guard position.step > Self.leastSteps, !shadows.isEmpty else { return }
        var best = inCharge
        for index in shadows.indices where shadows[index].hitRate > shadows[best].hitRate { best = index }
        guard best != inCharge, shadows[best].hitRate > shadows[inCharge].hitRate + Self.hysteresis else { return }
        inCharge = best
        residents.rescoredAll()
        for layer in 0..<shape.layers { for index in curveCaches.indices { curveCaches[index].rescored(layer) } }
    }

    private func rescore(_ layer: Int) {
        for rule in rules { rule.rescore(layer, knowledge, position) }
        residents.rescored(layer)
        for index in shadows.indices { shadows[index].rescored(layer) }
        for index in curveCaches.indices { curveCaches[index].rescored(layer) }
    }

    private func rescoreAll() { for layer in 0..<shape.layers { rescore(layer) } }
}
