// `/v1/files`, as OpenAI's clients speak it.

import BerthBatches
import BerthCore
import BerthHTTP
import HTTPTypes

extension Server {
    /// The content's route comes before the file's: a placeholder takes several segments.
    func fileRoutes() -> [Route] {
        [
            Route(.post, "/v1/files", takesUploads: true) { [unowned self] in uploadFile($0) },
            Route(.get, "/v1/files") { [unowned self] in listFiles($0) },
            Route(.get, "/v1/files/{id}/content") { [unowned self] in sendContent($0) },
            Route(.get, "/v1/files/{id}") { [unowned self] in showFile($0) },
            Route(.delete, "/v1/files/{id}") { [unowned self] in deleteFile($0) },
        ]
    }

    private func uploadFile(_ exchange: Exchange) {
        guard takesWork(exchange) else { return }
        do throws(APIError) {
            try tenants.checkUpload(caller(exchange))
            let form = try UploadForm(contentType: exchange.request.head.fields[.contentType])
            UploadReceiver(exchange, form, self).begin()
        } catch { exchange.respond(error) }
    }

    private func listFiles(_ exchange: Exchange) {
        do throws(APIError) {
            let query = try QueryReader(exchange.request.head.query)
            let limit = try query.int("limit", in: 1...Limits.filePage) ?? Limits.filePage
            let isAscending = try query.choice("order", ["asc", "desc"]) == "asc"
            let (purpose, after, tenant) = (query.string("purpose"), query.string("after"), caller(exchange).name)
            askBatches(exchange, { store throws(BatchError) in
                try store.files(of: tenant, purpose: purpose, after: after, limit: limit, ascending: isAscending)
            }) { (page: Page<StoredFile>) in exchange.respond(Self.list(page.elements.map(\.json), hasMore: page.hasMore)) }
        } catch { exchange.respond(error) }
    }

    private func showFile(_ exchange: Exchange) {
        let (id, tenant) = (exchange.parameters[0], caller(exchange).name)
        askBatches(exchange, { store throws(BatchError) in try store.file(id, of: tenant) }) { (file: StoredFile) in exchange.respond(file.json) }
    }

    private func deleteFile(_ exchange: Exchange) {
        let (id, tenant) = (exchange.parameters[0], caller(exchange).name)
        askBatches(exchange, { store throws(BatchError) in try store.deleteFile(id, of: tenant) }) { (_: Void) in
            exchange.respond(["id": .string(id), "object": "file", "deleted": true])
        }
    }

    private func sendContent(_ exchange: Exchange) {
        let (id, tenant) = (exchange.parameters[0], caller(exchange).name)
        askBatches(exchange, { store throws(BatchError) in try store.content(id, of: tenant, at: 0) }) { [unowned self] (piece: [UInt8]) in
            exchange.beginStream(fields: [.contentType: "application/octet-stream"])
            if exchange.request.head.method == .head { return exchange.end() }
            sendContent(exchange, piece, at: 0)
        }
    }

    /// Sends a piece, and reads the next when the client has taken most of what was sent.
    private func sendContent(_ exchange: Exchange, _ piece: [UInt8], at place: Int) {
        guard !piece.isEmpty else { return exchange.end() }
        exchange.send(piece)
        let next = place + piece.count
        guard exchange.queuedBytes > 0 else { return readContent(exchange, at: next) }
        exchange.onDrain = { [unowned self, unowned exchange] in
            exchange.onDrain = nil
            readContent(exchange, at: next)
        }
    }

    private func readContent(_ exchange: Exchange, at place: Int) {
        let (id, tenant) = (exchange.parameters[0], caller(exchange).name)
        guard let batches, let reply = replies.expect({ [unowned self] (result: Result<[UInt8], BatchError>) in
            guard !exchange.isAbandoned else { return }
            switch result {
            case .success(let piece): sendContent(exchange, piece, at: place)
            case .failure(let error):
                // The head has promised more: only the end of the connection says that it will not come.
                logger.warning("a file could not be sent to its end: \(error)")
                exchange.cutOff()
            }
        }) else { return exchange.cutOff() }
        batches.perform({ store throws(BatchError) in try store.content(id, of: tenant, at: place) }, reply: reply)
    }
}
