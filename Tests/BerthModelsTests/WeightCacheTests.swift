// Models out of prepared images: the same bits as packed ones, found again, rebuilt when damaged, done without where nothing can be
// stored. What ImageCache itself notices is tested where it lives.

import BerthCore
import BerthKernels
import BerthStore
import Glibc
import Testing

@testable import BerthModels

@Suite struct WeightCacheTests {
    /// A directory for images that goes with the value.
    private final class Folder {
        let path: String

        init() {
            var template = Array("/tmp/berth-images-XXXXXX".utf8CString)
            path = mkdtemp(&template).map { String(cString: $0) }!
        }

        var images: [String] { Checkpoints.folders(in: path).map { "\(path)/\($0)" } }

        deinit {
            for image in images { unlink(image) }
            rmdir(path)
        }
    }

    private let folder = Folder()

    private func model(
        _ fixture: String = "mistral", _ format: WeightFormat = .int8, directory: String? = nil, leastBytes: Int = 0,
        _ change: (inout WeightCache) -> Void = { _ in }
    ) throws -> Model {
        var cache = WeightCache(ImageCache(directory: directory ?? folder.path))
        cache.leastBytes = leastBytes
        change(&cache)
        return try Model(
            checkpoint: Checkpoint(directory: TestModel.fixture(fixture).folder), format: format, compute: Compute(threads: 2), maxRows: 16, cache: cache)
    }

    /// That the weights, padding between extents included, and the logits are those of the model packed in memory.
    private func expectSame(_ model: Model, _ fixture: String = "mistral", _ location: SourceLocation = #_sourceLocation) throws {
        let packed = try TestModel.fixture(fixture).model(model.format, maxRows: 16)
        #expect(packed.weightOrigin == nil)
        #expect(model.packedWeights.elementsEqual(packed.packedWeights), sourceLocation: location)
        let tokens: [Int32] = [1, 5, 9, 2, 77]
        #expect(model.logits(tokens) == packed.logits(tokens), sourceLocation: location)
    }

    @Test(arguments: [ImageCache.Placement.mapped, .memory], WeightFormat.allCases)
    func sameBitsAsPacked(placement: ImageCache.Placement, format: WeightFormat) throws {
        for fixture in ["mistral", "qwen2_moe", "mixtral_fused"] {
            let first = try model(fixture, format) { $0.placement = placement }
            #expect(first.weightOrigin == .packed(reason: nil))
            try expectSame(first, fixture)
            var hasPacked = false
            let second = try model(fixture, format) {
                $0.placement = placement
                $0.progress = { _ in hasPacked = true }
            }
            #expect(second.weightOrigin == .cached && !hasPacked)
            try expectSame(second, fixture)
        }
    }

    /// Embeddings of quantised models have twelve bits, packed or out of an image.
    @Test(arguments: [WeightFormat.int8, .int4]) func embeddingsKeepTheirResiduals(format: WeightFormat) throws {
        for fixture in ["mistral", "llama3_rope"] {
            _ = try model(fixture, format)
            let stored = try model(fixture, format)
            #expect(stored.weightOrigin == .cached)
            let checkpoint = try Checkpoint(directory: TestModel.fixture(fixture).folder)
            let tensor = try #require(checkpoint.tensors[TensorNames.embedding + ".weight"])
            let (rows, columns) = (tensor.shape[0], tensor.shape[1])
            var wanted = [Float](repeating: 0, count: rows * columns), got = [Float](repeating: 0, count: columns)
            tensor.writeFloats(to: &wanted)
            var fine: Float = 0, coarse: Float = 0
            for row in 0..<rows {
                let weights = wanted[row * columns..<(row + 1) * columns]
                stored.embeddingTable.unpack(row, into: &got)
                for (g, w) in zip(got, weights) { fine += (g - w) * (g - w) }
                stored.embeddingTable.matrix.unpack(output: row, into: &got)
                for (g, w) in zip(got, weights) { coarse += (g - w) * (g - w) }
            }
            #expect(0 < fine && fine < coarse / 50, "\(fixture): squared error \(fine) with residuals, \(coarse) without")
        }
    }

    @Test func formatsHaveImagesOfTheirOwn() throws {
        #expect(try model("mistral", .int8).weightOrigin == .packed(reason: nil))
        #expect(try model("mistral", .int4).weightOrigin == .packed(reason: nil))
        #expect(try model("mistral", .int8).weightOrigin == .cached)
        #expect(folder.images.count == 2)
    }

    @Test func reportsProgress() throws {
        var reports: [PackingProgress] = []
        let model = try model { $0.progress = { reports.append($0) } }
        #expect(reports.count == model.weightPlan.extents.count)
        #expect(reports.last.map { $0.doneBytes == $0.totalBytes } == true)
        #expect(zip(reports, reports.dropFirst()).allSatisfy { $0.doneBytes < $1.doneBytes })
    }

    @Test func smallModelsHaveNoImage() throws {
        let bytes = try model(leastBytes: Limits.leastImageBytes).weightPlan.bytes
        #expect(bytes < Limits.leastImageBytes && folder.images.isEmpty)
        #expect(try model(leastBytes: bytes + 1).weightOrigin == nil)
        #expect(folder.images.isEmpty)
        #expect(try model(leastBytes: bytes).weightOrigin == .packed(reason: nil))
    }

    @Test func corruptImageIsRebuilt() throws {
        _ = try model()
        let path = try #require(folder.images.first)
        let good = try contents(of: path)
        for damage in ["flipped", "truncated", "unfinished"] {
            var bytes = good
            switch damage {
            case "flipped": bytes[bytes.count - 4096] ^= 4
            case "truncated": bytes.removeLast(4096)
            default: bytes.replaceSubrange(..<4096, with: repeatElement(0, count: 4096))
            }
            try replace(path, bytes)
            let rebuilt = try model()
            guard case .packed(let reason?) = rebuilt.weightOrigin else {
                Issue.record("\(damage): \(String(describing: rebuilt.weightOrigin))")
                continue
            }
            #expect(reason.contains("image"), "\(reason)")
            try expectSame(rebuilt)
            #expect(try model().weightOrigin == .cached)
            #expect(try contents(of: path) == good)
        }
    }

    /// A file stands where the directory should be, which stops root too.
    @Test func servesWhereNothingCanBeStored() throws {
        try replace(folder.path + "/file", [0])
        let model = try model(directory: folder.path + "/file/cache")
        guard case .packedInMemory(let reason) = model.weightOrigin else { return #expect(Bool(false), "\(String(describing: model.weightOrigin))") }
        #expect(reason.contains("Not a directory"), "\(reason)")
        try expectSame(model)
    }

    @Test func canBeStopped() throws {
        var extents = 0
        do {
            _ = try model {
                $0.progress = { _ in extents += 1 }
                $0.isCancelled = { extents == 3 }
            }
            Issue.record("it went on")
        } catch let error as ModelError {
            #expect(error.code == .cancelled)
        }
        #expect(extents == 3 && folder.images.isEmpty)
    }

    private func replace(_ path: String, _ bytes: [UInt8]) throws {
        let file = try #require(fopen(path, "wb"))
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
    }
}
