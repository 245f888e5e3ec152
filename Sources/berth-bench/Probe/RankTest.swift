// Whether two samples come from the same distribution, by their ranks alone: no shape is assumed, and single slow answers do not matter.

import Glibc

enum RankTest {
    /// The two-sided p-value of Mann and Whitney's U (1947), in the normal approximation with its correction for ties; 1 where there is nothing to compare.
    static func mannWhitney(_ first: [Double], _ second: [Double]) -> Double {
        guard !first.isEmpty, !second.isEmpty else { return 1 }
        let all = (first.map { (value: $0, isFirst: true) } + second.map { (value: $0, isFirst: false) }).sorted { $0.value < $1.value }
        var (rankSum, ties, start) = (0.0, 0.0, 0)
        while start < all.count {
            var end = start
            while end < all.count, all[end].value == all[start].value { end += 1 }
            // Those with the same value share the mean of their ranks.
            let rank = Double(start + 1 + end) / 2, size = Double(end - start)
            for index in start..<end where all[index].isFirst { rankSum += rank }
            ties += size * size * size - size
            start = end
        }
        let (n, m) = (Double(first.count), Double(second.count)), count = n + m
        let u = rankSum - n * (n + 1) / 2
        let variance = n * m / 12 * (count + 1 - ties / (count * (count - 1)))
        guard variance > 0 else { return 1 }
        return erfc(max(0, abs(u - n * m / 2) - 0.5) / variance.squareRoot() / 2.0.squareRoot())
    }
}
