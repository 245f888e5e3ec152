// A workload that a real daemon has served, so that the simulator can serve it again.
//
// It begins as a plan: who asks when, or after whose answer, for how many tokens. The plan is run against a daemon (`berth-bench record`), which fills in when the
// requests really came and what became of them. The replay asks for the same at the same times and sees nothing of the answers, except that
// a client who waited for its answer before it asked again waits for the simulated one.

import BerthCore

public struct Recording: Sendable, Equatable {
    public struct Request: Sendable, Equatable {
        /// The place of an earlier request whose answer was waited for; nil for one that came by itself.
        public var after: Int?
        /// When it came: so long after that answer's end, or after the beginning.
        public var nanoseconds: UInt64
        /// Tokens.
        public var prompt: Int
        public var output: Int
        /// A number in the population of adapters.
        public var adapter: Int?

        public init(after: Int? = nil, nanoseconds: UInt64, prompt: Int, output: Int, adapter: Int? = nil) {
            self.after = after
            self.nanoseconds = nanoseconds
            self.prompt = prompt
            self.output = output
            self.adapter = adapter
        }
    }

    /// What became of a request, in seconds after the beginning.
    public struct Answer: Sendable, Equatable {
        public var asked: Double
        public var first: Double
        public var end: Double

        public init(asked: Double, first: Double, end: Double) {
            self.asked = asked
            self.first = first
            self.end = end
        }
    }

    public var name: String
    /// Of the prompts' words.
    public var seed: UInt64
    public var requests: [Request]
    /// It measures the machine's pace around the workloads that are compared.
    public var isGauge = false
    /// By request. Empty where nobody has served it yet.
    public var answers: [Answer] = []

    public init(name: String, seed: UInt64, requests: [Request]) {
        self.name = name
        self.seed = seed
        self.requests = requests
    }

    /// Different words of prompts.
    public static let words = TokenFunction.words.count

    /// The prompt of a request as numbers below `words`. No two requests of a recording begin alike, but by chance.
    public func prompt(of index: Int) -> [Int] {
        var random = RandomSource(seed: mix(seed ^ UInt64(index) << 32))
        return (0..<requests[index].prompt).map { _ in Int((random.next() >> 32) % UInt64(Self.words)) }
    }

    /// By request, those that wait for its answer.
    public var followers: [[Int]] {
        var followers = Array(repeating: [Int](), count: requests.count)
        for (index, request) in requests.enumerated() {
            if let before = request.after { followers[before].append(index) }
        }
        return followers
    }
}

extension Recording {
    /// Requests of several loads, as many of each as it allows: clients ask in turn, the others by their arrivals. Only arrivals, lengths and adapters
    /// of a load are looked at.
    public init(name: String, seed: UInt64, loads: [TenantLoad]) {
        self.init(name: name, seed: seed, requests: [])
        for (number, load) in loads.enumerated() {
            precondition(load.mostRequests < 1 << 16, "a recording has an end")
            var random = RandomSource(seed: mix(seed ^ UInt64(number) << 48))
            let choice = ZipfChoice(count: load.adapters.count, exponent: load.zipf)
            let first = requests.count
            var time = load.begins
            for place in 0..<load.mostRequests {
                var after: Int?
                var wait = 0.0
                if case .clients(let count, let thinking) = load.arrivals {
                    after = place < count ? nil : first + place - count
                    wait = place < count ? load.begins : thinking > 0 ? thinking * random.exponential() : 0
                } else {
                    time += load.arrivals.gap(after: time, &random) ?? 0
                    wait = time
                }
                let adapter = random.unit() < load.adapterShare ? load.adapters.lowerBound + choice.draw(&random) : nil
                requests.append(
                    Request(after: after, nanoseconds: UInt64(wait * 1e9), prompt: load.prompt.draw(&random), output: load.output.draw(&random), adapter: adapter))
            }
        }
    }
}
