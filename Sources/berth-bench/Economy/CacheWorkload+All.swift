// The workloads of `berth-bench economy`: what servers of many tenants see, and what rules of eviction are known to do badly on.

import BerthCore
import BerthEngine
import BerthSimulator

extension CacheWorkload {
    /// A token on two cores takes much longer to compute than a page of an adapter to read; on a fast machine with a slow disk it is the other way.
    private static let alike = costs(block: 0.01, adapterPage: 0.01)
    private static let dearTokens = costs(block: 0.1, growth: 0.0003, adapterPage: 0.001)
    private static let dearReads = costs(block: 0.003, adapterPage: 0.03)
    private static let longDearer = costs(block: 0.01, growth: 0.0005, adapterPage: 0.01)

    /// - Parameter growth: what a block costs more for each one before it.
    private static func costs(block: Double, growth: Double = 0, adapterPage: Double) -> ReplayedPool.Costs {
        let tokens = Double(blockTokens)
        return ReplayedPool.Costs(token: block / tokens, tokenSlope: growth / tokens / tokens, adapterPage: adapterPage)
    }

    /// All of them with so many requests each.
    static func all(requests: Int, seed: UInt64) -> [CacheWorkload] {
        let makers: [(inout Maker) -> CacheWorkload] = [
            { $0.prefixes("prefixes by Zipf", exponent: 0.9) },
            { $0.adapters("adapters by Zipf", alike) },
            { $0.drift() }, { $0.phases() }, { $0.bursts() }, { $0.scans() }, { $0.loop() }, { $0.lengths() }, { $0.chats("chats", alike, withAdapters: false) },
            { $0.mixed("mixed, costs alike", alike) }, { $0.mixed("mixed, dear tokens", dearTokens) }, { $0.mixed("mixed, dear reads", dearReads) },
            { $0.adapters("adapters, prompts once, dear tokens", dearTokens) },
            { $0.chats("chats with adapters, dear tokens", dearTokens, withAdapters: true) },
            { $0.shift("once, then again, dear tokens", dearTokens) }, { $0.shift("once, then again, dear reads", dearReads) },
        ]
        return makers.enumerated().map { index, make in
            var maker = Maker(requests: requests, seed: seed &+ UInt64(index) &* 0x9E37)
            return make(&maker)
        }
    }

    /// Makes one workload. Its populations grow with the number of requests, up to a size.
    struct Maker {
        let requests: Int
        private var random: RandomSource
        private var nextBlock: Int32 = 1

        init(requests: Int, seed: UInt64) { (self.requests, random) = (requests, RandomSource(seed: seed)) }

        private func population(_ most: Int) -> Int { max(8, min(most, requests / 10)) }
        private mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

        /// Blocks that nobody else has.
        private mutating func fresh(_ count: Int) -> [Int32] {
            defer { nextBlock += Int32(count) }
            return (0..<Int32(count)).map { nextBlock + $0 }
        }

        private mutating func pool(_ count: Int, of blocks: ClosedRange<Int>) -> [[Int32]] { (0..<count).map { _ in fresh(number(blocks)) } }
        /// Sizes as ranks are: powers of two.
        private mutating func ranks(_ count: Int) -> [Int] { (0..<count).map { _ in 1 << number(0...5) } }

        // MARK: prefixes

        mutating func prefixes(_ name: String, exponent: Double) -> CacheWorkload {
            let prefixes = pool(population(400), of: 2...40), choice = ZipfChoice(count: prefixes.count, exponent: exponent)
            let uses = (0..<requests).map { _ in CacheUse(blocks: prefixes[choice.draw(&random)] + fresh(2)) }
            return CacheWorkload(name: name, costs: alike, uses: uses)
        }

        /// What is popular changes a little all the time.
        mutating func drift() -> CacheWorkload {
            let prefixes = pool(population(400), of: 2...40), choice = ZipfChoice(count: prefixes.count, exponent: 1.1)
            let turn = max(1, requests / prefixes.count)
            let uses = (0..<requests).map { CacheUse(blocks: prefixes[(choice.draw(&random) + $0 / turn) % prefixes.count] + fresh(2)) }
            return CacheWorkload(name: "drifting Zipf", costs: alike, uses: uses)
        }

        /// Popular prompts stay so for a while; then all others take their place.
        mutating func phases() -> CacheWorkload {
            let length = max(1, requests / 4)
            let choice = ZipfChoice(count: population(200), exponent: 0.9)
            var prefixes: [[Int32]] = []
            let uses = (0..<requests).map { index in
                if index % length == 0 { prefixes = pool(population(200), of: 2...40) }
                return CacheUse(blocks: index % 4 == 0 ? fresh(8) : prefixes[choice.draw(&random)] + fresh(2))
            }
            return CacheWorkload(name: "phases", costs: alike, uses: uses)
        }

        /// A subject is asked for several times in a short while, beside some others, and then not for long; pauses lie between.
        mutating func bursts() -> CacheWorkload {
            let prefixes = pool(population(1000), of: 4...24)
            var active: [(prefix: Int, left: Int)] = []
            let uses = (0..<requests).map { _ in
                while active.count < 6 { active.append((number(0...prefixes.count - 1), number(3...20))) }
                let index = number(0...active.count - 1)
                let prefix = active[index].prefix
                active[index].left -= 1
                if active[index].left == 0 { active.remove(at: index) }
                return CacheUse(blocks: prefixes[prefix] + fresh(1), pause: number(0...9) == 0 ? number(50...2000) : 0)
            }
            return CacheWorkload(name: "bursts", costs: alike, uses: uses)
        }

