// The experts of a model that stay on disk: what each takes in memory, and how it is read.
//
// In a prepared image the two matrices of an expert lie one after the other, each at a page, so that an expert is one
// run of pages and one read. Immutable; readers on any thread share it.

import BerthCore
import BerthKernels
import BerthStore

/// The paged experts of one model.
public final class ExpertImage: Sendable {
    /// Layers of the model that have experts, rising.
    public let layers: [Int]
    /// Experts of each of these layers.
    public let expertsPerLayer: Int
    /// Experts that a row chooses in each of them.
    public let chosen: Int
    /// What one expert takes, a multiple of 4096: the same for all.
    public let bytes: Int

    private let image: PreparedImage
    private let reader: ExtentReader
    /// Of an expert's first matrix, in the image; the second one follows.
    private let firstExtents: [ExpertID: Int]
    private let gateUp: (outputs: Int, inputs: Int), down: (outputs: Int, inputs: Int)
    private let downOffset: Int
    private let format: WeightFormat

    /// `plan` is the plan of `image`, and has experts.
    init(_ plan: WeightPlan, _ image: PreparedImage, _ c: ModelConfiguration, io: ExtentReader.Mode) throws(StoreError) {
        guard let experts = c.largestExperts else { preconditionFailure("a model without experts") }
        var first: [ExpertID: Int] = [:]
        for (index, extent) in plan.extents.enumerated() {
            if let id = extent.expert, first[id] == nil { first[id] = index }
        }
        guard let any = first.values.min(), case .matrix(let rows, let columns, let format) = plan.extents[any].kind,
            case .matrix(let downRows, let downColumns, _) = plan.extents[any + 1].kind
        else { preconditionFailure("experts without matrices") }
        (gateUp, down, self.format) = ((rows, columns), (downRows, downColumns), format)
        downOffset = WeightPlan.padded(plan.extents[any].bytes)
        bytes = downOffset + WeightPlan.padded(plan.extents[any + 1].bytes)
        firstExtents = first
        layers = Set(first.keys.map(\.layer)).sorted()
        expertsPerLayer = experts.count
        chosen = experts.chosen
        self.image = image
        reader = try ExtentReader(image, mode: io)
    }

    /// How the file is read in fact: direct, or buffered.
    public var mode: ExtentReader.Mode { reader.mode }

    /// Reads an expert into `bytes` bytes at a multiple of 4096, and checks it. Throws what the disk or the checksum says.
    public func read(_ id: ExpertID, into memory: UnsafeMutableRawPointer) throws(StoreError) {
        let index = firstExtents[id]!
        try reader.read(index...index + 1, into: memory)
    }

    /// The matrices of an expert that was read to `memory`, which must outlive them.
    public func expert(at memory: UnsafeRawPointer) -> Expert {
        Expert(
            gateUp: PackedMatrix(outputs: gateUp.outputs, inputs: gateUp.inputs, format: format, memory: memory),
            down: PackedMatrix(outputs: down.outputs, inputs: down.inputs, format: format, memory: memory + downOffset))
    }
}
