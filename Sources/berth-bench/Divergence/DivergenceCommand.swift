// `berth-bench divergence`: what quantised weights cost in accuracy, for our formats and, through files of logits, for other engines.

import ArgumentParser
import BerthCore
import BerthKernels
import BerthModels
import BerthStore
import BerthText

struct DivergenceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "divergence", abstract: "KL divergence of quantised weights from a reference, over the tokens of a text.",
        discussion: """
            To compare another engine, write the tokens with --write-tokens, let the engine run each window of them from scratch and write the logits \
            of all positions as raw f32 [tokens, vocabulary], and name that file in --logits NAME=FILE. --against may name such a file too.
            """)

    @OptionGroup var options: ModelOptions
    @Option(help: "A text in UTF-8.") var text: String
    @Flag(help: "An empty line of the text ends a document; no window spans two.") var documents = false
    @Option(help: "Weight formats to compare, comma-separated; may be empty.") var weights = "int8,int4"
    @Option(help: "The reference: a weight format, or the name of a file of logits.") var against = WeightFormat.bf16.rawValue
    @Option(help: "Tokens in all, rounded down to whole windows.") var tokens = 512
    @Option(help: "Tokens that see each other.") var window = 256
    @Option(help: "Logits of another engine: NAME=FILE.") var logits: [String] = []
    @Option(help: "Where to write the tokens, as 32-bit little-endian integers.") var writeTokens: String?
    @Flag(help: "Print JSON instead of a table.") var json = false

    private static let mostTokens = 1 << 24

    private var formats: [WeightFormat?] { weights.split(separator: ",").map { WeightFormat(rawValue: String($0)) } }

    private var files: [(name: String, path: String)?] {
        logits.map { text in
            guard let equal = text.firstIndex(of: "="), equal != text.startIndex else { return nil }
            return (String(text[..<equal]), String(text[text.index(after: equal)...]))
        }
    }

    func validate() throws {
        guard formats.allSatisfy({ $0 != nil }) else { throw ValidationError("no weight formats: \(weights)") }
        guard files.allSatisfy({ $0 != nil }) else { throw ValidationError("--logits takes NAME=FILE") }
        guard (2...Self.mostTokens).contains(window), (1...Self.mostTokens).contains(tokens) else {
            throw ValidationError("window and tokens must be between 2 and \(Self.mostTokens)")
        }
        guard WeightFormat(rawValue: against) != nil || files.contains(where: { $0?.name == against }) else {
            throw ValidationError("--against \(against) is neither a weight format nor the name of a file of logits")
        }
    }

    func run() throws {
        let report = try measure()
        print(json ? report.json.text : report.table)
    }

    func measure() throws -> DivergenceReport {
        let configuration = try ModelConfiguration(Checkpoint(directory: options.directory))
        guard window <= configuration.contextLength else { throw BenchError("the model's context has only \(configuration.contextLength) tokens") }
        let windows = try TokenWindows(text: text, tokenizer: Tokenizer(directory: options.directory), length: window, most: tokens, isDocuments: documents)
        guard windows.tokens.allSatisfy({ (0..<Int32(configuration.vocabularySize)).contains($0) }) else {
            throw BenchError("the tokenizer has tokens that the model does not know")
        }
        if let writeTokens { try windows.write(to: writeTokens) }

        let compute = try options.compute()
        let rowsAtOnce = min(window, max(1, Self.logitBytes / (configuration.vocabularySize * 4)))
        func model(_ format: WeightFormat) throws -> any LogitSource {
            ModelLogits(try options.open(format, compute, maxRows: rowsAtOnce, maxLogitRows: rowsAtOnce), windows: windows)
        }
        func file(_ file: (name: String, path: String)) throws -> any LogitSource {
            try FileLogits(name: file.name, path: file.path, windows: windows, vocabularySize: configuration.vocabularySize)
        }
        let formats = formats.compactMap(\.self), files = files.compactMap(\.self)
        var report = DivergenceReport(reference: against, windows: windows.count, windowTokens: windows.length)
        guard !formats.isEmpty || files.contains(where: { $0.name != against }) else { return report }
        let reference: any LogitSource =
            if let given = files.first(where: { $0.name == against }) { try file(given) } else { try model(WeightFormat(rawValue: against)!) }

        // Two models in memory at most. Files take none, so they go with the first of the passes.
        var others = try files.filter { $0.name != against }.map(file)
        for format in formats.isEmpty ? [nil] : formats.map(Optional.some) {
            let sources = try (format.map { [try model($0)] } ?? []) + others
            let results = try Divergence.measure(sources, against: reference, windows: windows, rowsAtOnce: rowsAtOnce, compute: compute)
            report.results += zip(sources, results).map { ($0.name, $1) }
            others = []
        }
        return report
    }

    /// What one source's logits may take.
    private static let logitBytes = 64 << 20
}
