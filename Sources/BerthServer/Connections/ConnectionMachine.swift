// One HTTP connection as a state machine: bytes, answers and the clock in, actions out. It performs nothing itself.
//
//     idle ──bytes──▶ receiving ──complete──▶ answering ──answered──▶ idle (or closing)
//                      uploading ──complete──▶ answering
//       any of them ──bad bytes, timeout──▶ lingering ──end of file, timeout──▶ closed
//
// Most bodies are collected, and their request is handled when it is complete. An upload is handled when its head is there, and its body is
// given on piece by piece; whoever takes it may pause it, and may refuse it before it is complete.
// One request is answered at a time; pipelined ones wait as bytes in the parser. Reading goes on while an answer is under
// way, since that is how a client that leaves is noticed, until `Limits.pipelinedBytes` have piled up.
// Whoever may not be answered is refused when the head is there: no body is kept for a caller that nobody knows.
// Lingering: after an error the client may still be sending (a body that is too large). Closing then would destroy the answer before it
// is read, so what comes is thrown away for a moment first.

import BerthCore
import BerthHTTP
import HTTPTypes

/// A request that is to be handled: complete, or an upload whose body follows.
struct IncomingRequest: Equatable {
    /// Which request of its connection this is; answers name it, so that a late one cannot hit its successor.
    var exchange: UInt64
    var head: RequestHead
    var body: [UInt8]
    /// The body's room; nil where nobody counts.
    var lease: BodyLease?
}

struct ConnectionMachine {
    enum Action: Equatable {
        case write([UInt8])
        /// Answer this request.
        case handle(IncomingRequest)
        /// A piece of the upload that is being handled, and its end.
        case upload(exchange: UInt64, [UInt8])
        case uploadEnd(exchange: UInt64)
        /// The client is gone: stop answering the request.
        case abandon(exchange: UInt64)
        case pauseReading
        case resumeReading
        /// Once everything is written, say that nothing more will come, but read on.
        case linger
        case closeAfterWrites
        case close
    }

    private enum State {
        case idle(since: UInt64)
        /// A head is incomplete.
        case receivingHead(deadline: UInt64)
        case receivingBody(RequestHead, [UInt8], BodyLease?, deadline: UInt64)
        case uploading(Uploading)
        case answering(Answering)
        case lingering(deadline: UInt64)
        case closed
    }

    private struct Uploading {
        var head: RequestHead
        var deadline: UInt64
        /// Nil while the upload is paused: then the client is not who is slow.
        var quietDeadline: UInt64?
    }

    private struct Answering {
        var head: RequestHead
        /// The framing of a stream whose head is out.
        var stream: BodyFraming?
        /// A HEAD request: the answer is its head.
        var omitsBody: Bool { head.method == .head }
    }

    private var parser: RequestParser
    private let isUpload: @Sendable (RequestHead) -> Bool
    private let admission: (RequestHead) -> Result<BodyLease?, APIError>
    private var state: State
    private var exchange: UInt64 = 0
    private var isReadingPaused = false
    private var isDraining = false

    /// - Parameters:
    ///   - isUpload: which requests have their body given on as it arrives.
    ///   - admission: gives a request's body its room, or says why it gets none; asked only where there is a body.
    init(
        now: UInt64, isUpload: @escaping @Sendable (RequestHead) -> Bool = { _ in false },
        admission: @escaping (RequestHead) -> Result<BodyLease?, APIError> = { _ in .success(nil) }
    ) {
        self.isUpload = isUpload
        self.admission = admission
        parser = RequestParser { isUpload($0) ? Limits.uploadFileBytes + Limits.uploadExtraBytes : Limits.bodyBytes }
        state = .idle(since: now)
    }

    /// Whether nothing is being received or answered.
    var isIdle: Bool {
        if case .idle = state { return true }
        return false
    }

    var isLingering: Bool {
        if case .lingering = state { return true }
        return false
    }

    // MARK: the peer

    mutating func received(_ bytes: some Collection<UInt8>, now: UInt64) -> [Action] {
        switch state {
        case .lingering, .closed: return []
        default: break
        }
        parser.feed(bytes)
        var actions: [Action] = []
        advance(now, &actions)
        return actions
    }

    /// The peer closed its side or the connection failed. A half-closed client counts as gone: none of ours does that.
    mutating func ended() -> [Action] {
        defer { state = .closed }
        switch state {
        case .answering, .uploading: return [.abandon(exchange: exchange), .close]
        case .closed: return []
        default: return [.close]
        }
    }

