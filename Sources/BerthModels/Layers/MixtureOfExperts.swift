// A mixture of experts, run expert by expert: each expert's weights are read once for all rows that chose it.
//
// A provider brings the experts, those in memory first. Rows are gathered in the order of their experts into *places* (row by
// choice), pass the experts' projections as groups of one parallel section, and come back weighted. A place's result depends
// on its row and expert alone, and a row adds its choices in the order of their probability, so that its bits do not depend on
// who shares the step, nor on when an expert came. Places go through in *portions* of bounded scratch.

import BerthCore
import BerthKernels
import Glibc

/// Router, experts and, in some families, an expert that all rows pass.
struct MixtureOfExperts {
    let layer: Int
    private let routerLinear: Linear
    private let router: Router
    private let providerPlace: ProviderPlace
    private let format: WeightFormat
    private let shared: DenseMLP?
    /// The module number of expert 0's gate.
    private let firstModule: Int
    private let hiddenSize: Int, width: Int

    init(
        _ store: WeightStore, _ c: ModelConfiguration, _ experts: ModelConfiguration.Experts, names: TensorNames.Experts, provider: ProviderPlace,
        layer: Int, firstModule: Int
    ) {
        typealias Offset = ModuleMap.Offset
        self.layer = layer
        (hiddenSize, width) = (c.hiddenSize, experts.intermediateSize)
        router = Router(experts: experts.count, chosen: experts.chosen, normalizes: experts.normalizes)
        var routerModules = [firstModule + Offset.router], routerWidths = [experts.count]
        if let sharedWidth = experts.sharedIntermediateSize {
            routerModules.append(firstModule + Offset.sharedRouter)
            routerWidths.append(1)
            shared = DenseMLP(
                store, names.block + ".shared_expert", hiddenSize: c.hiddenSize, width: sharedWidth, gate: firstModule + Offset.sharedGate,
                up: firstModule + Offset.sharedUp, down: firstModule + Offset.sharedDown)
        } else {
            shared = nil
        }
        routerLinear = Linear(store, names.block + ".gate", modules: routerModules, widths: routerWidths)
        providerPlace = provider
        format = store.format(of: TensorNames.gateUp(names, 0))
        self.firstModule = firstModule + Offset.experts
    }

    private var provider: any ExpertProvider {
        guard let provider = providerPlace.current else { preconditionFailure("paged experts without a provider") }
        return provider
    }

    /// The way of some rows through the mixture, which may be left and taken up again between experts.
    struct Passage {
        fileprivate let x: Rows, residual: Rows, logits: Rows
        fileprivate let routing: Routing
        fileprivate let order: ExpertOrder
        fileprivate var position = 0
    }

    /// Adds the mixture's result for the normalised rows `x` to `residual`. `next` looks ahead while experts are read.
    func callAsFunction(_ x: Rows, addingTo residual: Rows, _ step: Step, next: Foresight?) {
        var passage = begin(x, addingTo: residual, step, next: next)
        while advance(&passage, step) {}
    }

    /// Routes the rows and asks for their experts.
    func begin(_ x: Rows, addingTo residual: Rows, _ step: Step, next: Foresight?) -> Passage {
        let compute = step.compute
        let logits = step.scratch.routerLogits.first(step.rows).columns(0..<routerLinear.weights.outputs)
        routerLinear(x, into: logits, step)
        let routing = router.route(logits, scratch: step.scratch, compute)
        let order = provider.begin(
            ExpertDemand(layer: layer, rows: step.rows, chosen: router.chosen, experts: routing.experts, active: routing.active(of: router.experts)))
        routing.sort(by: order.experts)
        next?.look(at: residual, provider, step)
        return Passage(x: x, residual: residual, logits: logits, routing: routing, order: order)
    }

