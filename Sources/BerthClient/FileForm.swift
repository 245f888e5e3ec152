// A file of this machine as `multipart/form-data`, sent in pieces.

import BerthCore
import Glibc

/// An open file with the form around it. Closed when the last reference goes; used by one task.
final class FileForm: Sendable {
    private let path: String
    private let descriptor: Int32
    private let fileBytes: Int
    private let boundary: String
    private let head: [UInt8]
    private let tail: [UInt8]

    static let pieceBytes = 256 << 10

    init(path: String, fields: [String: String]) throws(BerthClientError) {
        self.path = path
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .localFile(path, reason: String(cString: strerror(errno))) }
        self.descriptor = descriptor
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw .localFile(path, reason: "not a regular file")
        }
        fileBytes = Int(status.st_size)
        // Long and random: no file has it by chance.
        boundary = "berth-" + (0..<2).map { _ in String(UInt64.random(in: .min ... .max), radix: 16) }.joined()
        var text = ""
        for (name, value) in fields.sorted(by: { $0.key < $1.key }) {
            text += "--\(boundary)\r\nContent-Disposition: form-data; name=\"\(name)\"\r\n\r\n\(value)\r\n"
        }
        let name = (path.split(separator: "/").last ?? "file").filter { $0 != "\"" && $0 != "\\" && $0 != "\r" && $0 != "\n" && $0 != "\r\n" }
        text += "--\(boundary)\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\(name)\"\r\nContent-Type: application/octet-stream\r\n\r\n"
        head = Array(text.utf8)
        tail = Array("\r\n--\(boundary)--\r\n".utf8)
    }

    deinit { close(descriptor) }

    var contentType: String { "multipart/form-data; boundary=\(boundary)" }
    var bytes: Int { head.count + fileBytes + tail.count }

    /// Sends the whole form.
    func write(to connection: UnixConnection) async throws(BerthClientError) {
        try await connection.write(head)
        var place = 0
        while place < fileBytes {
            var count = 0
            let piece = [UInt8](unsafeUninitializedCapacity: min(Self.pieceBytes, fileBytes - place)) { buffer, initialized in
                count = pread(descriptor, buffer.baseAddress, buffer.count, place)
                initialized = max(0, count)
            }
            guard count > 0 else { throw .localFile(path, reason: count == 0 ? "became shorter while it was sent" : String(cString: strerror(errno))) }
            try await connection.write(piece)
            place += count
        }
        try await connection.write(tail)
    }
}
