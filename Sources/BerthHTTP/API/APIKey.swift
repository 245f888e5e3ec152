// Bearer keys: how they are made, how they travel, and how they are known again without being kept.
//
// A key is 256 random bits in text, shown once to whoever asks for one. What is kept is its SHA-256: such a key cannot be guessed, so that nothing slower
// is needed, and whoever reads the configuration has no key. Digests are compared in constant time.

import BerthCore
import CSodium
import HTTPTypes

public struct APIKey: Sendable {
    public let text: String

    /// Nil where it cannot be a key: 1 to `Limits.apiKeyBytes` visible ASCII characters.
    public init?(_ text: String) {
        guard (1...Limits.apiKeyBytes).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else { return nil }
        self.text = text
    }

    /// A new one, from the system's random numbers.
    public static func random() -> APIKey {
        precondition(sodium_init() >= 0, "there are no random numbers")
        var bits = [UInt8](repeating: 0, count: 32)
        randombytes_buf(&bits, bits.count)
        // 43 characters and a zero byte.
        var characters = [CChar](repeating: 0, count: 44)
        sodium_bin2base64(&characters, characters.count, bits, bits.count, sodium_base64_VARIANT_URLSAFE_NO_PADDING)
        return APIKey("berth-" + String(decoding: characters.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))!
    }

    public var digest: KeyDigest {
        var text = text
        let bytes = text.withUTF8 { text in
            [UInt8](unsafeUninitializedCapacity: KeyDigest.byteCount) { buffer, count in
                crypto_hash_sha256(buffer.baseAddress!, text.baseAddress!, UInt64(text.count))
                count = KeyDigest.byteCount
            }
        }
        return KeyDigest(bytes: bytes)
    }
}

/// The SHA-256 of a key.
public struct KeyDigest: Sendable, Hashable, CustomStringConvertible {
    static let byteCount = 32
    fileprivate let bytes: [UInt8]

    fileprivate init(bytes: [UInt8]) { self.bytes = bytes }

    /// Nil where `text` is not 64 hexadecimal digits.
    public init?(hexadecimal text: String) {
        let digits = text.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
        guard digits.count == 2 * Self.byteCount, text.utf8.count == digits.count else { return nil }
        bytes = stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }

    /// Lower-case hexadecimal.
    public var description: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// Whether both are the same, in a time that does not depend on where they differ.
    public func isSame(as other: KeyDigest) -> Bool { sodium_memcmp(bytes, other.bytes, Self.byteCount) == 0 }
}

/// What the field `Authorization` says (RFC 9110, section 11.6.2; RFC 6750, section 2.1).
public enum Authorization {
    /// The key of a request; nil where it has none.
    /// - Throws: 401 where there is something else than one key.
    public static func key(_ fields: HTTPFields) throws(APIError) -> APIKey? {
        let values = fields[values: .authorization]
        guard let value = values.first else { return nil }
        guard values.count == 1 else { throw .wrongKey("The request has more than one field 'Authorization'.") }
        let scheme = value.prefix { $0 != " " }
        guard scheme.lowercased() == "bearer" else { throw .wrongKey("The field 'Authorization' must be 'Bearer' and a key.") }
        guard let key = APIKey(String(value.dropFirst(scheme.count).drop { $0 == " " })) else { throw .wrongKey() }
        return key
    }
}

extension APIError {
    /// 401: what the request says of its sender is wrong. Never with the key.
    public static func wrongKey(_ message: String = "The API key is not valid.") -> APIError {
        APIError(.unauthorized, message, type: "authentication_error", code: "invalid_api_key")
    }

    /// 401: nothing says who sends this.
    public static let missingKey = APIError(
        .unauthorized, "An API key is required: send it as 'Authorization: Bearer KEY'.", type: "authentication_error", code: "missing_api_key")

    /// 403: who sends this is known, and may not.
    public static func forbidden(_ message: String, code: String = "forbidden") -> APIError { APIError(.forbidden, message, type: "permission_error", code: code) }

    /// 429: a named limit of the caller's is reached.
    public static func limited(_ limit: String, _ message: String, retryAfterSeconds: Int?) -> APIError {
        var error = APIError(
            .tooManyRequests, "\(message) (limit: \(limit))", type: "rate_limit_error", code: "rate_limit_exceeded", retryAfterSeconds: retryAfterSeconds)
        error.limit = limit
        return error
    }
}
