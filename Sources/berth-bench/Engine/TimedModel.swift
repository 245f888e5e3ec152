// A model that notes how long its steps take, for what is left to the engine.

import BerthKernels
import BerthModels

/// Passes everything on to another model.
final class TimedModel: CausalModel {
    private let model: any CausalModel
    private(set) var forwardSeconds = 0.0
    private(set) var forwards = 0

    init(_ model: any CausalModel) { self.model = model }

    var vocabularySize: Int { model.vocabularySize }
    var contextLength: Int { model.contextLength }
    var kvLayout: KVLayout { model.kvLayout }
    var compute: Compute { model.compute }
    var maxRows: Int { model.maxRows }
    var maxLogitRows: Int { model.maxLogitRows }

    func forward(_ batch: Batch) -> Rows {
        let start = monotonicSeconds()
        defer {
            forwardSeconds += monotonicSeconds() - start
            forwards += 1
        }
        return model.forward(batch)
    }
}
