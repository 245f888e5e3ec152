// Room for one request's body, from its head until it has been read.
//
// Bodies are collected, and there may be thousands of connections: what they hold together has to be bounded. Whoever keeps the body keeps
// the lease with it, and the room is free when the last reference goes. Loop thread only.

final class BodyLease: Equatable {
    private(set) var bytes: Int
    /// Takes so many bytes more, or gives them back; false where there is no room.
    private let resize: (Int) -> Bool

    /// - Parameter bytes: taken already.
    init(bytes: Int, resize: @escaping (Int) -> Bool) {
        self.bytes = bytes
        self.resize = resize
    }

    deinit { _ = resize(-bytes) }

    /// False where there is no room for a body of so many bytes.
    func grow(to size: Int) -> Bool {
        guard size > bytes else { return true }
        guard resize(size - bytes) else { return false }
        bytes = size
        return true
    }

    static func == (one: BodyLease, other: BodyLease) -> Bool { one === other }
}
