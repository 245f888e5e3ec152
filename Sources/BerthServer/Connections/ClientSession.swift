// One client: a connection, its state machine, and the request that is being answered.
//
// The shell around `ConnectionMachine`: it feeds the machine and performs its actions, one after the other, never nested
// (a pipeline of ten thousand health checks must not become ten thousand stack frames). Lives from accept to the close
// callback; owned by its `Listening`. Loop thread only.

import BerthCore
import BerthHTTP
import BerthLoop
import HTTPTypes
import Logging

final class ClientSession {
    private let connection: Connection
    private var machine: ConnectionMachine
    private let handle: (Exchange) -> Void
    private let onClosed: (ClientSession) -> Void

    private var actions: [ConnectionMachine.Action] = []
    private var isPerforming = false
    private var current: Exchange?
    private var lingers = false

    /// For the stall check: how much the kernel had taken when last looked, and since when that has not changed.
    private var writtenBytes = 0
    private var takenBytesSeen = 0
    private var stalledSince: UInt64?

    let peer: PeerCredentials?

    init(
        _ connection: Connection, isUpload: @escaping @Sendable (RequestHead) -> Bool,
        admission: @escaping (RequestHead, PeerCredentials?) -> Result<BodyLease?, APIError>, handle: @escaping (Exchange) -> Void, onClosed: @escaping (ClientSession) -> Void
    ) {
        self.connection = connection
        self.handle = handle
        self.onClosed = onClosed
        let peer = connection.peer
        self.peer = peer
        machine = ConnectionMachine(now: Loop.monotonicNanoseconds, isUpload: isUpload, admission: { admission($0, peer) })
        connection.onRead = { [unowned self] bytes in perform(machine.received(bytes, now: Loop.monotonicNanoseconds)) }
        connection.onEnd = { [unowned self] _ in perform(machine.ended()) }
        connection.onDrain = { [unowned self] in didDrain() }
        // The session lives until here: the closure holds it, and the connection drops its closures afterwards.
        connection.onClosed = {
            self.abandonCurrent()
            self.onClosed(self)
        }
        connection.startReading()
    }

    var isIdle: Bool { machine.isIdle }

    // MARK: answers, called by `Exchange`

    func respond(_ exchange: UInt64, _ response: Response) {
        perform(machine.respond(exchange, response, now: Loop.monotonicNanoseconds))
    }

    func beginStream(_ exchange: UInt64, fields: HTTPFields) { perform(machine.beginStream(exchange, fields: fields)) }

    func stream(_ exchange: UInt64, _ bytes: [UInt8]) {
        perform(machine.stream(exchange, bytes))
        // A client that does not read has its stream cut off; what it would not take cannot be kept for it.
        if connection.queuedBytes > Limits.queuedStreamHardBytes { leave() }
    }

    func endStream(_ exchange: UInt64) { perform(machine.endStream(exchange, now: Loop.monotonicNanoseconds)) }

    func pauseUpload(_ exchange: UInt64) { perform(machine.pauseUpload(exchange, now: Loop.monotonicNanoseconds)) }

    func resumeUpload(_ exchange: UInt64) { perform(machine.resumeUpload(exchange, now: Loop.monotonicNanoseconds)) }

    /// Bytes of answers that the client has not taken.
    var queuedBytes: Int { connection.queuedBytes }

    // MARK: time

    func tick(now: UInt64) {
        perform(machine.tick(now: now))
        if !connection.isReading, !connection.isClosing, connection.isPeerGone { return leave() }
        let taken = writtenBytes - connection.queuedBytes
        guard connection.queuedBytes > 0, taken == takenBytesSeen else {
            takenBytesSeen = taken
            stalledSince = nil
            return
        }
        let since = stalledSince ?? now
        stalledSince = since
        if now >= since + Limits.stalledClientNanoseconds { leave() }
    }

    func drain() { machine.drain() }

    func endIfIdle() { perform(machine.endIfIdle()) }

    /// Ends the connection now, whatever is under way.
    func leave() {
        perform(machine.ended())
        connection.close()
    }

    // MARK: actions

    private func perform(_ new: [ConnectionMachine.Action]) {
        actions += new
        guard !isPerforming else { return }
        isPerforming = true
        var next = 0
        while next < actions.count {
            let action = actions[next]
            next += 1
            perform(action)
        }
        actions.removeAll(keepingCapacity: true)
        isPerforming = false
    }

    private func perform(_ action: ConnectionMachine.Action) {
        switch action {
        case .write(let bytes):
            writtenBytes += bytes.count
            connection.write(bytes)
        case .handle(let request):
            let exchange = Exchange(self, request, peer: peer)
            current = exchange
            handle(exchange)
        case .upload(let exchange, let bytes): if let current, current.request.exchange == exchange { current.onUpload?(bytes) }
        case .uploadEnd(let exchange): if let current, current.request.exchange == exchange { current.onUploadEnd?() }
        case .abandon: abandonCurrent()
        case .pauseReading: connection.stopReading()
        case .resumeReading: connection.startReading()
        case .linger:
            lingers = true
            if connection.queuedBytes == 0 { didDrain() }
        case .closeAfterWrites: connection.closeAfterWrites()
        case .close: connection.close()
        }
    }

    private func didDrain() {
        if lingers { connection.shutdownWriting() }
        current?.onDrain?()
    }

    private func abandonCurrent() {
        let exchange = current
        current = nil
        exchange?.abandon()
    }

    func didComplete(_ exchange: Exchange) { if current === exchange { current = nil } }
}
