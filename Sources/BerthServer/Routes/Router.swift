// Which handler answers which method and path. What no route names is refused.

import BerthHTTP
import HTTPTypes

struct Route {
    let method: HTTPRequest.Method
    /// As in the documentation: "/v1/models/{id}". A placeholder, of which there is one at most, takes one segment or more: names may
    /// have slashes.
    let pattern: String
    /// The body is given to the handler in pieces as it arrives, and may be larger than others.
    let takesUploads: Bool
    /// Whoever can connect may call it. All other routes of the inference socket are for tenants.
    let isOpen: Bool
    let handle: (Exchange) -> Void

    init(
        _ method: HTTPRequest.Method, _ pattern: String, takesUploads: Bool = false, isOpen: Bool = false, _ handle: @escaping (Exchange) -> Void
    ) {
        self.method = method
        self.pattern = pattern
        self.takesUploads = takesUploads
        self.isOpen = isOpen
        self.handle = handle
    }
}

struct Router {
    private struct Pattern: Sendable {
        let method: HTTPRequest.Method
        /// Before the placeholder, or all.
        let prefix: [String]
        /// After the placeholder; nil where there is none.
        let suffix: [String]?

        init(_ route: Route) {
            method = route.method
            let segments = route.pattern.split(separator: "/").map(String.init)
            let place = segments.firstIndex { $0.hasPrefix("{") }
            prefix = Array(segments[..<(place ?? segments.count)])
            suffix = place.map { Array(segments[($0 + 1)...]) }
        }

        /// What the placeholder stands for, if there is one; nil where the path is another's. Empty segments before one of the pattern's
        /// are passed over: clients join a base URL and a path that both have a slash.
        func parameters(_ path: [String]) -> [String]? {
            var rest = path[...]
            for expected in prefix {
                rest = rest.drop { $0.isEmpty }
                guard rest.popFirst() == expected else { return nil }
            }
            guard let suffix else { return rest.isEmpty ? [] : nil }
            guard rest.count > suffix.count, rest.suffix(suffix.count) == suffix[...], !rest.contains("") else { return nil }
            return [rest.dropLast(suffix.count).joined(separator: "/")]
        }
    }

    private struct Entry {
        let route: Route
        let pattern: Pattern
    }

    enum Match {
        case found(Route, parameters: [String])
        case unknownPath
        /// The path exists with other methods.
        case wrongMethod(allowed: [HTTPRequest.Method])
    }

    private let entries: [Entry]
    /// Whether a request's body is an upload.
    let isUpload: @Sendable (RequestHead) -> Bool

    init(_ routes: [Route]) {
        entries = routes.map { Entry(route: $0, pattern: Pattern($0)) }
        let uploads = routes.filter(\.takesUploads).map(Pattern.init)
        isUpload = { head in
            uploads.contains { $0.method == head.method && Self.segments(head.path).flatMap($0.parameters) != nil }
        }
    }

    func match(_ head: RequestHead) -> Match { match(head.method, path: head.path) }

    /// HEAD is GET without its body.
    func match(_ method: HTTPRequest.Method, path: Substring) -> Match {
        guard let segments = Self.segments(path) else { return .unknownPath }
        var allowed: [HTTPRequest.Method] = []
        for entry in entries {
            guard let parameters = entry.pattern.parameters(segments) else { continue }
            if entry.route.method == method || entry.route.method == .get && method == .head {
                return .found(entry.route, parameters: parameters)
            }
            allowed.append(entry.route.method)
            if entry.route.method == .get { allowed.append(.head) }
        }
        return allowed.isEmpty ? .unknownPath : .wrongMethod(allowed: allowed)
    }

    /// The decoded segments of a path; nil where it is not one that we could mean (bad escapes).
    static func segments(_ path: Substring) -> [String]? {
        guard path.hasPrefix("/") else { return nil }
        var segments: [String] = []
        for part in path.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
            guard let decoded = percentDecoded(part) else { return nil }
            segments.append(decoded)
        }
        return segments
    }
}