        /// Every now and then somebody goes through many documents once.
        mutating func scans() -> CacheWorkload {
            let prefixes = pool(population(200), of: 2...40), choice = ZipfChoice(count: prefixes.count, exponent: 0.9)
            let uses = (0..<requests).map { $0 % 300 >= 240 ? CacheUse(blocks: fresh(24), steps: 4) : CacheUse(blocks: prefixes[choice.draw(&random)] + fresh(2)) }
            return CacheWorkload(name: "Zipf and scans", costs: alike, uses: uses)
        }

        /// The same documents, over and over, in the same order.
        mutating func loop() -> CacheWorkload {
            let prefixes = pool(population(150), of: 8...16)
            return CacheWorkload(name: "loop", costs: alike, uses: (0..<requests).map { CacheUse(blocks: prefixes[$0 % prefixes.count] + fresh(1)) })
        }

        /// Many short prompts and a few long ones, whose last tokens cost the most.
        mutating func lengths() -> CacheWorkload {
            let short = pool(population(600), of: 1...4), long = pool(max(4, population(60) / 3), of: 60...200)
            let shortChoice = ZipfChoice(count: short.count, exponent: 0.8), longChoice = ZipfChoice(count: long.count, exponent: 0.8)
            let uses = (0..<requests).map { _ in
                number(0...19) == 0 ? CacheUse(blocks: long[longChoice.draw(&random)] + fresh(1)) : CacheUse(blocks: short[shortChoice.draw(&random)] + fresh(1))
            }
            return CacheWorkload(name: "many short, few long", costs: longDearer, uses: uses)
        }

        /// Conversations of up to twelve turns, several at a time, each turn upon all before it.
        mutating func chats(_ name: String, _ costs: ReplayedPool.Costs, withAdapters: Bool) -> CacheWorkload {
            let adapters = withAdapters ? ranks(population(200)) : [], choice = ZipfChoice(count: max(1, adapters.count), exponent: 0.9)
            let system = fresh(8)
            var open: [(blocks: [Int32], adapter: Int?, left: Int)] = []
            let width = max(4, population(60) / 2)
            let uses = (0..<requests).map { _ in
                while open.count < width { open.append((system, withAdapters ? choice.draw(&random) : nil, number(1...12))) }
                // Who has just spoken speaks again sooner.
                let index = max(number(0...width - 1), number(0...width - 1))
                var chat = open.remove(at: index)
                chat.blocks += fresh(number(2...8))
                chat.left -= 1
                if chat.left > 0 { open.append(chat) }
                return CacheUse(blocks: chat.blocks, adapter: chat.adapter)
            }
            return CacheWorkload(name: name, costs: costs, adapters: adapters, uses: uses)
        }

        // MARK: adapters

        /// Prompts that nobody has sent before.
        mutating func adapters(_ name: String, _ costs: ReplayedPool.Costs) -> CacheWorkload {
            let adapters = ranks(population(300)), choice = ZipfChoice(count: adapters.count, exponent: 0.9)
            let uses = (0..<requests).map { _ in CacheUse(blocks: fresh(number(2...8)), adapter: choice.draw(&random)) }
            return CacheWorkload(name: name, costs: costs, adapters: adapters, uses: uses)
        }

        /// Each adapter has a system prompt of its own; a part of the requests has none.
        mutating func mixed(_ name: String, _ costs: ReplayedPool.Costs) -> CacheWorkload {
            let adapters = ranks(population(200)), prompts = pool(adapters.count, of: 2...24)
            let base = pool(population(100), of: 2...32)
            let choice = ZipfChoice(count: adapters.count, exponent: 0.9), baseChoice = ZipfChoice(count: base.count, exponent: 0.9)
            let uses = (0..<requests).map { _ in
                if number(0...3) == 0 { return CacheUse(blocks: base[baseChoice.draw(&random)] + fresh(number(1...6))) }
                let adapter = choice.draw(&random)
                return CacheUse(blocks: (number(0...4) == 0 ? [] : prompts[adapter]) + fresh(number(1...6)), adapter: adapter)
            }
            return CacheWorkload(name: name, costs: costs, adapters: adapters, uses: uses)
        }

        /// For a third of the time no prompt comes twice; then they do.
        mutating func shift(_ name: String, _ costs: ReplayedPool.Costs) -> CacheWorkload {
            let adapters = ranks(population(200)), prompts = pool(adapters.count, of: 2...24)
            let choice = ZipfChoice(count: adapters.count, exponent: 0.9)
            let uses = (0..<requests).map { index in
                let adapter = choice.draw(&random)
                return CacheUse(blocks: index < requests / 3 ? fresh(number(4...12)) : prompts[adapter] + fresh(1), adapter: adapter)
            }
            return CacheWorkload(name: name, costs: costs, adapters: adapters, uses: uses)
        }
    }
}