    /// Runs the experts that are ready, waiting for one if none is; true while there are more.
    func advance(_ passage: inout Passage, _ step: Step) -> Bool {
        let position = passage.position, order = passage.order
        if position < order.experts.count {
            let ready = provider.ready(at: position, of: order)
            let count = step.parts.isEmpty ? ready : pieceCount(position, ready, passage.routing, step)
            run(positions: position..<position + count, of: order, passage.x, passage.routing, step)
            passage.position += count
            provider.finished(before: passage.position)
            if passage.position < order.experts.count { return true }
        }
        finish(passage, step)
        return false
    }

    /// How many of the experts that are ready make one piece of a wave: as many rows as its projections take at once, or one expert.
    private func pieceCount(_ position: Int, _ ready: Int, _ routing: Routing, _ step: Step) -> Int {
        var count = 1, rows = routing.places(at: position).count
        while count < ready {
            rows += routing.places(at: position + count).count
            if rows > step.scratch.portionRows { break }
            count += 1
        }
        return count
    }

    private func finish(_ passage: Passage, _ step: Step) {
        let (x, logits) = (passage.x, passage.logits)
        provider.end()
        var sharedOutput: Rows?
        if let shared {
            sharedOutput = step.scratch.sharedOutput.first(step.rows)
            for piece in step.pieces { shared(x.rows(piece.rows), into: sharedOutput!.rows(piece.rows), accumulate: false, piece.step) }
        }
        combine(passage.routing, sharedOutput, gates: logits, into: passage.residual, step)
    }

    /// What the rows `x`, which are those of an earlier layer, would choose here; valid until the next such question.
    func foresee(_ x: Rows, _ step: Step) -> UnsafeBufferPointer<Int32> {
        let logits = step.scratch.foreseenLogits.first(x.count).columns(0..<routerLinear.weights.outputs)
        routerLinear(x, into: logits, step)
        router.choose(logits, step.scratch.foreseenExperts, step.scratch.foreseenWeights, step.compute)
        return UnsafeBufferPointer(start: step.scratch.foreseenExperts, count: x.count * router.chosen)
    }

    /// Passes the places of some experts through them, in portions of bounded scratch.
    private func run(positions: Range<Int>, of order: ExpertOrder, _ x: Rows, _ routing: Routing, _ step: Step) {
        let end = routing.places(at: positions.upperBound - 1).upperBound
        var first = routing.places(at: positions.lowerBound).lowerBound
        while first < end {
            let next = min(first + step.scratch.portionRows, end)
            run(places: first..<next, positions, of: order, x, routing, step)
            first = next
        }
    }

    /// Passes a run of places through their experts; results go to the scratch's `expertOutput` at those places.
    private func run(places: Range<Int>, _ positions: Range<Int>, of order: ExpertOrder, _ x: Rows, _ routing: Routing, _ step: Step) {
        let compute = step.compute, scratch = step.scratch
        let gathered = scratch.portion.first(places.count)
        let both = scratch.gateUp.first(places.count).columns(0..<2 * width)
        let gate = both.columns(0..<width)
        let output = scratch.expertOutput.rows(places)

        let rowsPerTask = 32
        compute.parallel((places.count + rowsPerTask - 1) / rowsPerTask) { task in
            for index in task * rowsPerTask..<min(places.count, (task + 1) * rowsPerTask) {
                gathered[index].update(from: x[Int(routing.rowAtPlace[places.lowerBound + index])], count: hiddenSize)
            }
        }
        var active: [(expert: Int, rows: Range<Int>)] = []
        var intoBothGroups: [Compute.LinearGroup] = [], intoOutputGroups: [Compute.LinearGroup] = []
        for position in positions {
            let own = routing.places(at: position).clamped(to: places)
            if own.isEmpty { continue }
            let rows = own.lowerBound - places.lowerBound..<own.upperBound - places.lowerBound
            guard let expert = provider.weights(at: position, of: order) else {
                // Lost: its rows' requests end with this step, and nobody reads what they compute until then.
                for row in rows { output[row].update(repeating: 0, count: hiddenSize) }
                continue
            }
            active.append((order.experts[position], rows))
            intoBothGroups.append(.init(rows: rows, weights: expert.gateUp))
            intoOutputGroups.append(.init(rows: rows, weights: expert.down))
        }
        if active.isEmpty { return }
        let segments = adaptedSegments(active, firstPlace: places.lowerBound, routing, step)

        let intoBoth = adapted([(0, 0..<width), (1, width..<2 * width)], by: segments), intoOutput = adapted([(2, 0..<hiddenSize)], by: segments)
        compute.prepare(gathered, for: format, adapters: intoBoth, into: scratch.prepared)
        compute.linear(scratch.prepared, groups: intoBothGroups, into: both)
        compute.siluMultiply(gate: gate, up: both.columns(width..<2 * width), into: gate)
        compute.prepare(gate, for: format, adapters: intoOutput, into: scratch.prepared)
        compute.linear(scratch.prepared, groups: intoOutputGroups, into: output)
    }

