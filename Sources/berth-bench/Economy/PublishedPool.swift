// Rules of the literature over the objects of the whole pool, to compare the economy with: the one with the least priority leaves, whatever it is.
//
// Objects are adapters and blocks; a block stands on the one before it and leaves after those that stand on it.

import BerthCore
import HeapModule

struct PublishedPool {
    enum Rule: Sendable {
        /// Who was used longest ago.
        case lru
        /// Uses times cost per page, on top of what left last (Cherkasova 1998).
        case gdsf
    }

    private final class Object {
        let pages: Int
        /// Per page.
        let seconds: Double
        unowned let parent: Object?
        var children: [Int32: Object] = [:]
        var key: Int32
        var uses = 0
        var priority = 0.0
        var isHeld = false
        var isResident = false
        /// The entry of the heap that is its own.
        var entry = 0

        init(key: Int32, pages: Int, seconds: Double, parent: Object?) { (self.key, self.pages, self.seconds, self.parent) = (key, pages, seconds, parent) }
    }

    private struct Entry: Comparable {
        var priority: Double
        var number: Int
        var object: Object
        static func < (left: Entry, right: Entry) -> Bool { (left.priority, left.number) < (right.priority, right.number) }
        static func == (left: Entry, right: Entry) -> Bool { left.number == right.number }
    }

    private let rule: Rule
    private let workload: CacheWorkload
    private var free: Int
    private let adapters: [Object]
    /// By adapter; the last is the base model's.
    private let roots: [Object]
    private var heap = Heap<Entry>()
    private var entries = 0
    private var clock = 0.0

    init(_ rule: Rule, _ workload: CacheWorkload, pages: Int) {
        (self.rule, self.workload, free) = (rule, workload, pages)
        adapters = workload.adapters.map { Object(key: 0, pages: $0, seconds: workload.costs.adapterPage, parent: nil) }
        roots = (0...workload.adapters.count).map { _ in Object(key: 0, pages: 0, seconds: 0, parent: nil) }
    }

    /// Seconds that the requests take with what they find.
    consuming func seconds() -> Double {
        var seconds = 0.0
        for (number, use) in workload.uses.enumerated() {
            var held: [Object] = []
            if let adapter = use.adapter { held.append(adapters[adapter]) }
            var above = roots[use.adapter ?? adapters.count]
            for (index, key) in use.blocks.enumerated() {
                let object = above.children[key] ?? Object(key: key, pages: 1, seconds: workload.blockSeconds(at: index), parent: above)
                above.children[key] = object
                held.append(object)
                above = object
            }
            // What is there stays while room is made for the rest.
            for object in held { hold(object) }
            for object in held where !object.isResident {
                seconds += object.seconds * Double(object.pages)
                while free < object.pages { evict() }
                free -= object.pages
                object.isResident = true
            }
            for object in held.reversed() {
                object.uses += 1
                object.priority = rule == .lru ? Double(number) : clock + Double(object.uses) * object.seconds
                object.isHeld = false
                offer(object)
            }
        }
        return seconds
    }

    private func hold(_ object: Object) {
        object.isHeld = true
        object.entry = 0
    }

    private mutating func offer(_ object: Object) {
        guard object.pages > 0, object.isResident, !object.isHeld, object.children.isEmpty else { return }
        entries += 1
        object.entry = entries
        heap.insert(Entry(priority: object.priority, number: entries, object: object))
    }

    private mutating func evict() {
        while let entry = heap.popMin() {
            guard entry.object.entry == entry.number, entry.object.children.isEmpty else { continue }
            clock = max(clock, entry.priority)
            entry.object.isResident = false
            (entry.object.uses, entry.object.entry) = (0, 0)
            free += entry.object.pages
            if let parent = entry.object.parent {
                parent.children[entry.object.key] = nil
                offer(parent)
            }
            return
        }
        preconditionFailure("the pool is too small for a request")
    }
}
