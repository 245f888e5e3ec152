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
    /// `[experts + 1]`: where each expert's places begin.
    let starts: UnsafeMutablePointer<Int32>

    func places(of expert: Int) -> Range<Int> { Int(starts[expert])..<Int(starts[expert + 1]) }
}

/// The router of one layer.
struct Router {
    let experts: Int
    let chosen: Int
    let normalizes: Bool

    /// Chooses for every row of `logits` (whose first `experts` columns count; they are overwritten) and sorts the choices by expert.
    func route(_ logits: Rows, scratch: Scratch, _ compute: Compute) -> Routing {
        let routing = Routing(
            rows: logits.count, chosen: chosen, experts: scratch.chosenExperts, weights: scratch.chosenWeights, places: scratch.places,
            rowAtPlace: scratch.rowAtPlace, starts: scratch.expertStarts)
        let rowsPerTask = 16
        compute.parallel((logits.count + rowsPerTask - 1) / rowsPerTask) { task in
            for row in task * rowsPerTask..<min(logits.count, (task + 1) * rowsPerTask) {
                choose(logits[row], routing.experts + row * chosen, routing.weights + row * chosen)
            }
        }
        sort(routing)
        return routing
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

    /// Counting sort, stable: rows keep their order within an expert, so rows of one adapter stay together.
    private func sort(_ routing: Routing) {
        let choices = routing.rows * chosen
        for expert in 0...experts { routing.starts[expert] = 0 }
        for choice in 0..<choices { routing.starts[Int(routing.experts[choice]) + 1] += 1 }
        for expert in 0..<experts { routing.starts[expert + 1] += routing.starts[expert] }
        for row in 0..<routing.rows {
            for choice in row * chosen..<(row + 1) * chosen {
                let expert = Int(routing.experts[choice])
                let place = Int(routing.starts[expert])
                routing.starts[expert] += 1
                routing.places[choice] = Int32(place)
                routing.rowAtPlace[place] = Int32(row)
            }
        }
        // Every start has moved to the next one's place.
        for expert in stride(from: experts, to: 0, by: -1) { routing.starts[expert] = routing.starts[expert - 1] }
        routing.starts[0] = 0
    }
}
