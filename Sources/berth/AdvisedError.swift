// What to do next, for somebody at a terminal: the client library speaks to programs.

import BerthClient

/// An error of the library with what this tool can do about it.
struct AdvisedError: Error, CustomStringConvertible {
    let error: BerthClientError

    init(_ error: BerthClientError) { self.error = error }

    var description: String {
        guard case .refused(let refusal) = error, refusal.code == "model_not_found" else { return "\(error)" }
        return "\(error)\n'berth models' lists those there are; 'berth adapter load NAME DIRECTORY' adds an adapter."
    }
}
