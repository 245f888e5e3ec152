// What service costs, in one unit: the computing of a prompt's token.
//
// Virtual counters compare tenants that want different things: long prompts, long outputs, adapters from disk. Their prices follow what this machine
// was measured to take, slowly, and within bounds that are fixed: the counters' bound (`VirtualCounters`) is made of the largest prices and holds
// whatever becomes of the others in between.

/// A pure value: the same observations give the same prices.
struct ServicePrices {
    /// A generated token. It shares a step's reading of the weights with the few rows of other streams, a prompt's token with hundreds.
    private(set) var output = 2.0
    /// A byte that was read from disk.
    private(set) var byte = 1.0 / Double(4 << 20)

    static let outputBounds = 1.0...16.0
    static let byteBounds = 1 / Double(64 << 20)...1 / Double(64 << 10)
    /// What another observation moves a price, as a part of the way.
    private static let pace = 0.05
    /// Rows of the chunk that a prompt's token is priced in, and the least that must have been measured.
    private static let chunkRows = 256
    private static let leastChunkRows = 16

    /// - Parameters:
    ///   - streams: rows of a step that wait for a token.
    ///   - bytesPerSecond: of the disk, where it is known.
    mutating func observe(_ times: StepTimeModel, streams: StepLoad, bytesPerSecond: Double?) {
        guard times.largestRows >= Self.leastChunkRows else { return }
        let token = times.nanosecondsPerToken(ofChunk: min(Self.chunkRows, times.largestRows), after: 0)
        guard token > 0, token.isFinite else { return }
        if streams.rows > 0 { Self.move(&output, to: times.nanoseconds(of: streams) / Double(streams.rows) / token, Self.outputBounds) }
        if let bytesPerSecond, bytesPerSecond > 0 { Self.move(&byte, to: 1e9 / bytesPerSecond / token, Self.byteBounds) }
    }

    private static func move(_ price: inout Double, to measured: Double, _ bounds: ClosedRange<Double>) {
        guard measured.isFinite else { return }
        price += pace * (min(max(measured, bounds.lowerBound), bounds.upperBound) - price)
    }
}
