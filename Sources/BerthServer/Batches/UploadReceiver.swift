// One file on its way from a client to the disk.
//
// The loop hands the body's bytes to the batches' thread, which takes the form apart and writes the file. One piece is under way at a time; what
// arrives meanwhile is collected, and above `Limits.uploadQueuedBytes` the client is not read from. Lives as long as its exchange. Loop thread only.

import BerthBatches
import BerthCore
import BerthHTTP

final class UploadReceiver {
    private let exchange: Exchange
    private let incoming: IncomingFile
    private unowned let server: Server
    private let tenant: TenantName
    /// Arrived and not handed over.
    private var bytes: [UInt8] = []
    private var hasEnded = false
    private var isWriting = false
    private var isPaused = false

    init(_ exchange: Exchange, _ form: UploadForm, _ server: Server) {
        self.exchange = exchange
        self.server = server
        let tenant = server.caller(exchange)
        self.tenant = tenant.name
        incoming = IncomingFile(form, of: tenant.name, quota: tenant.settings.batchQuota)
    }

    func begin() {
        server.tenants.beginUpload(tenant)
        exchange.onUpload = { [self] new in
            bytes += new
            if bytes.count > Limits.uploadQueuedBytes, !isPaused {
                isPaused = true
                exchange.pauseUpload()
            }
            write()
        }
        exchange.onUploadEnd = { [self] in
            hasEnded = true
            write()
        }
        exchange.onAbandon = { [self] in leave() }
    }

    private func write() {
        guard !isWriting, !exchange.isAbandoned, !bytes.isEmpty || hasEnded else { return }
        isWriting = true
        let (piece, isLast, incoming, now) = (bytes, hasEnded, incoming, server.environment.wallSeconds())
        bytes = []
        server.askBatches(exchange, { store throws(BatchError) in incoming.receive(piece, isLast: isLast, store, now: now) }, failed: { [self] in leave() }) {
            [self] (result: Result<StoredFile?, APIError>) in
            isWriting = false
            switch result {
            case .success(nil):
                if isPaused, bytes.count < Limits.uploadQueuedBytes {
                    isPaused = false
                    exchange.resumeUpload()
                }
                write()
            case .success(let file?):
                server.tenants.endUpload(tenant)
                server.batches?.wake(at: file.expires ?? .max)
                exchange.respond(file.json)
            case .failure(let error):
                leave()
                server.refuse(exchange, error)
            }
        }
    }

    /// The file will not be complete.
    private func leave() {
        server.tenants.endUpload(tenant)
        let incoming = incoming
        server.batches?.perform({ _ throws(BatchError) in incoming.discard() }, reply: { _ in })
    }
}

/// The file as the batches' thread knows it.
private final class IncomingFile: @unchecked Sendable {
    // Unchecked: made on the loop, then touched on the batches' thread alone.
    private var form: UploadForm
    private var upload: Upload?
    private let tenant: TenantName
    private let quota: BatchQuota

    init(_ form: UploadForm, of tenant: TenantName, quota: BatchQuota) {
        self.form = form
        self.tenant = tenant
        self.quota = quota
    }

    /// Takes a piece of the body. The file once it is complete and durable.
    func receive(_ bytes: [UInt8], isLast: Bool, _ store: BatchStore, now: Int) -> Result<StoredFile?, APIError> {
        do {
            form.feed(bytes)
            while let output = try form.next() {
                guard case .content(let piece) = output else { continue }
                let upload = try self.upload ?? store.beginUpload(of: tenant, quota: quota)
                self.upload = upload
                try upload.write(piece)
            }
            guard isLast else { return .success(nil) }
            try form.requireEnd()
            let complete = try upload ?? store.beginUpload(of: tenant, quota: quota)
            upload = nil
            return .success(try store.finish(complete, name: form.fileName ?? "file", lifeSeconds: form.lifeSeconds, now: now))
        } catch let error as BatchError {
            discard()
            return .failure(APIError(error))
        } catch let error as APIError {
            discard()
            return .failure(error)
        } catch {
            preconditionFailure("an error of another kind: \(error)")
        }
    }

    func discard() { upload = nil }
}
