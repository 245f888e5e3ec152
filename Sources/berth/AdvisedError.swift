// What to do next, for somebody at a terminal: the client library speaks to programs.

import BerthClient

/// An error of the library with what this tool can do about it.
struct AdvisedError: Error, CustomStringConvertible {
    let error: BerthClientError

    init(_ error: BerthClientError) { self.error = error }

    var description: String {
        guard case .refused(let refusal) = error else { return "\(error)" }
        switch refusal.code {
        case "model_not_found": return "\(error)\n'berth models' lists those there are; 'berth adapter load NAME DIRECTORY' adds an adapter."
        case "missing_api_key", "invalid_api_key":
            return "\(error)\nSet BERTH_API_KEY to your key. Whoever administers the daemon makes one with 'berth tenant key'."
        case "unknown_tenant": return "\(error)\nWhoever administers the daemon adds you to a [tenant …] section of its configuration."
        default: return "\(error)"
        }
    }
}
