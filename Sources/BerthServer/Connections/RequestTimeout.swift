// How long a client will wait: `X-Request-Timeout`, in seconds.
//
// A client that gives up after some time says so, and the daemon does not compute what nobody will read. The time runs from when the request was complete here.

import BerthCore
import BerthHTTP
import HTTPTypes

extension HTTPField.Name {
    static let requestTimeout = HTTPField.Name("X-Request-Timeout")!
}

extension Exchange {
    /// When the answer is of no use any more, on the engine's clock; nil where the client has not said.
    func deadline() throws(APIError) -> UInt64? {
        let values = request.head.fields[values: .requestTimeout]
        guard let text = values.first else { return nil }
        guard values.count == 1, let seconds = Self.seconds(text), Limits.requestTimeoutSeconds.contains(seconds) else {
            let bounds = Limits.requestTimeoutSeconds
            throw .invalid("X-Request-Timeout", "must be one number of seconds from \(bounds.lowerBound) to \(Int(bounds.upperBound)), such as 30 or 2.5.")
        }
        return startNanoseconds + UInt64(seconds * 1e9)
    }

    /// Digits, and a fraction of digits.
    private static func seconds(_ text: String) -> Double? {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), maxSplits: 1, omittingEmptySubsequences: false)
        guard text.utf8.count <= 16, parts.allSatisfy({ !$0.isEmpty && $0.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } }) else { return nil }
        return Double(text)
    }
}
