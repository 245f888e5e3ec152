// BLAKE2b (RFC 7693) through libsodium: what names contents in caches and receipts.

import CSodium

/// 256 bits that name some contents.
public struct Digest: Sendable, Hashable, CustomStringConvertible {
    public let bytes: [UInt8]

    /// Lower-case hexadecimal, 64 characters.
    public var description: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}

/// An unkeyed BLAKE2b-256 that is fed in pieces.
struct DigestBuilder: ~Copyable {
    private let memory: UnsafeMutableRawPointer
    private var state: OpaquePointer { OpaquePointer(memory) }
    /// libsodium chooses its fastest implementation once. Failure means no random numbers, which hashing does not need.
    private static let initialized = sodium_init()

    init() {
        _ = Self.initialized
        // libsodium wants its state at a multiple of 64.
        memory = UnsafeMutableRawPointer.allocate(byteCount: crypto_generichash_statebytes(), alignment: 64)
        crypto_generichash_init(state, nil, 0, 32)
    }

    deinit { memory.deallocate() }

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        crypto_generichash_update(state, base.assumingMemoryBound(to: UInt8.self), UInt64(bytes.count))
    }

    /// Feeds `text` with its length before it, so that two texts in a row cannot be mistaken for two others.
    mutating func update(_ text: String) { update(Array(text.utf8)) }

    /// Feeds `bytes` with their number before them.
    mutating func update(_ bytes: [UInt8]) {
        withUnsafeBytes(of: UInt64(bytes.count).littleEndian) { update($0) }
        bytes.withUnsafeBytes { update($0) }
    }

    consuming func finish() -> Digest {
        let bytes = [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
            crypto_generichash_final(state, buffer.baseAddress!, 32)
            count = 32
        }
        return Digest(bytes: bytes)
    }
}

extension Digest {
    /// Sixteen hexadecimal digits that stand for a text in the name of a file.
    public static func label(of text: String) -> String {
        var builder = DigestBuilder()
        builder.update(text)
        return String(builder.finish().description.prefix(16))
    }
}
