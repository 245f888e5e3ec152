import Glibc
import Testing

@testable import BerthKernels

@Suite struct PointwiseTests {
    static let widths = [1, 3, 15, 16, 17, 63, 64, 65, 300, 2048]

    @Test func normsAgreeWithDouble() throws {
        for compute in try everyCompute(threads: 2) {
            for width in Self.widths {
                let x = Block(21, width, seed: 3), weight = Block(1, width, seed: 5), y = Block(21, width)
                compute.rmsNorm(x.rows, weight: weight.rows.base, epsilon: 1e-5, into: y.rows)
                let wanted = x.all.map { row in
                    let mean = row.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(width)
                    return zip(row, weight.row(0)).map { Float(Double($0) / (mean + 1e-5).squareRoot() * Double($1)) }
                }
                #expect(relativeError(y.all, wanted) < 1e-5, "\(compute.kernelName) \(width)")
                compute.rmsNorm(x.rows, weight: weight.rows.base, epsilon: 1e-5, into: x.rows)
                #expect(bits(x.all) == bits(y.all), "in place")
            }
        }
    }

    private static func silu(_ gate: Float, _ up: Float) -> Float {
        let v = Double(gate)
        return Float(v / (1 + exp(-v)) * Double(up))
    }

    @Test func gatesAndSumsAgreeWithDouble() throws {
        for compute in try everyCompute(threads: 2) {
            for width in Self.widths {
                let gate = Block(9, width, seed: 7, scale: 12), up = Block(9, width, seed: 9), y = Block(9, width)
                compute.siluMultiply(gate: gate.rows, up: up.rows, into: y.rows)
                let wanted = zip(gate.all, up.all).map { gates, ups in zip(gates, ups).map { Self.silu($0, $1) } }
                #expect(relativeError(y.all, wanted) < 1e-6, "\(compute.kernelName) \(width)")
                let sum = zip(gate.all, up.all).map { gates, ups in zip(gates, ups).map { $0 + $1 } }
                compute.add(gate.rows, to: up.rows)
                #expect(up.all == sum)
            }
        }
    }

    @Test func siluStandsExtremes() throws {
        for compute in try everyCompute() {
            let gate = Block(1, 20, fill: { 0 }), up = Block(1, 20, fill: { 1 }), y = Block(1, 20)
            let values: [Float] = [-1e30, -200, -100, -88, -87, -1, -0.0, 0, 1, 87, 88, 89, 100, 200, 1e30]
            for (i, v) in values.enumerated() { gate.rows.base[i] = v }
            compute.siluMultiply(gate: gate.rows, up: up.rows, into: y.rows)
            for (i, v) in values.enumerated() {
                let wanted = Double(v) / (1 + exp(-Double(v)))
                #expect(abs(Double(y.rows.base[i]) - wanted) <= 1e-6 * max(abs(wanted), 1e-3), "\(compute.kernelName) silu(\(v)) = \(y.rows.base[i])")
            }
        }
    }

    @Test func rotationsAgreeWithDouble() throws {
        for compute in try everyCompute(threads: 2) {
            for headDim in [2, 6, 16, 20, 64, 128] {
                let heads = 3, rows = 5, half = headDim / 2
                let x = Block(rows, heads * headDim + 4, seed: 11), before = x.all
                let cosines = Block(rows, half, seed: 13), sines = Block(rows, half, seed: 15)
                compute.rope(x.rows, heads: heads, headDim: headDim, cos: cosines.rows.base, sin: sines.rows.base)
                var wanted = before
                for r in 0..<rows {
                    for h in 0..<heads {
                        for i in 0..<half {
                            let low = before[r][h * headDim + i], high = before[r][h * headDim + half + i]
                            let (c, s) = (cosines.rows[r][i], sines.rows[r][i])
                            wanted[r][h * headDim + i] = low * c - high * s
                            wanted[r][h * headDim + half + i] = high * c + low * s
                        }
                    }
                }
                #expect(relativeError(x.all, wanted) < 1e-6, "\(compute.kernelName) \(headDim)")
                #expect(x.all.map { $0.suffix(4) } == before.map { $0.suffix(4) })
            }
        }
    }
}
