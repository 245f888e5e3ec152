// A checkpoint against a plan: every tensor that the model needs is there in the right shape, and none is left over.
//
// A tensor too many is as bad a sign as one too few: it means that the checkpoint is of a model that computes something
// which this one does not, and would answer plausibly and wrong.

import BerthCore
import BerthStore

extension WeightPlan {
    /// Throws the first tensor, by name, that is missing, of another shape or type, or that no extent uses.
    func check(_ checkpoint: Checkpoint, _ configuration: ModelConfiguration) throws(ModelError) {
        var used: Set<String> = []
        for extent in extents {
            for source in extent.sources where used.insert(source.tensor).inserted {
                guard let tensor = checkpoint.tensors[source.tensor] else {
                    if let dtype = checkpoint.unusableTensors[source.tensor] {
                        throw ModelError(.tensor, "tensor '\(source.tensor)' has dtype \(dtype); weights must be F32, F16 or BF16")
                    }
                    throw ModelError(.tensor, "tensor '\(source.tensor)' is missing (the configuration asks for shape \(source.shape))")
                }
                guard tensor.shape == source.shape else {
                    throw ModelError(.tensor, "tensor '\(source.tensor)' has shape \(tensor.shape); the configuration asks for \(source.shape)")
                }
            }
        }
        let names = Set(checkpoint.tensors.keys).union(checkpoint.unusableTensors.keys)
        if let extra = names.subtracting(used).subtracting(checkpoint.unlistedTensors).filter({ !TensorNames.isIgnorable($0, configuration) }).min() {
            throw ModelError(.tensor, "tensor '\(extra)' is not part of \(configuration.family.architecture) with this configuration")
        }
    }
}
