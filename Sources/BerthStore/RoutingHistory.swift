// How often each expert of a model was chosen, across restarts.
//
// A hint for the next start. It lies beside the images, one file for a checkpoint and format (f32 values, little-endian, one for each expert), and one that cannot be
// read or does not fit is as good as none.

import BerthCore

/// The history of one model's routing. Thread-safe as far as the file system is.
public struct RoutingHistory: Sendable {
    private let directory: String
    private let name: String
    private let experts: Int

    /// `model` tells one model and packing from another.
    public init(directory: String, model: String, experts: Int) {
        self.directory = directory
        self.experts = experts
        name = "routing-\(Digest.label(of: model))-\(experts).history"
    }

    /// Nil where there is none, or none for so many experts.
    public func read() -> [Float]? {
        guard let bytes = try? ReadableFile.contents(of: "\(directory)/\(name)", limit: experts * 4), bytes.count == experts * 4 else { return nil }
        return bytes.withUnsafeBytes { bytes in
            (0..<experts).map { Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 4, as: UInt32.self))) }
        }
    }

    /// Replaces what was there, whole or not at all. Not made durable: a hint is not worth waiting for the disk.
    public func write(_ popularity: [Float]) throws(StoreError) {
        precondition(popularity.count == experts)
        var operations = FileOperations.system
        operations.synchronize = { _ in 0 }
        let words = popularity.map(\.bitPattern.littleEndian)
        let file = try WritableFile(directory: directory, name: name, bytes: experts * 4, operations: operations)
        try words.withUnsafeBytes { bytes in Result { () throws(StoreError) in try file.write(bytes, at: 0) } }.get()
        try file.commit()
    }
}
