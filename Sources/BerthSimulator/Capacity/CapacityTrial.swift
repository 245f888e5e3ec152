// One machine, played with its share of the load at some rate.

import BerthKernels

struct CapacityTrial {
    var outcome = ServiceOutcome()
    var use = ResourceUse()
    /// Of the pool, on average while requests came: pages that were needed, not only kept.
    var heldPart = 0.0
    /// Requests per second that were answered, until the last answer.
    var requestsPerSecond = 0.0

    /// Traps where the machine has no memory for the arena; throws what a run broke.
    init(_ question: CapacityQuestion, _ offer: MachineOffer, _ share: LoadShare, rate: Double, seed: UInt64, compute: Compute) throws {
        let (scenario, begins) = question.scenario(offer, share, rate: rate)
        let simulation = try Simulation(scenario, seed: seed, compute: compute)
        // Proofs look at every page, and comparisons compute requests again: now and then is enough here.
        (simulation.proofSteps, simulation.comparedRequests) = (4096, question.shape.experts == nil ? 16 : 64)
        simulation.measuredFrom = UInt64(begins * 1e9)
        simulation.samples = Int(min(5000, 50 * scenario.seconds / max(scenario.seconds - begins, 1e-9)))
        let mostLate = question.mostLate(rate: rate), objective = question.objective, tenants = question.tenants
        simulation.isDecided = { report in
            report.tenants.prefix(tenants).reduce(0) { $0 + Double($1.firstToken.count) * (1 - $1.firstToken.share(within: objective.firstToken)) } > mostLate
        }
        let report = simulation.run()
        if let violation = report.violation { throw violation }
        for tenant in report.tenants.prefix(question.tenants) { outcome.add(tenant) }
        outcome.isHopeless = report.isCutShort
        use = report.use
        let samples = report.samples.filter { $0.seconds >= begins && $0.seconds <= scenario.seconds }
        heldPart = Double(samples.reduce(0) { $0 + $1.heldPages }) / Double(max(1, samples.count * scenario.machine.pages))
        requestsPerSecond = Double(outcome.requests - outcome.failed) / max(report.seconds - begins, 1e-9)
    }
}

/// The requests of a trial, which are the same at every rate; at high ones others follow them.
struct LoadSample: Equatable {
    var requests = 0
    var promptTokens = 0
    var outputTokens = 0
    /// Pairs of a token and one that it attends to, in prompts and after them.
    var promptPairs = 0
    var outputPairs = 0
    /// Lengths of prompts, one of the middle of each tenth of them.
    var promptTenths: [Int] = []

    init(_ question: CapacityQuestion, _ offer: MachineOffer, _ share: LoadShare, seed: UInt64) {
        let scenario = question.scenario(offer, share, rate: Double(question.played) / (CapacityQuestion.longRun * question.objective.firstToken)).scenario
        var prompts: [Int] = []
        var workload = Workload(scenario, seed: seed)
        for tenant in 0..<question.tenants {
            while workload.nextArrival(of: tenant) != nil, let plan = workload.next(of: tenant) {
                let (prompt, output) = (plan.request.prompt.count, min(plan.request.maxTokens, question.contextLength - plan.request.prompt.count))
                requests += 1
                prompts.append(prompt)
                promptTokens += prompt
                outputTokens += output
                promptPairs += prompt * (prompt + 1) / 2
                outputPairs += (output - 1) * prompt + output * (output - 1) / 2
            }
        }
        prompts.sort()
        promptTenths = prompts.isEmpty ? [] : (0..<10).map { prompts[(2 * $0 + 1) * prompts.count / 20] }
    }
}
