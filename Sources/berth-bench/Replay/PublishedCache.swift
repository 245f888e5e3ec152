// The caches of the literature over one input, each as a priority per expert: the resident one with the least leaves, never one of the present turn.

import BerthCore

struct PublishedCache {
    private let rule: ReplayRule
    private let turns: [RoutingTrace.Turn]
    private let capacity: Int
    private var random: RandomSource
    private var priority: [Double]
    private var uses: [Int]
    private var residents: [Int] = []
    private var isResident: [Bool]
    private var isWanted: [Bool]
    /// GDSF's clock: the priority of who left last (Cherkasova 1998; sizes and costs are equal here).
    private var clock = 0.0
    /// Mark-and-predict: the one-bit prediction is that an expert marked in the phase before is wanted in the next one, too.
    private var isMarked: [Bool]
    private var wasMarked: [Bool]

    init(_ rule: ReplayRule, _ turns: [RoutingTrace.Turn], experts: Int, capacity: Int, seed: UInt64) {
        (self.rule, self.turns, self.capacity) = (rule, turns, capacity)
        random = RandomSource(seed: seed)
        priority = Array(repeating: 0, count: experts)
        uses = Array(repeating: 0, count: experts)
        isResident = Array(repeating: false, count: experts)
        (isWanted, isMarked, wasMarked) = (isResident, isResident, isResident)
    }

    consuming func hits() -> Int {
        let next = rule == .belady ? nextUses() : []
        var hits = 0
        for (number, turn) in turns.enumerated() {
            for index in turn.wanted { isWanted[index] = true }
            for (place, index) in turn.wanted.enumerated() {
                uses[index] += 1
                switch rule {
                case .belady: priority[index] = -Double(next[number][place])
                case .lfu: priority[index] = Double(uses[index])
                case .gdsf: priority[index] = clock + Double(uses[index])
                default: priority[index] = Double(number)
                }
                if isResident[index] { hits += 1 } else { admit(index) }
                isMarked[index] = true
            }
            for index in turn.wanted { isWanted[index] = false }
        }
        return hits
    }

    private mutating func admit(_ index: Int) {
        if residents.count >= capacity {
            guard let place = rule == .markAndPredict ? unmarked() : least() else { return }
            let victim = residents[place]
            clock = priority[victim]
            // Frequency is of the stay in the cache for GDSF, of all time for LFU.
            if rule == .gdsf { uses[victim] = 0 }
            isResident[victim] = false
            residents[place] = index
        } else {
            residents.append(index)
        }
        isResident[index] = true
    }

    private func least() -> Int? {
        residents.indices.filter { !isWanted[residents[$0]] }.min { priority[residents[$0]] < priority[residents[$1]] }
    }

    private mutating func unmarked() -> Int? {
        let free = residents.indices.filter { !isWanted[residents[$0]] }
        if free.allSatisfy({ isMarked[residents[$0]] }) {
            wasMarked = isMarked
            isMarked = Array(repeating: false, count: isMarked.count)
        }
        let open = free.filter { !isMarked[residents[$0]] }
        let unpredicted = open.filter { !wasMarked[residents[$0]] }
        return (unpredicted.isEmpty ? open : unpredicted).randomElement(using: &random)
    }

    /// The turn at which each expert of each turn is wanted next; far beyond the end when never.
    private func nextUses() -> [[Int]] {
        var upcoming = Array(repeating: turns.count * 2, count: priority.count)
        var next = turns.map { Array(repeating: 0, count: $0.wanted.count) }
        for number in turns.indices.reversed() {
            for (place, index) in turns[number].wanted.enumerated() {
                next[number][place] = upcoming[index]
                upcoming[index] = number
            }
        }
        return next
    }
}
