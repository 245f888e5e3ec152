// A Prometheus histogram: fixed bounds, counts, a sum.

struct Histogram {
    /// Upper bounds in seconds, rising.
    let bounds: [Double]
    /// One count per bound and one for what is above all of them; not cumulative.
    private(set) var counts: [UInt64]
    private(set) var sum: Double = 0

    init(bounds: [Double]) {
        self.bounds = bounds
        counts = Array(repeating: 0, count: bounds.count + 1)
    }

    mutating func observe(nanoseconds: UInt64) {
        let seconds = Double(nanoseconds) * 1e-9
        counts[bounds.firstIndex { seconds <= $0 } ?? bounds.count] += 1
        sum += seconds
    }

    var count: UInt64 { counts.reduce(0, +) }
}
