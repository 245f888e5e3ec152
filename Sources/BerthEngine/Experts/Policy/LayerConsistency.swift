// Local routing consistency of one layer, measured on the rows of one request at a time ("Not All Models Suit Expert Offloading", 2025).
//
// SRP: how well one fixed group of experts covers a segment of m rows: over all segments and experts, with f the uses of an expert in a
// segment, the greatest over α of 2·Σ_{f≥α} f / Σ (m·[f≥α] + f).
// SCH: the hit rate of a cache of ρ·k experts that loads on demand and lets go what the next m rows use least (of equals, the longest unused),
// never an expert of the present row. It knows m rows ahead, so it runs m rows behind.
//
// Beside them stands what a slot more would bring: how likely a row wants an expert that none of the last m rows did.
//
// A row costs O(k + m), and O(k·experts) where the cache misses.

public struct LayerConsistency: Sendable {
    public static let segmentRows = 16
    /// ρ: what the paper finds the sweet spot.
    public static let cacheFactor = 2

    private let experts: Int
    private var perRow = 0
    /// The last m rows, as a ring.
    private var ring: [Int32] = []
    private var head = 0
    private var rows = 0
    /// Uses of each expert in the ring, and how many experts have so many uses.
    private var counts: [Int32]
    private var tally: [Int]
    /// Over all segments, how often an expert had so many uses.
    private var histogram: [Double]
    private var isCached: [Bool]
    private var cached: [Int] = []
    private var lastUse: [Int]
    private var clock = 0
    private var hits = 0.0
    private var wanted = 0.0
    /// Choices among the experts that the segment before the row did not use, and these experts, over rows; both fade.
    private var strangerUses = 0.0
    private var strangers = 0.0
    private static let strangerFading = 0.998
    /// After so many rows what was measured weighs half, so that the figures follow the load.
    private static let memoryRows = 4096
    private var measured = 0

    init(experts: Int) {
        self.experts = experts
        counts = Array(repeating: 0, count: experts)
        tally = [experts] + Array(repeating: 0, count: Self.segmentRows)
        histogram = Array(repeating: 0, count: Self.segmentRows + 1)
        isCached = Array(repeating: false, count: experts)
        lastUse = Array(repeating: 0, count: experts)
    }

    /// 0...1; nil before the cache has been asked.
    public var sch: Double? { wanted > 0 ? hits / wanted : nil }

    /// The chance that the next row wants an expert that the segment before it did not: the marginal gain of a slot beyond the segment's own experts.
    /// 0 before the first segment.
    public var strangerChance: Double { strangers > 0 ? strangerUses / strangers : 0 }

    /// 0...1; nil before the first whole segment.
    public var srp: Double? {
        let all = histogram.indices.reduce(0.0) { $0 + Double($1) * histogram[$1] }
        guard all > 0 else { return nil }
        var (covered, members) = (0.0, 0.0)
        var best = 0.0
        for uses in (1...Self.segmentRows).reversed() {
            covered += Double(uses) * histogram[uses]
            members += Double(Self.segmentRows) * histogram[uses]
            best = max(best, 2 * covered / (members + all))
        }
        return best
    }

    /// The next row of the request; its experts are distinct.
    mutating func note(_ row: Slice<UnsafeBufferPointer<Int32>>) {
        if row.count != perRow { restart(perRow: row.count) }
        let full = rows == Self.segmentRows
        if full {
            strangerUses = strangerUses * Self.strangerFading + Double(row.count { counts[Int($0)] == 0 })
            strangers = strangers * Self.strangerFading + Double(tally[0])
        }
        let due = full ? Array(ring[(head * perRow)..<((head + 1) * perRow)]) : []
        for expert in due { count(Int(expert), by: -1) }
        for (place, expert) in row.enumerated() {
            ring[head * perRow + place] = expert
            count(Int(expert), by: 1)
        }
        head = (head + 1) % Self.segmentRows
        if !full { rows += 1 }
        guard rows == Self.segmentRows else { return }
        for uses in tally.indices { histogram[uses] += Double(tally[uses]) }
        for expert in due { use(Int(expert), of: due) }
        measured += 1
        if measured % Self.memoryRows == 0 { halve() }
    }

    /// Segments do not reach over requests; what was measured stays.
    mutating func requestEnded() { restart(perRow: perRow) }

    private mutating func restart(perRow: Int) {
        self.perRow = perRow
        ring = Array(repeating: 0, count: Self.segmentRows * perRow)
        (head, rows) = (0, 0)
        for expert in counts.indices { counts[expert] = 0 }
        tally = [experts] + Array(repeating: 0, count: Self.segmentRows)
        for expert in cached { isCached[expert] = false }
        cached.removeAll(keepingCapacity: true)
    }

    private mutating func count(_ expert: Int, by change: Int32) {
        tally[Int(counts[expert])] -= 1
        counts[expert] += change
        tally[Int(counts[expert])] += 1
    }

    private mutating func use(_ expert: Int, of row: [Int32]) {
        clock += 1
        lastUse[expert] = clock
        wanted += 1
        guard !isCached[expert] else { return hits += 1 }
        if cached.count >= Self.cacheFactor * perRow {
            let free = cached.indices.filter { !row.contains(Int32(cached[$0])) }
            guard let place = free.min(by: { (counts[cached[$0]], lastUse[cached[$0]]) < (counts[cached[$1]], lastUse[cached[$1]]) }) else { return }
            isCached[cached[place]] = false
            cached[place] = expert
        } else {
            cached.append(expert)
        }
        isCached[expert] = true
    }

    private mutating func halve() {
        for uses in histogram.indices { histogram[uses] /= 2 }
        (hits, wanted) = (hits / 2, wanted / 2)
    }
}
