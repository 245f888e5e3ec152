// How long a step will take, learned from the steps before it.
//
// Time is modelled as a sum: so much for every step, for every row, sequence, attended token. The prices come from
// least squares over what was observed. One set of prices does not fit every size of step (a few rows cost what reading the weights
// costs, many rows what their arithmetic costs), so observations are kept by size, in classes of one octave of rows each, and a
// prediction weighs the classes by their distance from it. A class keeps decayed sums, not steps: the memory is fixed, and thousands of
// small steps do not wash out what a large one has taught.
//
// A pure value: the same observations give the same predictions.

struct StepTimeModel {
    /// Decayed means over the steps of one octave.
    private struct SizeClass {
        /// How many observations it stands for.
        var weight = 0.0
        /// Products of every two features: a symmetric matrix, row by row.
        var products = [Double](repeating: 0, count: count * count)
        var timedFeatures = [Double](repeating: 0, count: count)
        var time = 0.0
        var squaredTime = 0.0

        mutating func take(_ features: [Double], _ nanoseconds: Double) {
            weight = min(weight + 1, StepTimeModel.mostWeight)
            let share = 1 / weight
            for row in 0..<count {
                for column in 0..<count { products[row * count + column] += share * (features[row] * features[column] - products[row * count + column]) }
                timedFeatures[row] += share * (nanoseconds * features[row] - timedFeatures[row])
            }
            time += share * (nanoseconds - time)
            squaredTime += share * (nanoseconds * nanoseconds - squaredTime)
        }
    }

    /// What a feature costs, in nanoseconds each, near some size of step.
    struct Prices {
        fileprivate var values = [Double](repeating: 0, count: count)

        func nanoseconds(of load: StepLoad) -> Double { zip(values, load.features).reduce(0) { $0 + $1.0 * $1.1 } }
    }

    private static let count = StepLoad.featureCount
    /// Observations that a class remembers: a few, because a machine's speed changes, and more than one, because it trembles.
    private static let mostWeight = 5.0
    /// What a class that is not visited keeps, so that its neighbours outweigh it in the end, and its distant ones do not.
    private static let leastWeight = 0.25
    private static let fading = 0.97
    /// A class one octave further away counts by this power of two.
    private static let distanceExponent = -2
    /// One step that takes much longer than foreseen (the machine slept, another program ran) counts as this many times its prediction.
    private static let mostSurprise = 2.0
    /// Of each feature's own square. Where features have only been seen together, their time goes to those with the least of it: a step that was
    /// measured after a short context says little about a long one.
    private static let ridge = [1e-4, 1e-4] + [Double](repeating: 1e-3, count: count - 2)

    private var classes: [SizeClass] = []
    /// Rows of the largest step so far. What lies far beyond is a guess.
    private(set) var largestRows = 0

    /// The octave of a number of rows.
    static func sizeClass(_ rows: Int) -> Int { Int.bitWidth - rows.leadingZeroBitCount }

    mutating func observe(_ load: StepLoad, nanoseconds: UInt64) {
        precondition(load.rows > 0)
        let index = Self.sizeClass(load.rows)
        while classes.count <= index { classes.append(SizeClass()) }
        var time = Double(max(nanoseconds, 1))
        if classes[index].weight >= 1, time > Self.mostSurprise * classes[index].time {
            time = min(time, Self.mostSurprise * max(self.nanoseconds(of: load), classes[index].time))
        }
        for other in classes.indices where other != index && classes[other].weight > Self.leastWeight {
            classes[other].weight = max(classes[other].weight * Self.fading, Self.leastWeight)
        }
        classes[index].take(load.features, time)
        largestRows = max(largestRows, load.rows)
    }

    /// The foreseen time; 0 where nothing was observed yet.
    func nanoseconds(of load: StepLoad) -> Double { prices(near: Self.sizeClass(load.rows)).nanoseconds(of: load) }

    /// Of a prompt's token in a chunk of so many, after `context` others.
    func nanosecondsPerToken(ofChunk rows: Int, after context: Int) -> Double { nanoseconds(of: StepLoad().adding(rows: rows, after: context)) / Double(rows) }

    /// The prices that hold for steps of a class.
    func prices(near sizeClass: Int) -> Prices {
        let count = Self.count
        var products = [Double](repeating: 0, count: count * count)
        var timedFeatures = [Double](repeating: 0, count: count)
        for (other, known) in classes.enumerated() where known.weight > 0 {
            // Relative errors count, so that classes of long and of short steps are on a par.
            let share = known.weight * Double(sign: .plus, exponent: Self.distanceExponent * abs(other - sizeClass), significand: 1) / known.squaredTime
            for index in products.indices { products[index] += share * known.products[index] }
            for index in timedFeatures.indices { timedFeatures[index] += share * known.timedFeatures[index] }
        }
        return Self.solve(products, timedFeatures)
    }

    /// Least squares without negative prices: nothing gets faster for having more to do. Features whose price comes out negative are left out,
    /// the worst first, until none does.
    private static func solve(_ products: [Double], _ timed: [Double]) -> Prices {
        var chosen = (0..<count).filter { products[$0 * count + $0] > 0 }
        while !chosen.isEmpty {
            let prices = solve(products, timed, chosen)
            guard let worst = chosen.min(by: { prices.values[$0] < prices.values[$1] }), prices.values[worst] < 0 else { return prices }
            chosen.removeAll { $0 == worst }
        }
        return Prices()
    }

    /// Solves the normal equations of the chosen features by elimination, each feature scaled to its own size.
    private static func solve(_ products: [Double], _ timed: [Double], _ chosen: [Int]) -> Prices {
        let size = chosen.count
        let scale = chosen.map { products[$0 * count + $0].squareRoot() }
        var matrix = [Double](repeating: 0, count: size * size)
        var right = [Double](repeating: 0, count: size)
        for row in 0..<size {
            for column in 0..<size { matrix[row * size + column] = products[chosen[row] * count + chosen[column]] / (scale[row] * scale[column]) }
            matrix[row * size + row] += ridge[chosen[row]]
            right[row] = timed[chosen[row]] / scale[row]
        }
        // Symmetric and positive definite, by the ridge: no pivoting is needed.
        for pivot in 0..<size {
            for row in pivot + 1..<size {
                let factor = matrix[row * size + pivot] / matrix[pivot * size + pivot]
                for column in pivot..<size { matrix[row * size + column] -= factor * matrix[pivot * size + column] }
                right[row] -= factor * right[pivot]
            }
        }
        var prices = Prices()
        for row in (0..<size).reversed() {
            var rest = right[row]
            for column in row + 1..<size { rest -= matrix[row * size + column] * prices.values[chosen[column]] * scale[column] }
            prices.values[chosen[row]] = rest / matrix[row * size + row] / scale[row]
        }
        return prices
    }
}
