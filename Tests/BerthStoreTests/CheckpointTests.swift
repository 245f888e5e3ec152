import BerthCore
import Glibc
import Testing

@testable import BerthStore

@Suite struct CheckpointTests {
    private let folder = TemporaryFolder()

    private func error(_ location: SourceLocation = #_sourceLocation) -> StoreError? {
        failure({ () throws(StoreError) in try Checkpoint(directory: folder.path) }, location)
    }

    private func index(_ map: String) { folder.write("model.safetensors.index.json", #"{"metadata":{"total_size":1},"weight_map":\#(map)}"#) }

    private func sharded() {
        folder.write("config.json", "{}")
        folder.write("m-1.safetensors", safetensors([TestTensor("a", [2]), TestTensor("b", [1])]))
        folder.write("m-2.safetensors", safetensors([TestTensor("c", [3]), TestTensor("d", dtype: "I8", [1], bytes: [1])]))
        index(#"{"a":"m-1.safetensors","b":"m-1.safetensors","c":"m-2.safetensors","d":"m-2.safetensors"}"#)
    }

    @Test func single() throws {
        folder.write("config.json", #"{"model_type":"llama"}"#)
        folder.write("model.safetensors", safetensors([TestTensor("a", [2], [1, 2])]))
        var checkpoint = try Checkpoint(directory: folder.path)
        #expect(checkpoint.config["model_type"]?.string == "llama" && checkpoint.generationConfig?.kind == String?.none)
        #expect(try checkpoint.tensor("a").floats == [1, 2])
        #expect(failure { () throws(StoreError) in try checkpoint.tensor("z") }?.message.contains("'z'") == true)
        folder.write("generation_config.json", #"{"top_p":0.5}"#)
        checkpoint = try Checkpoint(directory: folder.path)
        #expect(checkpoint.generationConfig?["top_p"] == 0.5)
    }

    @Test func shards() throws {
        sharded()
        let checkpoint = try Checkpoint(directory: folder.path)
        #expect(checkpoint.tensors.keys.sorted() == ["a", "b", "c"])
        #expect(failure { () throws(StoreError) in try checkpoint.tensor("d") }?.message.contains("I8") == true)
        #expect(failure { () throws(StoreError) in try checkpoint.tensor("d") }?.code == .unsupported)
    }

    @Test func shardsMayBeLinks() throws {
        sharded()
        let cache = TemporaryFolder()
        rename(folder.file("m-1.safetensors"), cache.file("blob"))
        symlink(cache.file("blob"), folder.file("m-1.safetensors"))
        #expect(try Checkpoint(directory: folder.path).tensors.count == 3)
    }

    @Test func refusesWhatIsNotThere() {
        #expect(error()?.message.contains("config.json") == true)
        folder.write("config.json", "{}")
        #expect(error()?.message.contains("neither") == true)
        folder.write("pytorch_model.bin", "PK")
        #expect(error()?.code == .unsupported)
        #expect(error()?.message.contains("pickle") == true)
    }

    @Test(arguments: ["", "[]", "{", "nul", "{\"a\":\u{1}}"])
    func refusesBrokenConfiguration(text: String) {
        folder.write("config.json", text)
        folder.write("model.safetensors", safetensors([TestTensor("a", [2])]))
        #expect(error()?.message.contains("config.json") == true)
        #expect(error()?.code == .malformed)
    }

    @Test(arguments: [
        (#"[]"#, "weight_map is missing"),
        (#"{}"#, "empty"),
        (#"{"a":1}"#, "'a'"),
        (#"{"a":"../m-1.safetensors"}"#, "plain name"),
        (#"{"a":"/etc/m-1.safetensors"}"#, "plain name"),
        (#"{"a":"sub/m-1.safetensors"}"#, "plain name"),
        (#"{"a":".m-1.safetensors"}"#, "plain name"),
        (#"{"a":"m-1.bin"}"#, "plain name"),
        (#"{"a":"m-1.safetensors","b":"m-1.safetensors","x":"m-1.safetensors"}"#, "tensor 'x' is not in"),
        (#"{"a":"m-1.safetensors","b":"m-2.safetensors","c":"m-2.safetensors","d":"m-2.safetensors"}"#, "tensor 'b' is not in m-2"),
        (#"{"a":"m-1.safetensors","b":"m-1.safetensors","c":"m-3.safetensors"}"#, "m-3.safetensors"),
    ])
    func refusesIndex(map: String, reason: String) {
        sharded()
        index(map)
        #expect(error()?.message.contains(reason) == true, "\(map): \(String(describing: error()))")
    }

    /// What the index does not say is said in the log, and the index's word counts.
    @Test func saysWhatTheIndexDoesNotList() throws {
        sharded()
        folder.write("m-2.safetensors", safetensors([TestTensor("c", [3]), TestTensor("d", dtype: "I8", [1], bytes: [1]), TestTensor("a", [2], [9, 9])]))
        index(#"{"a":"m-1.safetensors","c":"m-2.safetensors","d":"m-2.safetensors"}"#)
        folder.write("consolidated.safetensors", safetensors([TestTensor("x", [1])]))
        let checkpoint = try Checkpoint(directory: folder.path)
        #expect(try checkpoint.tensor("a").floats != [9, 9])
        #expect(checkpoint.unlistedTensors == ["b"] && checkpoint.tensors["x"] == nil && checkpoint.tensors["b"] != nil)
        for said in ["'b' in m-1.safetensors is not listed", "'a' in m-2.safetensors is not read: the index places it in m-1", "consolidated.safetensors is not read"] {
            #expect(checkpoint.warnings.contains { $0.contains(said) }, "\(checkpoint.warnings)")
        }
    }

    /// A stray single file does not hide the shards; a whole one is what transformers loads.
    @Test func singleFileBesideShards() throws {
        sharded()
        folder.write("model.safetensors", safetensors([TestTensor("a", [2], [5, 5])]))
        var checkpoint = try Checkpoint(directory: folder.path)
        #expect(checkpoint.tensors.keys.sorted() == ["a", "b", "c"] && checkpoint.warnings.contains { $0.contains("model.safetensors is not read: it lacks tensor 'b'") })
        folder.write("model.safetensors", "no safetensors")
        checkpoint = try Checkpoint(directory: folder.path)
        #expect(checkpoint.tensors.count == 3 && checkpoint.warnings.contains { $0.contains("model.safetensors is not read") })
        folder.write("model.safetensors", safetensors([TestTensor("a", [2], [5, 5]), TestTensor("b", [1]), TestTensor("c", [3]), TestTensor("d", [1])]))
        checkpoint = try Checkpoint(directory: folder.path)
        #expect(try checkpoint.tensor("a").floats == [5, 5])
        #expect(checkpoint.warnings.contains { $0.contains("m-1.safetensors, m-2.safetensors are not read") })
        unlink(folder.file("model.safetensors"))
        unlink(folder.file("model.safetensors.index.json"))
        #expect(error()?.message.contains("m-1.safetensors") == true)
    }

    @Test func digestsFollowContents() throws {
        sharded()
        let first = try Checkpoint(directory: folder.path)
        #expect(first.digest() == (try Checkpoint(directory: folder.path)).digest())
        #expect(first.digest().description.utf8.count == 64)
        let contents = try first.contentDigest()
        // The same bytes at another time: another version to the quick digest, the same contents.
        let times = [timespec(tv_sec: 1, tv_nsec: 0), timespec(tv_sec: 1, tv_nsec: 0)]
        utimensat(AT_FDCWD, folder.file("m-2.safetensors"), times, 0)
        var next = try Checkpoint(directory: folder.path)
        #expect(next.digest() != first.digest())
        #expect(try next.contentDigest() == contents)
        folder.write("m-2.safetensors", safetensors([TestTensor("c", [3], [9, 9, 9]), TestTensor("d", dtype: "I8", [1], bytes: [1])]))
        next = try Checkpoint(directory: folder.path)
        #expect(try next.contentDigest() != contents)
        folder.write("config.json", #"{"a":1}"#)
        let other = try Checkpoint(directory: folder.path)
        #expect(other.digest() != next.digest())
    }

    @Test(.enabled(if: sharedModels != nil), arguments: ["llama", "mixtral", "olmoe", "qwen3_moe"])
    func opensReferenceCheckpoints(name: String) throws {
        let checkpoint = try Checkpoint(directory: "\(sharedModels!)/\(name)")
        #expect(checkpoint.tensors["model.embed_tokens.weight"]?.shape == [2048, 96])
        #expect(checkpoint.unusableTensors.isEmpty && checkpoint.generationConfig != nil)
        _ = try checkpoint.contentDigest()
    }
}
