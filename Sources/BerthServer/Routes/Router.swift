// Which handler answers which method and path. What no route names is refused.

import BerthHTTP
import HTTPTypes

struct Route {
    let method: HTTPRequest.Method
    /// As in the documentation: "/v1/models/{id}". A placeholder takes one segment.
    let pattern: String
    let handle: (Exchange) -> Void

    init(_ method: HTTPRequest.Method, _ pattern: String, _ handle: @escaping (Exchange) -> Void) {
        self.method = method
        self.pattern = pattern
        self.handle = handle
    }
}

struct Router {
    private struct Entry {
        let route: Route
        /// Nil is a placeholder.
        let segments: [String?]
    }

    enum Match {
        case found(Route, parameters: [String])
        case unknownPath
        /// The path exists with other methods.
        case wrongMethod(allowed: [HTTPRequest.Method])
    }

    private let entries: [Entry]

    init(_ routes: [Route]) {
        entries = routes.map { route in
            Entry(route: route, segments: route.pattern.split(separator: "/").map { $0.hasPrefix("{") ? nil : String($0) })
        }
    }

    /// HEAD is GET without its body.
    func match(_ method: HTTPRequest.Method, path: Substring) -> Match {
        guard let segments = Self.segments(path) else { return .unknownPath }
        var allowed: [HTTPRequest.Method] = []
        for entry in entries {
            guard let parameters = Self.parameters(entry.segments, segments) else { continue }
            if entry.route.method == method || entry.route.method == .get && method == .head {
                return .found(entry.route, parameters: parameters)
            }
            allowed.append(entry.route.method)
            if entry.route.method == .get { allowed.append(.head) }
        }
        return allowed.isEmpty ? .unknownPath : .wrongMethod(allowed: allowed)
    }

    private static func parameters(_ pattern: [String?], _ segments: [String]) -> [String]? {
        guard pattern.count == segments.count else { return nil }
        var parameters: [String] = []
        for (expected, segment) in zip(pattern, segments) {
            if let expected {
                guard expected == segment else { return nil }
            } else {
                parameters.append(segment)
            }
        }
        return parameters
    }

    /// The decoded segments of a path; nil where it is not one that we could mean (empty segments, bad escapes).
    /// "/a/" is not "/a": two spellings of a path would be two to guard.
    static func segments(_ path: Substring) -> [String]? {
        guard path.hasPrefix("/") else { return nil }
        if path == "/" { return [] }
        var segments: [String] = []
        for part in path.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
            guard let decoded = percentDecoded(part), !decoded.isEmpty else { return nil }
            segments.append(decoded)
        }
        return segments
    }

    private static func percentDecoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, digits.allSatisfy({ ($0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x66) || ($0 >= 0x30 && $0 <= 0x39) }),
                let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16), value != 0
            else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
