// The search: how much load one machine carries within the objective, and how many machines carry the wanted load.
//
// Everything is played with the real engine. A trial at a rate has the same requests as one at another rate, only closer together, so that trials
// differ in nothing else. The greatest rate is found by going down from the bound that arithmetic sets, then by bisection in its logarithm, up to the tolerance. The least number of
// machines is found by bisection, too: up to `mostPlayed` machines are all played, of more the one that has most adapters.

import BerthKernels

/// What one kind of machine can do for a question.
public struct CapacityAnswer: Sendable {
    public var offer: MachineOffer
    /// Of one machine with its share of the load.
    public var bounds: CapacityBounds
    /// The greatest rate of one machine within the objective, with that share; 0 where not even a lonely request is in time.
    public var rate = 0.0
    /// Answered per second at that rate, until the last answer was there.
    public var requestsPerSecond = 0.0
    /// For the whole load; nil where no number does.
    public var machines: Int?
    /// Machines that were played to know it.
    public var played = 0
    /// At the greatest rate.
    public var outcome = ServiceOutcome()
    public var use = ResourceUse()
    public var heldPart = 0.0
}

/// How much more a machine carries with twice as much of something.
public struct CapacityGain: Sendable {
    public enum Resource: String, Sendable, CaseIterable {
        case arithmetic
        case bandwidth = "memory bandwidth"
        case disk
        case memory
    }

    public var resource: Resource
    /// The greatest rate with it, as a multiple of the one without.
    public var factor: Double
}

public struct CapacitySearch {
    public let question: CapacityQuestion
    private let compute: Compute
    /// Machines that are all played.
    public static let mostPlayed = 8
    private static let mostMachines = 1024
    /// Below this part of the bound, a machine is said to carry nothing.
    private static let leastPart = 1.0 / 128

    public init(_ question: CapacityQuestion) throws {
        self.question = question
        compute = try Compute(kernels: .scalar, threads: 1)
    }

    public func answer(_ offer: MachineOffer) throws -> CapacityAnswer {
        // One that has all adapters says about how many there must be.
        let alone = try carried(offer, LoadShare(popularity: question.popularity))
        let machines = try machines(offer, alone)
        // With more machines each may have fewer adapters: the rate is that of one among so many.
        let share = representative(offer, machines: machines ?? 1)
        var answer = share.popularity.count == question.adapters ? alone : try carried(offer, share)
        answer.machines = machines
        answer.played = machines.map { $0 <= Self.mostPlayed ? $0 : 1 } ?? 1
        return answer
    }

    /// What twice as much of a resource would bring to a machine, with the share of the load that it has now.
    /// - Parameter doubled: the pool of a machine with twice the memory.
    public func gain(of answer: CapacityAnswer, twice resource: CapacityGain.Resource, doubled: PoolLayout) throws -> CapacityGain {
        var (question, offer) = (question, answer.offer)
        switch resource {
        case .arithmetic: question.costs = question.costs.sped(SpeedUp(operations: 2))
        case .bandwidth: question.costs = question.costs.sped(SpeedUp(bandwidth: 2))
        case .disk: offer.disk *= 2
        case .memory: offer.layout = doubled
        }
        let share = representative(answer.offer, machines: answer.machines ?? 1)
        return CapacityGain(resource: resource, factor: try CapacitySearch(question).carried(offer, share).rate / max(answer.rate, 1e-12))
    }

    // MARK: one machine

    /// The greatest rate of a machine with a share of the load.
    func carried(_ offer: MachineOffer, _ share: LoadShare) throws -> CapacityAnswer {
        let bounds = CapacityBounds(question, offer, share, LoadSample(question, offer, share, seed: question.seed))
        var answer = CapacityAnswer(offer: offer, bounds: bounds)
        func isCarried(_ rate: Double) throws -> Bool {
            let trial = try trial(offer, share, rate: rate, seed: question.seed)
            guard trial.outcome.meets(question.objective) else { return false }
            (answer.rate, answer.requestsPerSecond) = (rate, trial.requestsPerSecond)
            (answer.outcome, answer.use, answer.heldPart) = (trial.outcome, trial.use, trial.heldPart)
            return true
        }
        var high = bounds.least
        var tried = high / 2
        while tried > bounds.least * Self.leastPart, try !isCarried(tried) { (high, tried) = (tried, tried / 4) }
        guard answer.rate > 0 else { return answer }
        while high / answer.rate > 1 + question.tolerance {
            let middle = (high * answer.rate).squareRoot()
            if try !isCarried(middle) { high = middle }
        }
        return answer
    }

    private func trial(_ offer: MachineOffer, _ share: LoadShare, rate: Double, seed: UInt64) throws -> CapacityTrial {
        try CapacityTrial(question, offer, share, rate: rate, seed: seed, compute: compute)
    }

    // MARK: machines

    private func shares(_ offer: MachineOffer, machines: Int) -> [LoadShare] { LoadShare.shares(of: question.popularity, machines: machines, offer.router) }

    /// The machine with most adapters, which finds the fewest of them in memory.
    private func representative(_ offer: MachineOffer, machines: Int) -> LoadShare {
        shares(offer, machines: machines).max { $0.popularity.count < $1.popularity.count }!
    }

    /// The least number that carries the load; nil where none does.
    private func machines(_ offer: MachineOffer, _ alone: CapacityAnswer) throws -> Int? {
        var high = alone.rate > 0 ? min(Self.mostMachines, max(1, Int((question.rate / alone.rate).rounded(.up)))) : 1
        // What the disk of one with all adapters cannot do, others may.
        var low = max(0, min(high, Int((question.rate / min(alone.bounds.arithmetic, alone.bounds.weights)).rounded(.down))) - 1)
        if offer.router == .turn {
            // All are alike: what one carries, all do, but for the chance of their requests.
            guard alone.rate > 0 else { return nil }
            low = high - 1
        }
        while try !meets(offer, machines: high) {
            guard high < Self.mostMachines else { return nil }
            low = high
            high += alone.rate > 0 ? max(1, high / 16) : high
        }
        while high - low > 1 {
            let middle = (low + high) / 2
            if try meets(offer, machines: middle) { high = middle } else { low = middle }
        }
        return high
    }

    private func meets(_ offer: MachineOffer, machines: Int) throws -> Bool {
        let rate = question.rate / Double(machines)
        guard machines <= Self.mostPlayed else {
            return try trial(offer, representative(offer, machines: machines), rate: rate, seed: question.seed).outcome.meets(question.objective)
        }
        var outcome = ServiceOutcome()
        for (number, share) in shares(offer, machines: machines).enumerated() {
            outcome.add(try trial(offer, share, rate: rate, seed: question.seed &+ UInt64(number)).outcome)
        }
        return outcome.meets(question.objective)
    }
}
