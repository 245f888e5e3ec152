// Damaged adapters: whatever byte is changed in configuration or tensors, the answer is a rejection or a complete load.

import BerthCore
import Testing

@testable import BerthStore

@Suite struct AdapterFuzzTests {
    private func mutate(_ bytes: [UInt8], within limit: Int, _ random: inout RandomSource) -> [UInt8] {
        var bytes = bytes
        for _ in 0...Int.random(in: 0..<3, using: &random) where !bytes.isEmpty {
            let index = Int.random(in: 0..<min(limit, bytes.count), using: &random)
            switch Int.random(in: 0..<8, using: &random) {
            case 0: bytes.remove(at: index)
            case 1: bytes.insert(UInt8.random(in: 32...126, using: &random), at: index)
            case 2: bytes.swapAt(index, Int.random(in: 0..<bytes.count, using: &random))
            case 3...5: bytes[index] = UInt8.random(in: 48...57, using: &random)
            default: bytes[index] = UInt8.random(in: 0...255, using: &random)
            }
        }
        return bytes
    }

    @Test(arguments: ["plain", "patterns", "embeddings", "fused", "mixtral"])
    func survivesMutation(name: String) throws {
        let folder = TemporaryFolder()
        let catalog = name == "mixtral" ? TestModels.mixtral : TestModels.qwen()
        let configuration = try ReadableFile.contents(of: fixture(name) + "/adapter_config.json", limit: 1 << 20)
        let tensors = try ReadableFile.contents(of: fixture(name) + "/adapter_model.safetensors", limit: 1 << 20)
        let header = 8 + Int(tensors[0]) + Int(tensors[1]) << 8
        var loads = 0
        for seed in 0..<40 as Range<UInt64> {
            var random = RandomSource(seed: seed)
            let breaksTensors = seed % 3 != 0
            folder.write("adapter_config.json", breaksTensors ? configuration : mutate(configuration, within: configuration.count, &random))
            folder.write("adapter_model.safetensors", breaksTensors ? mutate(tensors, within: header, &random) : tensors)
            do throws(AdapterRejection) {
                let adapter = try AdapterCheckpoint(directory: folder.path, base: catalog)
                let loaded = try LoadedAdapter(adapter)
                #expect(zip(loaded.a, adapter.modules).allSatisfy { $0.count == $1.rank * $1.inputs }, "\(name), seed \(seed)")
                loads += 1
            } catch {
                #expect(!error.message.isEmpty && !error.message.contains(folder.path), "\(name), seed \(seed)")
            }
        }
        #expect(loads > 0 && loads < 40)
    }
}
