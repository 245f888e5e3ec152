// Numbers and tables as the reports print them; without Foundation, and the same in every command.

import Glibc

/// A number with so many decimals; a dash where it is none.
func fixed(_ value: Double, _ decimals: Int) -> String {
    let scale = (0..<decimals).reduce(1.0) { scale, _ in scale * 10 }
    let scaled = (abs(value) * scale).rounded()
    guard scaled.isFinite else { return "-" }
    // Beyond what an integer holds nobody counts decimals.
    guard scaled < 0x1p62 else { return String(value) }
    let digits = String(Int(scaled))
    let sign = value < 0 && scaled > 0 ? "-" : ""
    if decimals == 0 { return sign + digits }
    let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
    return sign + padded.dropLast(decimals) + "." + padded.suffix(decimals)
}

/// A number as a digit, two decimals and a power of ten, for quantities that span many orders.
func scientific(_ value: Double) -> String {
    guard value.isFinite else { return "-" }
    guard value != 0 else { return "0" }
    var exponent = Int(floor(log10(abs(value))))
    var mantissa = abs(value) / pow(10, Double(exponent))
    // The logarithm may be off by a hair at a power of ten, and rounding may carry.
    if mantissa < 1 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
    if (mantissa * 100).rounded() >= 1000 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
    return (value < 0 ? "-" : "") + fixed(mantissa, 2) + "e" + String(exponent)
}

/// In thousands of millions, with one decimal.
func giga(_ value: Double) -> String { fixed(value / 1e9, 1) }

/// The middle value; 0 of none.
func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return 0 }
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/// The sum over the number; 0 of none.
func mean(_ values: [Double]) -> Double { values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count) }

/// How far the mean of as many other values of the same kind would be from this one, about; 0 of fewer than two.
func standardError(_ values: [Double]) -> Double {
    guard values.count > 1 else { return 0 }
    let middle = mean(values), squares = values.reduce(0) { $0 + ($1 - middle) * ($1 - middle) }
    return (squares / Double(values.count - 1) / Double(values.count)).squareRoot()
}

/// The least value that so much of the values (0...1) does not exceed; 0 of none.
func percentile(_ fraction: Double, of values: [Double]) -> Double {
    guard !values.isEmpty else { return 0 }
    let rank = Int((fraction * Double(values.count)).rounded(.up))
    return values.sorted()[min(max(rank, 1), values.count) - 1]
}

/// Positive numbers, comma-separated; nil where something else stands among them.
func counts(_ list: String, upTo most: Int) -> [Int]? {
    commaSeparated(list) { Int($0).flatMap { (1...most).contains($0) ? $0 : nil } }
}

/// What stands between commas, each part as `read` has it; nil where that has none for one of them.
func commaSeparated<Value>(_ list: String, _ read: (String) -> Value?) -> [Value]? {
    let parts = list.split(separator: ",", omittingEmptySubsequences: false).map { read(String($0)) }
    return parts.allSatisfy { $0 != nil } ? parts.compactMap(\.self) : nil
}
