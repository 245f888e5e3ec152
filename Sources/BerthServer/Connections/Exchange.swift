// One request and the answer that somebody owes it.
//
// A route gets the exchange and answers once: at once or later, whole (`respond`) or in pieces (`beginStream`, `send`, `end`). If the
// client leaves first, `onAbandon` runs once and everything said afterwards is dropped. Loop thread only.

import BerthCore
import BerthHTTP
import BerthLoop
import HTTPTypes

final class Exchange {
    private(set) var request: IncomingRequest
    let peer: PeerCredentials?
    let startNanoseconds: UInt64
    /// Whose it is; nil on the admin socket and on routes that anybody may call.
    var tenant: Tenant?
    /// What the route's placeholder stands for, percent-decoded.
    var parameters: [String] = []
    /// The client left before the answer was complete.
    var onAbandon: (() -> Void)?
    /// A piece of the body, of a route that takes uploads, and its end. The request's own body is empty then.
    var onUpload: (([UInt8]) -> Void)?
    var onUploadEnd: (() -> Void)?
    /// Everything sent so far has been taken by the client's socket.
    var onDrain: (() -> Void)?
    /// The answer's status, once there is one: for the log and the metrics.
    var onAnswer: ((HTTPResponse.Status) -> Void)?

    private weak var session: ClientSession?
    private var isOver = false

    init(_ session: ClientSession, _ request: IncomingRequest, peer: PeerCredentials?) {
        self.session = session
        self.request = request
        self.peer = peer
        startNanoseconds = Loop.monotonicNanoseconds
    }

    var isAbandoned: Bool { isOver }

    /// For the log.
    var userID: String { peer.map { String($0.userID) } ?? "?" }

    /// The body and its room, which are not kept here any longer: an answer may take long, and there may be thousands.
    func takeBody() -> ([UInt8], BodyLease?) {
        defer { (request.body, request.lease) = ([], nil) }
        return (request.body, request.lease)
    }

    func respond(_ response: Response) {
        guard let session = finish(response.status) else { return }
        session.respond(request.exchange, response)
    }

    func respond(_ json: JSON) { respond(Response(json: json)) }
    func respond(_ error: APIError) { respond(Response(error)) }

    func beginStream(fields: HTTPFields) {
        guard !isOver, let session else { return }
        onAnswer?(.ok)
        onAnswer = nil
        session.beginStream(request.exchange, fields: fields)
    }

    func send(_ bytes: [UInt8]) {
        guard !isOver, let session else { return }
        session.stream(request.exchange, bytes)
    }

    func end() {
        guard let session = finish(.ok) else { return }
        session.endStream(request.exchange)
    }

    func pauseUpload() { session?.pauseUpload(request.exchange) }
    func resumeUpload() { session?.resumeUpload(request.exchange) }

    /// Bytes sent that the client has not taken.
    var queuedBytes: Int { session?.queuedBytes ?? 0 }

    /// Ends the client's connection: it does not take what it asked for.
    func cutOff() { session?.leave() }

    func abandon() {
        guard !isOver else { return }
        onAnswer?(HTTPResponse.Status(code: 499, reasonPhrase: "Client Closed Request"))
        let callback = onAbandon
        clear()
        callback?()
    }

    private func finish(_ status: HTTPResponse.Status) -> ClientSession? {
        guard !isOver else { return nil }
        onAnswer?(status)
        clear()
        session?.didComplete(self)
        return session
    }

    private func clear() {
        isOver = true
        (onAbandon, onDrain, onAnswer) = (nil, nil, nil)
        (onUpload, onUploadEnd) = (nil, nil)
    }
}
