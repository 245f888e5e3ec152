// How far one distribution of next tokens is from another: KL(p ‖ q), in nats, p being the reference.
//
// Every position gives two rows of logits; both become log-softmax in double over the whole vocabulary. The mean over
// positions is the usual measure of what quantisation costs, the largest values show where it hurts, and the share of equal
// likeliest tokens is what greedy decoding would notice.

import BerthKernels
import Glibc

/// What the positions of some windows have shown about one source of logits.
struct Divergence {
    /// Nats, by position.
    private(set) var nats: [Double] = []
    private(set) var agreements = 0
    /// Sum of -log q(next token), and of the reference's, over `predictions` positions.
    private var surprise = 0.0, referenceSurprise = 0.0
    private var predictions = 0

    var mean: Double { nats.isEmpty ? 0 : nats.reduce(0, +) / Double(nats.count) }
    /// Standard error of the mean, as if positions were independent.
    var error: Double {
        guard nats.count > 1 else { return 0 }
        let mean = mean
        return (nats.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(nats.count * (nats.count - 1))).squareRoot()
    }
    /// Share of positions with the same likeliest token, the lowest among equals.
    var agreement: Double { nats.isEmpty ? 0 : Double(agreements) / Double(nats.count) }
    var perplexity: Double { exp(surprise / Double(predictions)) }
    var referencePerplexity: Double { exp(referenceSurprise / Double(predictions)) }

    /// One position.
    struct Position {
        var nats = 0.0
        var agrees = false
        /// Natural logarithms of both sums of exponentials.
        var referenceLogSum = 0.0, logSum = 0.0

        init(reference p: UnsafePointer<Float>, _ q: UnsafePointer<Float>, count: Int) {
            func maximum(_ row: UnsafePointer<Float>) -> Int {
                var best = 0
                for index in 1..<count where row[index] > row[best] { best = index }
                return best
            }
            func logSum(_ row: UnsafePointer<Float>, _ largest: Float) -> Double {
                var sum = 0.0
                for index in 0..<count { sum += exp(Double(row[index]) - Double(largest)) }
                return Double(largest) + log(sum)
            }
            let (bestP, bestQ) = (maximum(p), maximum(q))
            agrees = bestP == bestQ
            referenceLogSum = logSum(p, p[bestP])
            self.logSum = logSum(q, q[bestQ])
            for index in 0..<count {
                let logP = Double(p[index]) - referenceLogSum, probability = exp(logP)
                if probability > 0 { nats += probability * (logP - (Double(q[index]) - self.logSum)) }
            }
        }
    }

    /// Takes in rows of one window. `next` are the tokens that follow them, as far as there are any.
    mutating func add(reference: Rows, _ logits: Rows, next: ArraySlice<Int32>, compute: Compute, name: String) throws {
        precondition(reference.count == logits.count && reference.columns == logits.columns)
        var positions = [Position?](repeating: nil, count: logits.count)
        positions.withUnsafeMutableBufferPointer { positions in
            // Each section writes its own element.
            nonisolated(unsafe) let positions = positions
            compute.parallel(logits.count) { row in
                positions[row] = Position(reference: reference[row], logits[row], count: logits.columns)
            }
        }
        for (row, position) in positions.enumerated() {
            guard let position, position.nats.isFinite else { throw BenchError("the logits of \(name) are not all numbers") }
            nats.append(position.nats)
            if position.agrees { agreements += 1 }
            if row < next.count {
                let token = Int(next[next.startIndex + row])
                surprise += position.logSum - Double(logits[row][token])
                referenceSurprise += position.referenceLogSum - Double(reference[row][token])
                predictions += 1
            }
        }
    }

    /// Compares several sources with a reference, window by window; memory is bounded by the sources' own.
    static func measure(
        _ sources: [any LogitSource], against reference: any LogitSource, windows: TokenWindows, rowsAtOnce: Int, compute: Compute
    ) throws -> [Divergence] {
        var results = [Divergence](repeating: Divergence(), count: sources.count)
        for window in 0..<windows.count {
            let tokens = windows[window]
            for start in stride(from: 0, to: windows.length, by: rowsAtOnce) {
                let rows = start..<min(start + rowsAtOnce, windows.length)
                let expected = reference.logits(window: window, rows: rows)
                for (index, source) in sources.enumerated() {
                    try results[index].add(
                        reference: expected, source.logits(window: window, rows: rows), next: tokens.dropFirst(rows.lowerBound + 1).prefix(rows.count),
                        compute: compute, name: source.name)
                }
            }
        }
        return results
    }
}
