// Blocks that may leave, and which of them is worth least.
//
// A block is worth the seconds that computing it again would take, times the chance that a step wants it (`ReuseChances`). So blocks are kept in a few
// queues, by how often they were reused and by the octave of their cost: within a queue the one that was used longest ago is worth least, and
// of the heads the cheapest.

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
        var kind: Int
        var octave: Int
    }

    private var queues: [Key: Queue] = [:]
    private(set) var count = 0
    private var stale = 0
    private var numbers: UInt64 = 0
    var chances = ReuseChances()

    func contains(_ block: KVBlock) -> Bool { block.entry != 0 }

    mutating func insert(_ block: KVBlock, seconds: Double) {
        precondition(block.entry == 0)
        let key = Key(kind: ReuseChances.kind(reuses: block.reuses), octave: Int(max(seconds, 1e-9).exponent))
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
            let value = queues[key]!.seconds * chances.chance(kind: key.kind, idleSteps: step - head.block.lastUseStep)
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
