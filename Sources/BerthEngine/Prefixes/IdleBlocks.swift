// Blocks that may leave, and which of them is worth least.
//
// A block is worth the seconds that computing it again would take, times the chance that a step wants it. The chance falls with the time since
// its last use, alike for all; what else is known is how often blocks that were reused so many times have been wanted again, and that is
// measured. So blocks are kept in a few queues, by how often they were reused and by the octave of their cost: within a queue the one
// that was used longest ago is worth least, and of the heads the cheapest.

import HeapModule

/// A value of the prefix cache. Engine thread only.
struct IdleBlocks {
    private struct Entry: Comparable {
        let lastUse: UInt64
        let number: UInt64
        let block: KVBlock
        static func < (left: Entry, right: Entry) -> Bool { (left.lastUse, left.number) < (right.lastUse, right.number) }
        static func == (left: Entry, right: Entry) -> Bool { left.number == right.number }
        /// The block is still where it was when the entry was made.
        var isValid: Bool { block.entry == number }
    }

    private struct Queue {
        var entries = Heap<Entry>()
        /// The cost of those in it, about.
        var seconds: Double
    }

    private struct Key: Hashable {
        var reuses: Int
        var octave: Int
    }

    private var queues: [Key: Queue] = [:]
    private(set) var count = 0
    private var stale = 0
    private var numbers: UInt64 = 0
    /// Of blocks that were reused so many times: how many were left idle, and how many of these were wanted again. Decayed.
    private var chances = [(left: Double, wanted: Double)](repeating: (2, 1), count: Self.classes)

    private static let classes = 4
    private static let mostWeight = 1000.0

    private static func reuseClass(_ reuses: Int) -> Int { min(reuses, classes - 1) }

    func contains(_ block: KVBlock) -> Bool { block.entry != 0 }

    mutating func insert(_ block: KVBlock, seconds: Double) {
        precondition(block.entry == 0)
        let key = Key(reuses: Self.reuseClass(block.reuses), octave: Int(max(seconds, 1e-9).exponent))
        numbers += 1
        block.entry = numbers
        queues[key, default: Queue(seconds: seconds)].entries.insert(Entry(lastUse: block.lastUse, number: numbers, block: block))
        count += 1
    }

    /// It is in use again, or gone.
    mutating func remove(_ block: KVBlock) {
        guard block.entry != 0 else { return }
        block.entry = 0
        count -= 1
        stale += 1
        if stale > count + 64 { sweep() }
    }

    /// A block was left, and one that was left before is wanted again, or never will be.
    mutating func learn(reuses: Int, wasWanted: Bool) {
        let index = Self.reuseClass(reuses)
        if chances[index].left >= Self.mostWeight { chances[index] = (chances[index].left / 2, chances[index].wanted / 2) }
        chances[index].left += 1
        if wasWanted { chances[index].wanted += 1 }
    }

    /// The block that is worth least, and what that is, in expected seconds per step.
    mutating func cheapest(step: Int) -> (block: KVBlock, value: Double)? {
        var best: (entry: Entry, value: Double)?
        for key in queues.keys {
            while let head = queues[key]!.entries.min, !head.isValid {
                queues[key]!.entries.removeMin()
                stale -= 1
            }
            guard let head = queues[key]!.entries.min else {
                queues[key] = nil
                continue
            }
            let (left, wanted) = chances[key.reuses]
            let value = queues[key]!.seconds * wanted / left / Double(1 + max(0, step - head.block.lastUseStep))
            // Of equals the one that was left first, so that the order of a dictionary decides nothing.
            if best.map({ (value, head.number) < ($0.value, $0.entry.number) }) ?? true { best = (head, value) }
        }
        return best.map { ($0.entry.block, $0.value) }
    }

    private mutating func sweep() {
        for key in queues.keys { queues[key]!.entries = Heap(queues[key]!.entries.unordered.filter(\.isValid)) }
        queues = queues.filter { !$0.value.entries.isEmpty }
        stale = 0
    }
}
