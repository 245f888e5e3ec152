// What stops a benchmark: an input that cannot be measured.

/// One sentence that names the file or option at fault.
struct BenchError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
