// A listening socket with its clients.

import BerthCore
import BerthHTTP
import BerthLoop
import Logging

/// Accepts clients and keeps their sessions. Loop thread only.
final class Listening {
    private let listener: Listener
    private var sessions: [ObjectIdentifier: ClientSession] = [:]
    /// How many each user has; nil is whom the kernel does not know.
    private var sessionsOfUsers: [UInt32?: Int] = [:]
    private let logger: Logger
    private var isDraining = false
    /// All sessions are gone, after `drain`.
    var onEmpty: (() -> Void)?

    /// - Parameters:
    ///   - admission: gives a request's body its room, or says why it gets none, when its head is there.
    ///   - handle: answers a request.
    init(
        _ listener: Listener, logger: Logger, isUpload: @escaping @Sendable (RequestHead) -> Bool,
        admission: @escaping (RequestHead, PeerCredentials?) -> Result<BodyLease?, APIError> = { _, _ in .success(nil) }, handle: @escaping (Exchange) -> Void
    ) {
        self.listener = listener
        self.logger = logger
        listener.start(onConnection: { [unowned self] connection in
            let user = connection.peer?.userID
            let mine = sessionsOfUsers[user] ?? 0
            guard mine == 0 || mine < Limits.connections - sessions.count, sessions.count < Limits.connections else {
                logger.warning("too many connections; one is refused", metadata: ["uid": "\(user.map(String.init) ?? "?")", "connections": "\(mine)"])
                return connection.close()
            }
            sessionsOfUsers[user] = mine + 1
            let session = ClientSession(connection, isUpload: isUpload, admission: admission, handle: handle) { [weak self] session in
                guard let self else { return }
                sessions[ObjectIdentifier(session)] = nil
                let rest = (sessionsOfUsers[user] ?? 1) - 1
                sessionsOfUsers[user] = rest == 0 ? nil : rest
                if sessions.isEmpty { onEmpty?() }
            }
            sessions[ObjectIdentifier(session)] = session
            if isDraining { session.drain() }
        }, onError: { logger.error("cannot accept a connection: \($0)") })
    }

    var connectionCount: Int { sessions.count }

    func tick(now: UInt64) { for session in Array(sessions.values) { session.tick(now: now) } }

    /// Every connection ends with its next answer; new ones too, so that their clients hear why.
    func drain() {
        isDraining = true
        for session in Array(sessions.values) { session.drain() }
    }

    /// Nobody connects any more; clients that wait for nothing are let go. `onEmpty` says when the others are gone.
    func finish() {
        listener.close()
        for session in Array(sessions.values) { session.endIfIdle() }
        if sessions.isEmpty { onEmpty?() }
    }

    /// Ends every connection now.
    func closeAll() {
        listener.close()
        for session in Array(sessions.values) { session.leave() }
    }
}
