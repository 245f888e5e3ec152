// How long outputs have been of late, by adapter: what a fine-tune was made for says much of how long its answers are.
//
// After the Past-Future scheduler (Gong et al., arXiv 2507.10150): a request's length is foreseen from the lengths of the past that are longer than what it has
// generated already: a few are drawn of them, by places in the distribution that a request has for life, out of its number. So the same run gives the same decisions.

import BerthCore

/// A pure value.
struct OutputLengths {
    private struct Window {
        /// In order of time, as a ring.
        var lengths: [Int32] = []
        var oldest = 0
        /// The same, rising.
        var sorted: [Int32] = []

        mutating func record(_ length: Int32) {
            if lengths.count < OutputLengths.windowLengths {
                lengths.append(length)
            } else {
                sorted.remove(at: place(of: lengths[oldest]))
                lengths[oldest] = length
                oldest = (oldest + 1) % lengths.count
            }
            sorted.insert(length, at: place(of: length))
        }

        /// Of the first length that is not less.
        func place(of length: Int32) -> Int {
            var low = 0, high = sorted.count
            while low < high {
                let middle = (low + high) / 2
                if sorted[middle] < length { low = middle + 1 } else { high = middle }
            }
            return low
        }
    }

    /// Lengths that a window remembers, and the least that say anything.
    private static let windowLengths = 256
    static let leastLengths = 16

    private var windows: [AdapterName?: Window] = [:]
    private var all = Window()

    /// A request has come to its own end.
    mutating func record(_ length: Int, of adapter: AdapterName?) {
        let length = Int32(clamping: length)
        all.record(length)
        // Adapters beyond the bound have what is known of all.
        if windows[adapter] != nil || windows.count < Limits.outputWindows { windows[adapter, default: Window()].record(length) }
    }

    /// Tokens that a request will generate after so many, its own bound aside, a few times drawn; nil where too little is known.
    /// - Parameter places: the request's places in the distribution, each in 0..<1.
    func remaining(after generated: Int, of adapter: AdapterName?, at places: Draws) -> Draws? {
        let own = windows[adapter].flatMap { $0.lengths.count >= Self.leastLengths ? $0 : nil }
        guard let window = own ?? (all.lengths.count >= Self.leastLengths ? all : nil) else { return nil }
        let first = window.place(of: Int32(clamping: generated + 1))
        let longer = window.sorted.count - first
        // Longer than anything known: as long again.
        guard longer > 0 else { return Draws(repeating: Float(generated)) }
        var draws = Draws()
        for draw in draws.indices { draws[draw] = Float(Int(window.sorted[first + min(longer - 1, Int(places[draw] * Float(longer)))]) - generated) }
        return draws
    }

    /// A number for each of a few draws: all are made of at one time.
    typealias Draws = SIMD8<Float>

    /// The places of the request that came as the `arrival`-th.
    static func places(ofArrival arrival: UInt64) -> Draws {
        var random = RandomSource(seed: arrival)
        var places = Draws()
        for draw in places.indices { places[draw] = Float.random(in: 0..<1, using: &random) }
        return places
    }
}
