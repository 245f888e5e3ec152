import Glibc
import Testing

@testable import BerthKernels

@Suite struct LogitsTests {
    static func row(_ n: Int, seed: UInt64) -> [Float] {
        var values = Values(seed: seed)
        return (0..<n).map { _ in (values.float() * 40).rounded() / 4 }  // with many ties
    }

    @Test func theLargestIsTheFirstAmongEquals() throws {
        for compute in try everyCompute() {
            for n in [1, 2, 15, 16, 17, 31, 33, 64, 100, 1000] {
                for seed in 1...8 {
                    let x = Self.row(n, seed: UInt64(seed))
                    let wanted = x.indices.max { x[$0] < x[$1] || (x[$0] == x[$1] && $0 > $1) }!
                    #expect(compute.argmax(x, n) == wanted, "\(compute.kernelName) n \(n) seed \(seed)")
                }
            }
            var x = [Float](repeating: -.infinity, count: 40)
            #expect(compute.argmax(x, 40) == 0)
            x[0] = .nan
            x[20] = .nan
            x[33] = -5
            #expect(compute.argmax(x, 40) == 33, "\(compute.kernelName): NaN is never the largest")
        }
    }

    @Test func topIsASort() throws {
        let compute = try Compute(threads: 1)
        for n in [1, 7, 100, 3000] {
            let x = Self.row(n, seed: UInt64(n))
            let sorted = x.indices.sorted { x[$0] > x[$1] || (x[$0] == x[$1] && $0 < $1) }
            for k in [1, 2, 5, 20, n, n + 5] {
                let got = compute.top(x, n, k: k)
                #expect(got.map { Int($0.index) } == Array(sorted.prefix(k)), "n \(n) k \(k)")
                #expect(got.map(\.value) == sorted.prefix(k).map { x[$0] })
            }
        }
        #expect(compute.top([1, 2], 2, k: 0).isEmpty)
    }

    @Test func logSumExpAgreesWithDouble() throws {
        for compute in try everyCompute() {
            for n in [1, 5, 16, 33, 1000] {
                var x = Self.row(n, seed: 3)
                let top = Double(x.max()!)
                let wanted = top + log(x.reduce(0.0) { $0 + exp(Double($1) - top) })
                #expect(abs(Double(compute.logSumExp(x, n)) - wanted) < 2e-6 * max(1, abs(wanted)), "\(compute.kernelName) \(n)")
                x[n / 2] = -.infinity
                if n > 1 { #expect(compute.logSumExp(x, n).isFinite) }
            }
        }
    }
}
