// A store in a temporary folder, inputs for it, and somebody who answers lines.

import BerthCore
import Foundation

@testable import BerthBatches

/// A folder of its own, removed with the last reference.
final class TemporaryFolder {
    let path: String

    init() {
        var template = Array("/tmp/berth-batches-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// What a daemon that is killed now leaves: everything but the memory.
    func copy() throws -> TemporaryFolder {
        let other = TemporaryFolder()
        for name in try FileManager.default.contentsOfDirectory(atPath: path) where !name.hasSuffix("-shm") {
            try FileManager.default.copyItem(atPath: "\(path)/\(name)", toPath: "\(other.path)/\(name)")
        }
        return other
    }
}

extension TenantName {
    static let tester = TenantName("tester")!
}

func openStore(_ folder: TemporaryFolder, seed: UInt64 = 1) throws(BatchError) -> BatchStore {
    try BatchStore(directory: folder.path, random: RandomSource(seed: seed), heir: TenantName("heir")!)
}

func inputLine(_ customID: String, prompt: String = "a", url: String = "/v1/completions") -> String {
    let json: JSON = ["custom_id": .string(customID), "method": "POST", "url": .string(url), "body": ["prompt": .string(prompt)]]
    return json.text
}

extension BatchStore {
    func upload(_ text: String, now: Int = 100, lifeSeconds: Int? = nil) throws(BatchError) -> StoredFile {
        let upload = try beginUpload(of: .tester)
        try upload.write(Array(text.utf8))
        return try finish(upload, name: "in.jsonl", lifeSeconds: lifeSeconds, now: now)
    }

    func order(_ text: String, window: Int = 86_400, now: Int = 100) throws(BatchError) -> Batch {
        try create(BatchOrder(input: upload(text, now: now).id, endpoint: "/v1/completions", windowSeconds: window), of: .tester, now: now)
    }

    func stepAll(now: Int = 100) throws(BatchError) { while try step(now: now) {} }

    /// A prompt "bad" is refused, everything else is answered with its own prompt.
    static func answer(_ line: ClaimedLine) -> FinishedLine {
        let prompt = (try? JSON(parsing: line.body))?["prompt"] ?? nil
        guard prompt != "bad" else { return FinishedLine(line, status: 400, body: ["error": ["message": "bad"]]) }
        return FinishedLine(line, status: 200, body: ["text": prompt, "usage": ["prompt_tokens": 2, "completion_tokens": 3, "prompt_tokens_details": ["cached_tokens": 1]]])
    }

    /// Does everything that there is to do.
    func runToTheEnd(now: Int = 100) throws(BatchError) {
        try stepAll(now: now)
        while true {
            let lines = try claim(lines: 300, bytes: 1 << 20)
            // A claim may find that a batch cannot go on.
            if lines.isEmpty, try !step(now: now) { return }
            try finish(lines.map(Self.answer), now: now)
            try stepAll(now: now)
        }
    }

    func wholeContent(_ id: String) throws(BatchError) -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let piece = try content(id, of: .tester, at: bytes.count)
            if piece.isEmpty { return bytes }
            bytes += piece
        }
    }

    /// The lines of a file that a batch has written; none where there is no file.
    func results(_ id: JSON?) throws -> [JSON] {
        guard let id = id?.string else { return [] }
        return try wholeContent(id).split(separator: 0x0A).map { try JSON(parsing: Array($0)) }
    }
}
