import BerthCore
import Glibc
import Testing

@testable import BerthStore

@Suite struct SafetensorsTests {
    private func header(_ json: String, data: Int) throws(StoreError) -> SafetensorsHeader {
        try SafetensorsHeader(parsing: Array(json.utf8), fileBytes: 8 + json.utf8.count + data)
    }

    @Test func readsWhatIsThere() throws {
        let folder = TemporaryFolder()
        let bytes = safetensors(
            [
                TestTensor("b", [2, 3], [1, 2, 3, 4, 5, 6]), TestTensor("empty", [0, 4]), TestTensor("scalar", [], [7]),
                TestTensor("half", dtype: "BF16", [3], bytes: [0, 1, 2, 3, 4, 5]), TestTensor("ids", dtype: "I64", [1], bytes: Array(repeating: 9, count: 8)),
                TestTensor("packed", dtype: "F4", [2, 2], bytes: [1, 2]),
            ], metadata: #"{"format":"pt"}"#)
        let file = try SafetensorsFile(path: folder.write("x.safetensors", bytes))
        #expect(file.header.metadata == ["format": "pt"])
        let tensors = file.tensors
        #expect(tensors.keys.sorted() == ["b", "empty", "half", "scalar"])
        #expect(tensors["b"]!.shape == [2, 3] && tensors["b"]!.floats == [1, 2, 3, 4, 5, 6])
        #expect(tensors["scalar"]!.shape == [] && tensors["scalar"]!.floats == [7])
        #expect(tensors["empty"]!.bytes.isEmpty && tensors["half"]!.type == .bf16)
        #expect(file.unusable == ["ids": "I64", "packed": "F4"])
        var copy = [UInt8](repeating: 0, count: 6)
        try copy.withUnsafeMutableBytes { try tensors["half"]!.read(into: $0) }
        #expect(copy == [0, 1, 2, 3, 4, 5] && Array(tensors["half"]!.bytes) == copy)
        tensors["b"]!.discard()
        #expect(tensors["b"]!.floats.last == 6)
    }

    @Test func viewsKeepTheFile() throws {
        let folder = TemporaryFolder()
        var view: TensorView? = try SafetensorsFile(path: folder.write("x.safetensors", safetensors([TestTensor("a", [2], [3, 4])]))).tensors["a"]
        unlink(folder.file("x.safetensors"))
        #expect(view!.floats == [3, 4])
        view = nil
    }

    @Test(arguments: [
        ("[]", 0, "does not start with"),
        (" {}", 0, "does not start with"),
        ("{", 0, "not valid JSON"),
        (#"{"a":1}"#, 0, "'a': its header entry is a number"),
        (#"{"a":{"shape":[1],"data_offsets":[0,4]}}"#, 4, "'a': dtype is missing"),
        (#"{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}"#, 4, "'a': unknown dtype 'F31'"),
        (#"{"a":{"dtype":"F32","data_offsets":[0,4]}}"#, 4, "'a': shape is missing"),
        (#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4, "'a': shape has a dimension"),
        (#"{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}"#, 4, "'a': shape has a dimension"),
        (#"{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}"#, 4, "'a': 9 dimensions"),
        (#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}"#, 4, "'a': shape [4294967296,4294967296] has too many"),
        (#"{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,4]}}"#, 4, "'a': shape"),
        (#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}"#, 1, "'a': shape [3] is no whole number of bytes"),
        (#"{"a":{"dtype":"F32","shape":[1]}}"#, 4, "'a': data_offsets is missing"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}"#, 4, "'a': data_offsets is missing"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4, "'a': data_offsets [4, 0] do not rise"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}"#, 4, "'a': data_offsets [-4, 0] do not rise"),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 4, "'a': data_offsets end at 8, but the file has 4"),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4, "'a': data_offsets span 4 bytes, but F32 [2] needs 8"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}"#, 4, "'a': unknown field 'x'"),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 12, "'b' overlaps tensor 'a'"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#, 12, "4 bytes before tensor 'b' belong to no"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 5, "1 bytes after the last tensor"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4, "'a' a second time"),
        (#"{"__metadata__":{"a":1}}"#, 0, "__metadata__"),
        (#"{"__metadata__":[]}"#, 0, "__metadata__"),
    ])
    func refuses(json: String, data: Int, reason: String) {
        let error = failure { () throws(StoreError) in try header(json, data: data) }
        #expect(error?.message.contains(reason) == true, "\(json): \(String(describing: error))")
        #expect(error?.code == .malformed)
    }

    @Test func refusesShortAndOddFiles() {
        let folder = TemporaryFolder()
        let valid = safetensors([TestTensor("a", [4])])
        func open(_ bytes: [UInt8]) -> StoreError? {
            failure { () throws(StoreError) in try SafetensorsFile(path: folder.write("x.safetensors", bytes)) }
        }
        for count in [0, 7] { #expect(open(Array(valid[..<count]))?.code == .truncated) }
        #expect(open(Array(valid[..<20]))?.code == .truncated)
        #expect(open(Array(valid.dropLast()))?.message.contains("'a'") == true)
        #expect(open([255, 255, 255, 255, 255, 255, 255, 255] + valid.dropFirst(8))?.code == .limit)
        #expect(open([255, 255, 255, 255, 255, 255, 255, 127] + valid.dropFirst(8))?.code == .limit)
        #expect(failure { () throws(StoreError) in try SafetensorsFile(path: folder.path) }?.code == .notRegular)
        #expect(failure { () throws(StoreError) in try SafetensorsFile(path: folder.file("none")) }?.code == .unreadable)
        mkfifo(folder.file("pipe"), 0o644)
        #expect(failure { () throws(StoreError) in try SafetensorsFile(path: folder.file("pipe")) }?.code == .notRegular)
        let error = open([])!
        #expect(!error.message.contains(folder.path) && error.description.contains(folder.path))
    }

    /// A changed file gives an error or a file all of whose tensors can be read: never a crash.
    @Test func survivesMutation() {
        let folder = TemporaryFolder()
        let valid = safetensors(
            [TestTensor("model.a", [2, 3]), TestTensor("b", dtype: "BF16", [5], bytes: Array(0..<10)), TestTensor("c", [1])], metadata: #"{"k":"v"}"#)
        let headerBytes = Int(valid[0])
        var accepted = 0
        for seed in 0..<600 as Range<UInt64> {
            var random = RandomSource(seed: seed)
            var bytes = valid
            for _ in 0...Int.random(in: 0..<4, using: &random) {
                // Mostly inside the length and the header, where it matters; digits become digits half of the time.
                let index = Int.random(in: 0..<8 + headerBytes + 4, using: &random) % bytes.count
                switch Int.random(in: 0..<8, using: &random) {
                case 0: bytes.remove(at: index)
                case 1: bytes.insert(UInt8.random(in: 0...255, using: &random), at: index)
                case 2: bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
                case 3...5: bytes[index] = UInt8(ascii: "0") + UInt8.random(in: 0..<10, using: &random)
                default: bytes[index] = UInt8.random(in: 0...255, using: &random)
                }
                if bytes.isEmpty { break }
            }
            do throws(StoreError) {
                let file = try SafetensorsFile(path: folder.write("x.safetensors", bytes))
                for tensor in file.tensors.values {
                    #expect(tensor.byteCount == tensor.count * tensor.type.bytes && tensor.byteCount <= bytes.count, "seed \(seed)")
                    _ = tensor.bytes.reduce(0, &+)
                }
                accepted += 1
            } catch {
                #expect(!error.message.isEmpty, "seed \(seed)")
            }
        }
        #expect(accepted > 0)
    }
}