    /// Pulls requests out of the parser while none is being answered.
    private mutating func advance(_ now: UInt64, _ actions: inout [Action]) {
        do throws(HTTPError) {
            while isReceiving {
                guard let event = try parser.next() else {
                    if case .idle = state, parser.isInsideRequest { state = .receivingHead(deadline: now + Limits.headerNanoseconds) }
                    break
                }
                switch (event, state) {
                case (.head(let head), _):
                    var lease: BodyLease?
                    if head.framing != .none {
                        switch admission(head) {
                        case .success(let room): lease = room
                        case .failure(let error):
                            refuse(error, now, &actions)
                            continue
                        }
                    }
                    if head.expectsContinue, parser.bufferedBytes == 0 { actions.append(.write(ResponseEncoder.continue)) }
                    if isUpload(head) {
                        exchange += 1
                        state = .uploading(Uploading(head: head, deadline: now + Limits.uploadNanoseconds, quietDeadline: now + Limits.bodyNanoseconds))
                        actions.append(.handle(IncomingRequest(exchange: exchange, head: head, body: [])))
                        continue
                    }
                    state = .receivingBody(head, [], lease, deadline: now + Limits.bodyNanoseconds)
                case (.body(let piece), .receivingBody(let head, var body, let lease, let deadline)):
                    if let lease, !lease.grow(to: body.count + piece.count) {
                        refuse(.unavailable("There is no room for the body.", code: "overloaded"), now, &actions)
                        continue
                    }
                    state = .closed  // so that the body's storage is not shared while it grows
                    body += piece
                    state = .receivingBody(head, body, lease, deadline: deadline)
                case (.body(let piece), .uploading(var uploading)):
                    uploading.quietDeadline = now + Limits.bodyNanoseconds
                    state = .uploading(uploading)
                    actions.append(.upload(exchange: exchange, piece))
                case (.end, .uploading(let uploading)):
                    state = .answering(Answering(head: uploading.head))
                    actions.append(.uploadEnd(exchange: exchange))
                case (.end, .receivingBody(let head, let body, let lease, _)):
                    exchange += 1
                    state = .answering(Answering(head: head))
                    actions.append(.handle(IncomingRequest(exchange: exchange, head: head, body: body, lease: lease)))
                default: preconditionFailure("the parser reports a head before anything else")
                }
            }
        } catch {
            if case .uploading = state { actions.append(.abandon(exchange: exchange)) }
            refuse(error.apiError, now, &actions)
        }
        let isFull = parser.bufferedBytes > Limits.pipelinedBytes || isUploadPaused
        if isFull != isReadingPaused, !isLingering {
            isReadingPaused = isFull
            actions.append(isFull ? .pauseReading : .resumeReading)
        }
    }

    private var isReceiving: Bool {
        switch state {
        case .idle, .receivingHead, .receivingBody: true
        case .uploading: !isUploadPaused
        case .answering, .lingering, .closed: false
        }
    }

    private var isUploadPaused: Bool {
        if case .uploading(let uploading) = state { return uploading.quietDeadline == nil }
        return false
    }

    /// Whoever takes the upload has enough for now. What the loop has read already is kept here.
    mutating func pauseUpload(_ exchange: UInt64, now: UInt64) -> [Action] { setUpload(exchange, quietDeadline: nil, now) }

    mutating func resumeUpload(_ exchange: UInt64, now: UInt64) -> [Action] { setUpload(exchange, quietDeadline: now + Limits.bodyNanoseconds, now) }

    private mutating func setUpload(_ exchange: UInt64, quietDeadline: UInt64?, _ now: UInt64) -> [Action] {
        guard case .uploading(var uploading) = state, exchange == self.exchange else { return [] }
        uploading.quietDeadline = quietDeadline
        state = .uploading(uploading)
        var actions: [Action] = []
        advance(now, &actions)
        return actions
    }

    private mutating func refuse(_ error: APIError, _ now: UInt64, _ actions: inout [Action]) { refuse(Response(error), now, &actions) }

    private mutating func refuse(_ response: Response, _ now: UInt64, _ actions: inout [Action]) {
        actions.append(.write(ResponseEncoder.response(status: response.status, fields: response.fields, body: response.body, keepsAlive: false)))
        if isReadingPaused {
            isReadingPaused = false
            actions.append(.resumeReading)
        }
        actions.append(.linger)
        state = .lingering(deadline: now + Limits.lingerNanoseconds)
    }

    // MARK: time

