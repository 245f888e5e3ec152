// Which experts each row goes to, and with what weight.
//
// The arithmetic of every supported family: softmax over all experts in single precision, the k most probable (equal
// ones by rising index, as torch.topk), and where the family says so their probabilities divided by their sum.

import BerthKernels
import Glibc

/// The experts that rows have chosen, by row and by expert.
struct Routing {
    let rows: Int
    let chosen: Int
    /// `[rows][chosen]`: expert and weight, falling by probability.
    let experts: UnsafeMutablePointer<Int32>
    let weights: UnsafeMutablePointer<Float>
    /// `[rows][chosen]`: the place of this choice in the order by expert.
    let places: UnsafeMutablePointer<Int32>
    /// `[rows · chosen]`: the row at each place. Within an expert rows rise.
    let rowAtPlace: UnsafeMutablePointer<Int32>
    /// `[experts + 1]`: rows of each expert; from `sort` on, where the places of each position of the order begin.
    let starts: UnsafeMutablePointer<Int32>

    /// The places of the expert at a position of the order.
    func places(at position: Int) -> Range<Int> { Int(starts[position])..<Int(starts[position + 1]) }

    /// Counts the rows of each expert; those that have any, in rising order.
    func active(of experts: Int) -> [Int] {
        for expert in 0...experts { starts[expert] = 0 }
        for choice in 0..<rows * chosen { starts[Int(self.experts[choice])] += 1 }
        return (0..<experts).filter { starts[$0] > 0 }
    }

    /// Gives every choice its place, experts in the order `order`. A counting sort, stable: rows keep their order within an expert, so
    /// rows of one adapter stay together.
    func sort(by order: [Int]) {
        let most = (order.max() ?? 0) + 1
        // Where the next place of an expert is.
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: most) { next in
            var place: Int32 = 0
            for expert in order {
                next[expert] = place
                place += starts[expert]
            }
            var position = 0
            for expert in order {
                starts[position] = next[expert]
                position += 1
            }
            starts[position] = place
            for row in 0..<rows {
                for choice in row * chosen..<(row + 1) * chosen {
                    let expert = Int(experts[choice])
                    places[choice] = next[expert]
                    rowAtPlace[Int(next[expert])] = Int32(row)
                    next[expert] += 1
                }
            }
        }
    }
}

/// The router of one layer.
struct Router {
    let experts: Int
    let chosen: Int
    let normalizes: Bool

    /// Chooses for every row of `logits` (whose first `experts` columns count; they are overwritten).
    func route(_ logits: Rows, scratch: Scratch, _ compute: Compute) -> Routing {
        choose(logits, scratch.chosenExperts, scratch.chosenWeights, compute)
        return Routing(
            rows: logits.count, chosen: chosen, experts: scratch.chosenExperts, weights: scratch.chosenWeights, places: scratch.places,
            rowAtPlace: scratch.rowAtPlace, starts: scratch.expertStarts)
    }

    /// The choices of every row, `[rows][chosen]`.
    func choose(_ logits: Rows, _ indices: UnsafeMutablePointer<Int32>, _ weights: UnsafeMutablePointer<Float>, _ compute: Compute) {
        let rowsPerTask = 16
        compute.parallel((logits.count + rowsPerTask - 1) / rowsPerTask) { task in
            for row in task * rowsPerTask..<min(logits.count, (task + 1) * rowsPerTask) {
                choose(logits[row], indices + row * chosen, weights + row * chosen)
            }
        }
    }

    private func choose(_ logits: UnsafeMutablePointer<Float>, _ indices: UnsafeMutablePointer<Int32>, _ weights: UnsafeMutablePointer<Float>) {
        var largest = logits[0]
        for expert in 1..<max(experts, 1) { largest = max(largest, logits[expert]) }
        var sum: Float = 0
        for expert in 0..<experts {
            logits[expert] = expf(logits[expert] - largest)
            sum += logits[expert]
        }
        for expert in 0..<experts { logits[expert] /= sum }
        // Insertion into a short sorted list: k is small, and most experts are below its end.
        var count = 0
        for expert in 0..<experts {
            let probability = logits[expert]
            if count == chosen, !(probability > weights[chosen - 1]) { continue }
            var place = count < chosen ? count : chosen - 1
            count = min(count + 1, chosen)
            while place > 0, probability > weights[place - 1] {
                weights[place] = weights[place - 1]
                indices[place] = indices[place - 1]
                place -= 1
            }
            weights[place] = probability
            indices[place] = Int32(expert)
        }
        guard normalizes else { return }
        var total: Float = 0
        for index in 0..<chosen { total += weights[index] }
        for index in 0..<chosen { weights[index] /= total }
    }
}
