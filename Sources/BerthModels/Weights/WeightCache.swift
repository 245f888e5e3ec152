// Packed weights that outlive the process: a model's WeightStore out of a prepared image.
//
// The first start packs the checkpoint's tensors extent by extent, serves from that memory and stores the image; later starts
// take the image and touch no tensor of the checkpoint, only its headers. What goes wrong with the cache is never a reason
// not to serve; `PreparedImage.Origin` says what happened, for the log. Used once, by the thread that builds the model.

import BerthCore
import BerthKernels
import BerthStore

/// Where packed weights are kept, and who is told about packing.
public struct WeightCache {
    public var images: ImageCache
    /// How a stored image comes into memory.
    public var placement = ImageCache.Placement.mapped
    /// Models with fewer bytes of weights do not get an image.
    public var leastBytes = Limits.leastImageBytes
    /// Called after each extent that was packed.
    public var progress: (PackingProgress) -> Void = { _ in }
    /// Asked before each extent is packed; true ends in `ModelError.Code.cancelled`.
    public var isCancelled: () -> Bool = { false }

    public init(_ images: ImageCache) { self.images = images }

    /// The weights of `plan`, out of the image or packed from `checkpoint`, which was checked against the plan. With `experts` on disk
    /// only what comes before them is in memory, while packing too.
    func image(
        _ plan: WeightPlan, of checkpoint: Checkpoint, format: WeightFormat, experts: ExpertPlacement = .resident, compute: Compute
    ) throws(ModelError) -> PreparedImage {
        let key = ImageKey(
            checkpoint: checkpoint.digest(), directory: checkpoint.directory, format: format, packingVersion: PackedMatrix.layoutVersion)
        do throws(StoreError) {
            return try images.prepare(
                key, extents: plan.extents.map { $0.image(isResident: $0.expert == nil || experts == .resident) }, placement: placement, threads: compute.threads, progress: progress
            ) { index, memory throws(StoreError) in
                if isCancelled() { throw StoreError(.cancelled, "loading was stopped") }
                plan.extents[index].pack(checkpoint, into: memory, compute)
            }
        } catch {
            throw ModelError(error.code == .cancelled ? .cancelled : .weights, "the weights cannot be loaded", cause: error)
        }
    }
}

/// Where the experts of a model are.
public enum ExpertPlacement: Sendable, Equatable {
    /// In memory, with everything else.
    case resident
    /// In the prepared image; the model's user sets a provider that reads them.
    case paged(ExtentReader.Mode)
}

extension WeightStore {
    /// Weights where an image has them: the plan's extents in the plan's order, all of them or all before the experts in memory.
    convenience init(_ plan: WeightPlan, _ image: PreparedImage) {
        guard let base = image.bytes(of: 0) else { preconditionFailure("weights that are not in memory") }
        var residentBytes = 0
        for (index, extent) in plan.extents.enumerated() {
            guard let place = image.bytes(of: index) else { continue }
            precondition(place == base + extent.offset && (residentBytes > 0 || index == 0), "the image has \(extent.name) in another place")
            residentBytes = extent.offset + extent.bytes
        }
        self.init(plan, at: base, residentBytes: residentBytes, owner: image)
    }
}

extension WeightExtent {
    /// This extent in an image.
    func image(isResident: Bool) -> ImageExtent {
        switch kind {
        case .matrix(let outputs, let inputs, let format):
            ImageExtent(name: name, format: format.rawValue, shape: [outputs, inputs], byteCount: bytes, isResident: isResident)
        case .vector(let count):
            ImageExtent(name: name, format: ElementType.f32.rawValue, shape: [count], byteCount: bytes, isResident: isResident)
        case .residuals(let rows, let columns):
            ImageExtent(name: name, format: "residuals", shape: [rows, columns], byteCount: bytes, isResident: isResident)
        }
    }
}
