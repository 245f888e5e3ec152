// A PEFT LoRA adapter on disk, validated against a base model without reading its weights.
//
// "Adapter silently not applied" is the most reported fault of LoRA servers, so everything in the file must be
// understood: each tensor belongs to a module of the base and fits it, each field of the configuration is computed or
// refused by name. What is *absent* is legal (layers left out); finding nothing at all is not.
//
// Life: opened when an adapter is registered (some kilobytes are read; no descriptor stays open, so a hundred thousand
// adapters may be registered), read by `load` each time it is paged in, in which the weights are checked too. Both
// files' identities are compared at every reading, before and after: an adapter replaced under its registration is an
// error, not a mixture. Whoever wants to serve what is there now compares stamps, and opens the adapter anew.
// Files are read, never mapped, so that nobody can kill the daemon by truncating one. A value; any thread may use it.

import BerthCore

/// A validated adapter: which modules of the base it changes, and where their factors are.
public struct AdapterCheckpoint: Sendable {
    /// The directory that holds the files (the given one, or its only adapter subfolder).
    public let directory: String
    public let configuration: AdapterConfiguration
    /// What it adapts, at least one, sorted by path.
    public let modules: [AdapterModule]
    public let warnings: [String]
    /// Names this version of the files without reading the weights: configuration, header, size, inode, modification time.
    public let digest: String
    /// Size of the tensor file.
    public let fileBytes: Int

    /// The version of the files that was validated.
    public let stamp: AdapterStamp
    /// Tensors that are copies of base weights, to be compared when the adapter is read.
    let copies: [BaseCopy]

    /// A tensor that should equal a weight of the base.
    struct BaseCopy: Sendable {
        let entry: Int
        let type: ElementType
        let range: Range<Int>
        let weight: TensorView?
    }

    public static let configurationName = "adapter_config.json"
    public static let tensorsName = "adapter_model.safetensors"
    var tensorsPath: String { "\(directory)/\(Self.tensorsName)" }

    /// Opens and validates the adapter in `directory`, or in its only subfolder with an `adapter_config.json` (PEFT saves an
    /// adapter that is not named "default" in a subfolder). Throws the first reason to refuse it.
    public init(directory given: String, base: ModuleCatalog) throws(AdapterRejection) {
        do throws(AdapterRejection) {
            try self.init(in: try AdapterPlace(of: given).directory(), base: base)
        } catch {
            throw error.at(given)
        }
    }

    private init(in directory: String, base: ModuleCatalog) throws(AdapterRejection) {
        self.directory = directory
        let json: JSON
        let file: ReadableFile
        let header: SafetensorsHeader
        let configurationIdentity: ReadableFile.Identity
        do throws(StoreError) {
            let file = try ReadableFile(path: "\(directory)/\(Self.configurationName)")
            configurationIdentity = file.identity
            json = try file.configuration()
        } catch {
            throw AdapterRejection(error)
        }
        configuration = try AdapterConfiguration(json)
        if !exists("\(directory)/\(Self.tensorsName)") {
            for pickle in ["adapter_model.bin", "adapter_model.pt"] where exists("\(directory)/\(pickle)") {
                throw AdapterRejection(pickle, "\(pickle) is a pickle, which can run code; only \(Self.tensorsName) is read")
            }
            throw AdapterRejection(Self.tensorsName, "\(Self.tensorsName) is missing")
        }
        do throws(StoreError) {
            file = try ReadableFile(path: "\(directory)/\(Self.tensorsName)")
            header = try SafetensorsHeader(of: file)
        } catch {
            throw AdapterRejection(error)
        }
        stamp = AdapterStamp(directory: directory, configuration: configurationIdentity, tensors: file.identity)
        fileBytes = file.bytes

        var assembly = try AdapterAssembly(configuration: configuration, base: base)
        for (index, entry) in header.entries.enumerated() { try assembly.add(entry, index: index) }
        (modules, copies) = try assembly.finish()

        var builder = DigestBuilder()
        builder.update("berth adapter 1")
        builder.update(json.utf8)
        builder.update(header.digest.bytes)
        builder.update(file.identity.text)
        digest = builder.finish().description
        warnings = configuration.warnings
    }
}

extension AdapterCheckpoint {
    /// What a load answers with.
    public struct Receipt: Sendable {
        public let modules: Int
        /// The distinct ranks, rising.
        public let ranks: [Int]
        /// The distinct last components of the modules' paths, sorted: `k_proj`, `q_proj`.
        public let targets: [String]
        public let parameters: Int
        public let fileBytes: Int
        /// Of the contents of both files; the same on every machine.
        public let contentDigest: String
        public let warnings: [String]
    }

    public var ranks: [Int] { Set(modules.map(\.rank)).sorted() }
    public var targets: [String] { Set(modules.map { fileName($0.path.replacing(".", with: "/")) }).sorted() }
    public var parameters: Int { modules.reduce(0) { $0 + $1.parameters } }
}
