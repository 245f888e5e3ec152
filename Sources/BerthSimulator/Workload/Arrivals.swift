// When requests come.

import BerthCore
import Glibc

/// How a tenant's requests are spread over time. Rates are per second, durations seconds.
public enum Arrivals: Sendable, Equatable {
    /// Independent of each other.
    case poisson(rate: Double)
    /// The same on average, in bursts: gaps of a gamma distribution with this shape; below 1 they come in crowds, above in step.
    case gamma(rate: Double, shape: Double)
    /// Poisson while on, nothing while off.
    case onOff(rate: Double, on: Double, off: Double)
    /// A rate that rises and falls as a wave between (1 − depth) and (1 + depth) of its mean.
    case diurnal(rate: Double, period: Double, depth: Double)
    /// So many at the beginning, and no more.
    case together(count: Int)
    /// So many clients, each of which asks again as soon as its answer is there, after a while.
    case clients(count: Int, thinking: Double)

    /// Requests that come at the very beginning, one after the other.
    var atOnce: Int {
        switch self {
        case .together(let count), .clients(let count, _): count
        case .poisson, .gamma, .onOff, .diurnal: 0
        }
    }

    /// Seconds from `time` to the next one; nil where none comes by itself.
    func gap(after time: Double, _ random: inout RandomSource) -> Double? {
        switch self {
        case .poisson(let rate): return random.exponential() / rate
        case .gamma(let rate, let shape): return random.gamma(shape: shape) / shape / rate
        case .onOff(let rate, let on, let off):
            // Time while off does not count.
            var cycle = floor(time / (on + off))
            var at = time
            var left = random.exponential() / rate
            while true {
                let open = max(0, cycle * (on + off) + on - at)
                if left < open { return at + left - time }
                left -= open
                cycle += 1
                at = cycle * (on + off)
            }
        case .diurnal(let rate, let period, let depth):
            // Thinning (Lewis and Shedler, 1979): candidates at the highest rate, each kept with the chance of its hour.
            var at = time
            repeat { at += random.exponential() / (rate * (1 + depth)) } while random.unit() * (1 + depth) > 1 + depth * sin(2 * .pi * at / period)
            return at - time
        case .together, .clients: return nil
        }
    }
}

extension RandomSource {
    /// Mean 1.
    mutating func exponential() -> Double { -log(1 - unit()) }

    /// Box and Muller, 1958.
    mutating func normal() -> Double { (-2 * log(1 - unit())).squareRoot() * cos(2 * .pi * unit()) }

    /// Mean `shape` (Marsaglia and Tsang, 2000).
    mutating func gamma(shape: Double) -> Double {
        if shape < 1 { return gamma(shape: shape + 1) * pow(1 - unit(), 1 / shape) }
        let d = shape - 1.0 / 3
        while true {
            let x = normal()
            let v = (1 + x / (9 * d).squareRoot())
            let cube = v * v * v
            if v > 0, log(1 - unit()) < x * x / 2 + d * (1 - cube + log(cube)) { return d * cube }
        }
    }
}
