// The workloads that simulations are compared on: each brings another part of the scheduler and of the costs into play.
//
// How fast requests come follows what the machine can do, which is itself simulated: closed clients in plenty, with the same lengths.

import BerthCore
import BerthKernels
import BerthSimulator

struct ComparedWorkloads {
    let machine: RecordedMachine
    let costs: StepCosts
    /// Scales the number of requests.
    var size = 1.0
    var seed: UInt64 = 1

    static let names = ["one", "sixteen", "poisson", "bursts", "long", "adapters"]
    /// Share of the capacity at which requests come by themselves, and at which bursts do.
    private static let (calm, crowded) = (0.6, 1.1)

    /// Those that this machine can serve: without adapters all but the last.
    func plans() throws -> [Recording] {
        let mixture = load(.clients(count: 32, thinking: 0), requests: .max, prompt: .skewed(median: 100, most: 600), output: .skewed(median: 24, most: 120))
        let capacity = try requestsPerSecond(of: mixture)
        func mixed(_ arrivals: Arrivals, _ requests: Int) -> TenantLoad { load(arrivals, requests: requests, prompt: mixture.prompt, output: mixture.output) }
        let short = load(.clients(count: 16, thinking: 0), requests: 96, prompt: .uniform(20...60), output: .uniform(24...40))
        var plans = [
            plan(0, [load(.clients(count: 1, thinking: 0), requests: 8, prompt: .uniform(40...80), output: .fixed(32))]),
            plan(1, [short]),
            plan(2, [mixed(.poisson(rate: Self.calm * capacity), 60)]),
            plan(3, [mixed(.gamma(rate: Self.crowded * capacity, shape: 0.2), 60)]),
            // Prompts of several steps beside streams, at about a third of what the machine can compute of them. Clients whose answers are all of one length would
            // stay in step with each other, or not, by some microseconds at the beginning.
            plan(4, [
                load(.clients(count: 8, thinking: 0), requests: 40, prompt: .uniform(20...60), output: .uniform(32...64)),
                load(.poisson(rate: 1 / (3 * longPrompt)), requests: 6, prompt: .uniform(1000...1600), output: .fixed(16)),
            ]),
        ]
        if !machine.adapterPages.isEmpty {
            var adapted = mixed(.poisson(rate: Self.calm * capacity), 60)
            (adapted.adapterShare, adapted.adapters, adapted.zipf) = (1, 0..<machine.adapterPages.count, 1)
            plans.append(plan(5, [adapted]))
        }
        return plans
    }

    /// Requests that come by themselves at a rate, of the lengths that questions of capacity have.
    /// - Parameter number: another one for each workload of a daemon, which would find the prompts of the one before in its memory.
    func plan(_ number: Int, rate: Double, prompt: Int, output: Int) -> Recording {
        var load = load(
            .poisson(rate: rate), requests: max(1, Int(200 * size)), prompt: .skewed(median: prompt, most: machine.contextLength / 2),
            output: .skewed(median: output, most: machine.contextLength / 2))
        if !machine.adapterPages.isEmpty { (load.adapterShare, load.adapters, load.zipf) = (1, 0..<machine.adapterPages.count, 1) }
        return Recording(name: "\(fixed(rate, 3))/s", seed: seed &+ UInt64(number), loads: [load])
    }

    private func plan(_ number: Int, _ loads: [TenantLoad]) -> Recording {
        let loads = loads.map { load in
            var load = load
            load.mostRequests = max(1, Int(Double(load.mostRequests) * size))
            return load
        }
        return Recording(name: Self.names[number], seed: seed &+ UInt64(number), loads: loads)
    }

    private func load(_ arrivals: Arrivals, requests: Int, prompt: Lengths, output: Lengths) -> TenantLoad {
        var load = TenantLoad(TenantName("workload")!, arrivals)
        (load.mostRequests, load.prompt, load.output, load.endsAtEndToken) = (requests, prompt, output, false)
        return load
    }

    /// Seconds of the longest prompt by itself.
    private var longPrompt: Double {
        let rows = min(machine.stepTokens, 512)
        return costs.passes.nanoseconds(rows: rows) * costs.pace.factor(rows: rows) / Double(rows) * 1300 / 1e9
    }

    private func requestsPerSecond(of load: TenantLoad) throws -> Double {
        var scenario = machine.scenario(costs: costs)
        scenario.tenants = [load]
        scenario.seconds = 120
        let report = try Simulation(scenario, seed: seed, compute: Compute(kernels: .scalar, threads: 1)).run()
        guard report.violation == nil, report.requests > 0 else { throw BenchError("this machine serves nobody") }
        return Double(report.requests) / report.seconds
    }
}