    /// Rows of one adapter within one expert, counted within the portion. Empty unless some adapter targets this layer's experts.
    private func adaptedSegments(
        _ active: [(expert: Int, rows: Range<Int>)], firstPlace: Int, _ routing: Routing, _ step: Step
    ) -> [(expert: Int, segment: AdapterSegment)] {
        guard step.segments.contains(where: { $0.adapter.adaptsExperts(ofLayer: layer) }) else { return [] }
        var result: [(expert: Int, segment: AdapterSegment)] = []
        for (expert, rows) in active {
            var next = 0
            var own: [AdapterSegment] = []
            for row in rows {
                // Rows rise within an expert, and so do the batch's segments.
                let batchRow = Int(routing.rowAtPlace[firstPlace + row])
                while next < step.segments.count, step.segments[next].rows.upperBound <= batchRow { next += 1 }
                if next == step.segments.count { break }
                if step.segments[next].rows.contains(batchRow) { own.append(rows: row..<row + 1, of: step.segments[next].adapter) }
            }
            result.append(contentsOf: own.map { (expert, $0) })
        }
        return result
    }

    /// What the adapters do in these parts of their experts' projections. Parts are numbered from the expert's gate on.
    private func adapted(
        _ parts: [(offset: Int, columns: Range<Int>)], by segments: [(expert: Int, segment: AdapterSegment)]
    ) -> [Compute.LoRASegment] {
        segments.flatMap { expert, segment in
            parts.map { Linear.Part(module: firstModule + expert * ModuleMap.Offset.perExpert + $0.offset, columns: $0.columns) }
                .adapted(by: [segment])
        }
    }

    /// residual += Σ weight · expert's output, in the order of the row's choices, + sigmoid(gate) · shared expert's output.
    private func combine(_ routing: Routing, _ shared: Rows?, gates: Rows, into residual: Rows, _ step: Step) {
        let outputs = step.scratch.expertOutput
        let chosen = router.chosen, columns = hiddenSize, gateColumn = router.experts
        let rowsPerTask = 8
        step.compute.parallel((step.rows + rowsPerTask - 1) / rowsPerTask) { task in
            for row in task * rowsPerTask..<min(step.rows, (task + 1) * rowsPerTask) {
                let y = residual[row]
                for choice in row * chosen..<(row + 1) * chosen {
                    addScaled(outputs[Int(routing.places[choice])], routing.weights[choice], columns, to: y)
                }
                if let shared { addScaled(shared[row], 1 / (1 + expf(-gates[row][gateColumn])), columns, to: y) }
            }
        }
    }
}

/// y += scale · x.
@inline(__always) private func addScaled(_ x: UnsafePointer<Float>, _ scale: Float, _ count: Int, to y: UnsafeMutablePointer<Float>) {
    for index in 0..<count { y[index] += scale * x[index] }
}
