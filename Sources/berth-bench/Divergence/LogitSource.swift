// Where logits of token windows come from: a model that computes them, or a file that another engine wrote.

import BerthCore
import BerthKernels
import BerthModels
import Glibc

/// Logits of every position, asked for in order: windows one after another, the rows of each from the first to the last.
protocol LogitSource: AnyObject {
    var name: String { get }
    /// `[rows.count, vocabulary]`, valid until the next call. `rows` are positions in the window.
    func logits(window: Int, rows: Range<Int>) -> Rows
}

/// Logits of one of our models.
final class ModelLogits: LogitSource {
    let name: String
    private let model: Model
    private let windows: TokenWindows
    private let sequence: BenchSequence

    init(_ model: Model, windows: TokenWindows) {
        name = model.format.rawValue
        self.model = model
        self.windows = windows
        sequence = BenchSequence(tokens: windows.length, layout: model.kvLayout)
    }

    func logits(window: Int, rows: Range<Int>) -> Rows {
        let tokens = windows[window]
        return model.forward(
            Batch(
                tokens: Array(tokens.dropFirst(rows.lowerBound).prefix(rows.count)),
                sequences: [sequence.rows(rows.count, at: rows.lowerBound, logits: 0..<rows.count)]))
    }
}

/// Logits in a file: f32 in the machine's order, `[all windows' tokens, vocabulary]`, mapped and not read.
final class FileLogits: LogitSource {
    let name: String
    private let base: UnsafeMutableRawPointer
    private let bytes: Int
    private let windowTokens: Int, vocabularySize: Int

    /// The file must have exactly the rows of `windows`.
    init(name: String, path: String, windows: TokenWindows, vocabularySize: Int) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw BenchError("cannot open \(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw BenchError("cannot examine \(path): \(String(cString: strerror(errno)))") }
        let expected = windows.tokens.count * vocabularySize * 4
        guard Int(status.st_size) == expected else {
            throw BenchError("\(path) has \(status.st_size) bytes; logits of \(windows.tokens.count) tokens over \(vocabularySize) have \(expected)")
        }
        guard let map = mmap(nil, expected, PROT_READ, MAP_PRIVATE, descriptor, 0), map != MAP_FAILED else {
            throw BenchError("cannot map \(path): \(String(cString: strerror(errno)))")
        }
        self.name = name
        base = map
        bytes = expected
        windowTokens = windows.length
        self.vocabularySize = vocabularySize
    }

    deinit { munmap(base, bytes) }

    func logits(window: Int, rows: Range<Int>) -> Rows {
        let first = base.assumingMemoryBound(to: Float.self) + (window * windowTokens + rows.lowerBound) * vocabularySize
        return Rows(base: first, count: rows.count, columns: vocabularySize)
    }
}
