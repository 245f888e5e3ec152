// A table for people: the first column to the left, numbers to the right.

struct TextTable {
    private var rows: [[String]]

    init(_ head: [String]) { rows = [head] }

    mutating func append(_ row: [String]) {
        precondition(row.count == rows[0].count, "\(row.count) cells under \(rows[0].count) heads")
        rows.append(row)
    }

    /// A line per row, without a newline at the end.
    var text: String {
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        let lines = rows.map { row in
            zip(row, widths).enumerated().map { column, cell in
                let space = String(repeating: " ", count: cell.1 - cell.0.count)
                return column == 0 ? cell.0 + space : space + cell.0
            }.joined(separator: "   ")
        }
        return lines.joined(separator: "\n")
    }
}
