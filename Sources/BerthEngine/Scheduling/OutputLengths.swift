// How long outputs have been of late, by adapter: what a fine-tune was made for says much of how long its answers are.
//
// After the Past-Future scheduler (Gong et al., arXiv 2507.10150): a request's length is foreseen from the lengths of the past that are longer than what it has
// generated already. Where that work draws a length at random, a request here has a place of its own in the distribution, for life: places are
// spread evenly over requests (by the golden ratio), so that their sum comes close to the mean of the distribution with few requests, and the same run gives the same decisions.

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

    /// Tokens that a request will generate after so many, its own bound aside; nil where too little is known.
    /// - Parameter share: the request's place in the distribution, in 0..<1.
    func remaining(after generated: Int, of adapter: AdapterName?, at share: Double) -> Int? {
        let own = windows[adapter].flatMap { $0.lengths.count >= Self.leastLengths ? $0 : nil }
        guard let window = own ?? (all.lengths.count >= Self.leastLengths ? all : nil) else { return nil }
        let first = window.place(of: Int32(clamping: generated + 1))
        let longer = window.sorted.count - first
        // Longer than anything known: as long again.
        guard longer > 0 else { return generated }
        return Int(window.sorted[first + min(longer - 1, Int(share * Double(longer)))]) - generated
    }

    /// The place of the request that came as the `arrival`-th.
    static func share(ofArrival arrival: UInt64) -> Double {
        let product = Double(arrival % (1 << 32)) * 0.618_033_988_749_894_9
        return product - product.rounded(.down)
    }
}
