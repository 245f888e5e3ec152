// Paragraphs broken into lines, after Python's textwrap with its defaults but for tabs and white space, which stay.

enum TextWrapping {
    typealias Text = Jinja.Text

    /// The lines of one paragraph, none wider than `width` unless a word is and may not be broken.
    static func lines(of paragraph: Text, width: Int, breaksWords: Bool, breaksHyphens: Bool) -> [Text] {
        var chunks: [ArraySlice<Unicode.Scalar>] = self.chunks(of: paragraph.scalars, breaksHyphens: breaksHyphens).reversed().map { $0[...] }
        var lines: [Text] = []
        while !chunks.isEmpty {
            var line: [ArraySlice<Unicode.Scalar>] = []
            var length = 0
            if isBlank(chunks[chunks.count - 1]), !lines.isEmpty { chunks.removeLast() }
            while let chunk = chunks.last, length + chunk.count <= width {
                line.append(chunk)
                length += chunk.count
                chunks.removeLast()
            }
            if let chunk = chunks.last, chunk.count > width {
                if breaksWords {
                    var end = chunk.startIndex + width - length
                    // A long word breaks behind a hyphen where it has one.
                    if breaksHyphens, let hyphen = chunk[..<end].lastIndex(of: "-"), hyphen > chunk.startIndex,
                        chunk[..<hyphen].contains(where: { $0 != "-" })
                    {
                        end = hyphen + 1
                    }
                    line.append(chunk[..<end])
                    chunks[chunks.count - 1] = chunk[end...]
                } else if line.isEmpty {
                    line.append(chunk)
                    chunks.removeLast()
                }
            }
            if let last = line.last, isBlank(last) { line.removeLast() }
            if !line.isEmpty { lines.append(Text(scalars: line.joined())) }
        }
        return lines
    }

    private static func isBlank(_ chunk: ArraySlice<Unicode.Scalar>) -> Bool { chunk.allSatisfy(isSpace) }

    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar == " " || (scalar.value >= 0x09 && scalar.value <= 0x0D)
    }

    /// Words and the white space between them; a hyphen between letters ends a chunk.
    private static func chunks(of scalars: [Unicode.Scalar], breaksHyphens: Bool) -> [[Unicode.Scalar]] {
        var chunks: [[Unicode.Scalar]] = []
        var current: [Unicode.Scalar] = []
        for (index, scalar) in scalars.enumerated() {
            if let last = current.last, isSpace(last) != isSpace(scalar) {
                chunks.append(current)
                current = []
            }
            current.append(scalar)
            if breaksHyphens, scalar == "-", current.count > 2, index + 2 < scalars.count,
                current[current.count - 2].isPythonAlphabetic, current[current.count - 3].isPythonWord,
                scalars[index + 1].isPythonAlphabetic, scalars[index + 2].isPythonAlphabetic || scalars[index + 2] == "-"
            {
                chunks.append(current)
                current = []
            }
        }
        if !current.isEmpty { chunks.append(current) }
        return chunks
    }
}