    /// Call it about once a second.
    mutating func tick(now: UInt64) -> [Action] {
        var actions: [Action] = []
        switch state {
        case .idle(let since) where now >= since + Limits.idleNanoseconds:
            state = .closed
            actions = [.close]
        case .receivingHead(let deadline) where now >= deadline:
            refuse(APIError(.requestTimeout, "The header did not arrive within \(Limits.headerNanoseconds / 1_000_000_000) seconds.", code: "timeout"), now, &actions)
        case .receivingBody(_, _, _, let deadline) where now >= deadline:
            refuse(APIError(.requestTimeout, "The body did not arrive within \(Limits.bodyNanoseconds / 1_000_000_000) seconds.", code: "timeout"), now, &actions)
        case .uploading(let uploading) where now >= uploading.deadline || now >= uploading.quietDeadline ?? .max:
            let seconds = (now >= uploading.deadline ? Limits.uploadNanoseconds : Limits.bodyNanoseconds) / 1_000_000_000
            actions.append(.abandon(exchange: exchange))
            let what = now >= uploading.deadline ? "The upload was not complete within" : "Nothing of the upload arrived for"
            refuse(APIError(.requestTimeout, "\(what) \(seconds) seconds.", code: "timeout"), now, &actions)
        case .lingering(let deadline) where now >= deadline:
            state = .closed
            actions = [.close]
        default: break
        }
        return actions
    }

    /// From now on every answer is the connection's last one.
    mutating func drain() { isDraining = true }

    /// Ends the connection unless a request is being answered.
    mutating func endIfIdle() -> [Action] {
        switch state {
        case .idle, .receivingHead, .receivingBody:
            state = .closed
            return [.closeAfterWrites]
        case .uploading:
            state = .closed
            return [.abandon(exchange: exchange), .closeAfterWrites]
        case .answering, .lingering, .closed: return []
        }
    }

    // MARK: answers; those to an exchange that is over do nothing

    mutating func respond(_ exchange: UInt64, _ response: Response, now: UInt64) -> [Action] {
        if case .uploading = state, exchange == self.exchange {
            // The answer comes before the request's end: what is still on its way is thrown away.
            var actions: [Action] = []
            refuse(response, now, &actions)
            return actions
        }
        guard case .answering(let answering) = state, exchange == self.exchange, answering.stream == nil else { return [] }
        let keepsAlive = answering.head.keepsAlive && !isDraining
        let bytes = ResponseEncoder.response(
            status: response.status, fields: response.fields, body: response.body, keepsAlive: keepsAlive, omitsBody: answering.head.method == .head)
        return [.write(bytes)] + complete(keepsAlive: keepsAlive, now)
    }

    /// Sends the head of a body that comes in pieces: chunked, or until the end of the connection for HTTP/1.0.
    mutating func beginStream(_ exchange: UInt64, fields: HTTPFields) -> [Action] {
        guard case .answering(var answering) = state, exchange == self.exchange, answering.stream == nil else { return [] }
        let framing: BodyFraming = answering.head.minorVersion >= 1 ? .chunked : .untilClose
        answering.stream = framing
        let keepsAlive = framing == .chunked && answering.head.keepsAlive && !isDraining
        answering.head.keepsAlive = keepsAlive
        state = .answering(answering)
        return [.write(ResponseEncoder.head(status: .ok, fields: fields, framing: framing, keepsAlive: keepsAlive))]
    }

    mutating func stream(_ exchange: UInt64, _ bytes: [UInt8]) -> [Action] {
        guard case .answering(let answering) = state, exchange == self.exchange, let framing = answering.stream, !bytes.isEmpty, !answering.omitsBody else { return [] }
        return [.write(framing == .chunked ? ResponseEncoder.chunk(bytes) : bytes)]
    }

    mutating func endStream(_ exchange: UInt64, now: UInt64) -> [Action] {
        guard case .answering(let answering) = state, exchange == self.exchange, let framing = answering.stream else { return [] }
        return (framing == .chunked && !answering.omitsBody ? [.write(ResponseEncoder.lastChunk)] : []) + complete(keepsAlive: answering.head.keepsAlive, now)
    }

    private mutating func complete(keepsAlive: Bool, _ now: UInt64) -> [Action] {
        guard keepsAlive else {
            state = .closed
            return [.closeAfterWrites]
        }
        guard !isDraining else {
            // The head promised to go on; the client finds the connection closed, as it may at any time.
            state = .closed
            return [.closeAfterWrites]
        }
        state = .idle(since: now)
        var actions: [Action] = []
        advance(now, &actions)
        return actions
    }
}
